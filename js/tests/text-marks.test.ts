import { afterEach, describe, expect, it } from "vitest";
import { frame, N_LAYERS, tellLayer, WORDS } from "./fake";
import { closeAll, type Opened, opened } from "./opened";

afterEach(closeAll);

async function filled(changes = {}): Promise<Opened> {
  const within = opened(changes);
  for (let layer = 0; layer < N_LAYERS; layer += 1) tellLayer(within.model, layer);
  await frame();
  return within;
}

const token = (within: Opened, position: number): HTMLElement =>
  within.find(`.text [data-position="${position}"]`);
const label = (within: Opened, position: number): string =>
  token(within, position).getAttribute("aria-label") ?? "";

describe("attention sinks", () => {
  it("are those of the map: none before the prompt has run, or where there is none", async () => {
    const within = await filled();
    expect(within.all("[data-sink]")).toEqual([]);
    expect(WORDS.map((_, position) => label(within, position)).join()).not.toContain("sink");
    expect(within.find('[data-key="sink"]').hidden).toBe(true);
    within.model.fromKernel({ sinks: [0, 5] });
    await frame();
    expect(within.all("[data-sink]")).toEqual([token(within, 0), token(within, 5)]);
    expect(within.find('[data-key="sink"]').textContent).toContain("attention sinks, left out of summaries");
  });

  it("say where they are, and whether they are counted", async () => {
    const within = await filled({ sinks: [0, 5] });
    expect(label(within, 0)).toContain("(first token, an attention sink: left out of summaries)");
    expect(label(within, 5)).toContain("(attention sink: left out of summaries)");
    within.model.fromKernel({ include_sinks: true });
    await frame();
    expect(label(within, 5)).toContain("(attention sink: counted in summaries)");
    token(within, 5).dispatchEvent(new Event("focusin", { bubbles: true }));
    await frame();
    expect(within.find(".tip-remark").textContent).toBe("attention sink: counted in summaries");
  });
});

import { afterEach, describe, expect, it, vi } from "vitest";
import { frame, N_LAYERS, tellLayer, traits, WORDS } from "./fake";
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

describe("letters", () => {
  it("are read on the paper there is, though the theme stays", async () => {
    const within = await filled({ selected_source: 3 });
    expect(token(within, 6).style.color).toBe("");
    document.body.style.backgroundColor = "rgb(128, 128, 128)";
    await vi.waitFor(() => expect(token(within, 6).style.color).not.toBe(""));
    expect(within.root.dataset["theme"]).toBe("light");
    document.body.style.backgroundColor = "";
  });
});

describe("the legend of pins", () => {
  it.each([
    ["entropy", "; dashed where raised by removal"],
    ["kl", ""],
  ])("says of %s what a dashed line is, if there is one", async (metric, dashed) => {
    const within = await filled({ pinned_sources: [3], query: { ...traits().query, metric } });
    const said = within.find('[data-key="pins"]').textContent ?? "";
    expect(said).toContain(`${metric === "kl" ? "0 to" : "±"} 4 nats or more${dashed}`);
    expect(said.includes("dashed")).toBe(dashed !== "");
  });
});

describe("the legend of tokens without a value", () => {
  it.each([
    [4, "no value: fewer than 4 tokens ahead"],
    [2, "no value: fewer than 2 tokens ahead, or only noise"],
    [null, "no value: the prompt is too short"],
  ])("within a window of %s says why", async (window, why) => {
    // Tokens 4 to 7 have none.
    const within = await filled({ window });
    expect(within.find('[data-key="none"]').textContent).toContain(why);
  });
});

import { afterEach, describe, expect, it, vi } from "vitest";
import { frame, influence, queryOf, WORDS } from "./fake";
import { click, closeAll, filled, labelOf } from "./opened";

afterEach(closeAll);

describe("attention sinks", () => {
  it("are those of the map: none before the prompt has run, or if the map has none", async () => {
    const within = await filled();
    expect(within.all("[data-sink]")).toEqual([]);
    expect(WORDS.map((_, position) => labelOf(within.token(position))).join()).not.toContain("sink");
    expect(within.find('[data-key="sink"]').hidden).toBe(true);
    within.model.fromKernel({ sinks: [0, 5] });
    await frame();
    expect(within.all("[data-sink]")).toEqual([within.token(0), within.token(5)]);
    expect(within.find('[data-key="sink"]').textContent).toContain("attention sinks, left out of summaries");
  });

  it("are named, with whether they are counted", async () => {
    const within = await filled({ sinks: [0, 5] });
    expect(labelOf(within.token(0))).toContain("(first token, an attention sink: left out of summaries)");
    expect(labelOf(within.token(5))).toContain("(attention sink: left out of summaries)");
    within.model.fromKernel({ include_sinks: true });
    await frame();
    expect(labelOf(within.token(5))).toContain("(attention sink: counted in summaries)");
    within.token(5).dispatchEvent(new Event("focusin", { bubbles: true }));
    await frame();
    expect(within.find(".tip-remark").textContent).toBe("attention sink: counted in summaries");
  });
});

describe("letters", () => {
  it("have readable ink on the actual paper, even if the theme stays", async () => {
    const within = await filled({ selected_source: 3 });
    expect(within.token(6).style.color).toBe("");
    document.body.style.backgroundColor = "rgb(128, 128, 128)";
    await vi.waitFor(() => expect(within.token(6).style.color).not.toBe(""));
    expect(within.root.dataset["theme"]).toBe("light");
    document.body.style.backgroundColor = "";
  });
});

describe("the legend of pins", () => {
  it.each([
    ["entropy", "; dashed where raised by removal"],
    ["kl", ""],
  ] as const)("says what a dashed line means for %s, if there is one", async (kind, dashed) => {
    const within = await filled({ pinned_sources: [3], query: queryOf(kind) });
    const said = within.find('[data-key="pins"]').textContent ?? "";
    expect(said).toContain(`${kind === "kl" ? "0 to" : "±"} 4 nats or more${dashed}`);
    expect(said.includes("dashed")).toBe(dashed !== "");
  });
});

describe("the legend of tokens without a value", () => {
  it.each([
    [4, "no value: fewer than 4 later tokens"],
    [2, "no value: fewer than 2 later tokens, or only noise"],
    [null, "no value: the prompt is too short"],
  ])("within a window of %s says why", async (window, why) => {
    // Tokens 4 to 7 have none.
    const within = await filled({ window });
    expect(within.find('[data-key="none"]').textContent).toContain(why);
  });
});

describe("pins", () => {
  it("number their tokens and underline their uses, dashed if removal would help", async () => {
    const { token, find } = await filled({ pinned_sources: [3, 1] });
    expect(token(3).dataset["pin"]).toBe("1");
    expect(token(1).dataset["pin"]).toBe("2");
    expect(labelOf(token(7))).toContain("pin 1: +3.76 nats, pin 2:");
    const background = token(7).style.backgroundImage;
    expect(background).toContain("rgba(80, 0, 78, 0.9");
    expect(token(0).style.backgroundImage).toBe("");
    expect(influence(1, 3, 6)).toBeLessThan(0);
    expect(token(6).style.backgroundImage).toContain("repeating-linear-gradient");
    expect(find('[data-key="pins"]').textContent).toContain("± 4 nats");
  });

  it("leave nothing when they are removed", async () => {
    const { model, token } = await filled({ pinned_sources: [3] });
    model.fromKernel({ pinned_sources: [] });
    await frame();
    expect(token(7).style.backgroundImage).not.toContain("gradient");
    expect(token(3).hasAttribute("data-pin")).toBe(false);
    expect(labelOf(token(7))).not.toContain("pin");
  });
});

describe("arcs", () => {
  it("are drawn and removed on request", async () => {
    const { model, find } = await filled({ selected_source: 3, show_arcs: true });
    // The fourth link, of 0.25 nats, is less than a twelfth of the scale of 4.
    expect(find(".arcs").childElementCount).toBe(3);
    expect(find(".arcs").getAttribute("aria-hidden")).toBe("true");
    model.fromKernel({ show_arcs: false });
    await frame();
    expect(find(".arcs").childElementCount).toBe(0);
  });
});

describe("the legend", () => {
  it("keeps a scale across clicks until it is released", async () => {
    const { model, token, find } = await filled({ selected_source: 3 });
    const keep = find('[name="keep-scale"]') as HTMLInputElement;
    keep.click();
    expect(model.saved.at(-1)).toEqual({ fixed_scale: 4 });
    click(token(4));
    await frame();
    expect(find(".legend-scale").textContent).toBe("± 4 nats or more, kept");
    keep.click();
    expect(model.saved.at(-1)).toEqual({ fixed_scale: null });
    await frame();
    expect(find(".legend-scale").textContent).toBe("± 0.4 nats or more");
  });

  it("offers no scale to keep for a statistic", async () => {
    const { find } = await filled();
    expect((find('[name="keep-scale"]') as HTMLInputElement).disabled).toBe(true);
  });
});

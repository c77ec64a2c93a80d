import { afterEach, describe, expect, it } from "vitest";
import { spreadWords } from "../src/page/overview-sentences";
import { MapSummary } from "../src/state/overview";
import { paintProfile, profileOf } from "../src/views/overview/profile-picture";
import { bandOf, linesOf } from "../src/views/overview/spread-geometry";
import { frame, influence, rows, tellLayer, tellMap, traits, unaligned } from "./fake";
import { button, closeAll, type Opened, opened, press } from "./opened";

afterEach(closeAll);

/** All values have arrived and are summarised. */
async function whole(changes = {}): Promise<Opened> {
  const within = opened(changes);
  tellMap(within.model);
  await settled(within, "from all 4 layers");
  return within;
}

async function settled({ find }: Opened, note: string): Promise<void> {
  await expect.poll(() => find(".overview-title").textContent).toContain(note);
  await frame();
}

const SHOCK = traits().layer_info.map((layer, i) => ({ ...layer, shock: i === 0 }));

const RESAMPLED = SHOCK.map((layer, i) =>
  i === 0 ? { ...layer, baseline: "resample", replaced: true } : layer,
);

describe("the whole map", () => {
  it("says how much of the map it covers", async () => {
    const within = opened({ sinks: [0] });
    expect(within.find(".overview-title").textContent).toContain("no layer is computed yet");
    tellLayer(within.model, 2);
    tellLayer(within.model, 3, [2, 3]);
    await settled(within, "from 1 of 4 layers, 1 more begun · 1 attention sink left out");
    button(within, "count sinks").click();
    await frame();
    await frame();
    expect(within.find(".overview-title").textContent).toContain("1 attention sink counted");
    expect(within.model.saved).toEqual([{ include_sinks: true }]);
    expect(button(within, "count sinks").getAttribute("aria-pressed")).toBe("true");
  });

  it("does not change with a click on a token", async () => {
    const within = await whole();
    const changes: MutationRecord[] = [];
    const observer = new MutationObserver((records) => changes.push(...records));
    observer.observe(within.find(".overview"), {
      subtree: true,
      childList: true,
      attributes: true,
      characterData: true,
    });
    within.find('[data-position="3"]').click();
    await frame();
    expect(within.find('[data-position="3"]').getAttribute("aria-selected")).toBe("true");
    expect(changes).toEqual([]);
    observer.disconnect();
  });
});

describe("where each layer’s influence goes", () => {
  it("is explored with arrows; Enter colours the tokens of a cell, and releases them", async () => {
    const within = await whole();
    const plot = within.find(".offset-profile .plot");
    plot.focus();
    press(plot, "ArrowRight");
    press(plot, "ArrowRight");
    press(plot, "ArrowUp");
    await frame();
    const sources = [0, 1, 2, 3, 4, 5];
    const mean = sources.reduce((sum, i) => sum + Math.abs(influence(2, i, i + 2)), 0) / sources.length;
    expect(within.find(".offset-profile .overview-words").textContent).toBe(
      `layer 2 · 2 tokens ahead · mean magnitude ${mean.toFixed(2)} nats over 6 sources`,
    );
    press(plot, "Enter");
    await frame();
    expect(within.model.saved).toEqual([{ selected_layer: 2, selected_offset: 2 }]);
    press(plot, "Enter");
    expect(within.model.saved.at(-1)).toEqual({ selected_offset: null });
  });

  it("is shown as shares of a window on request", async () => {
    const within = await whole();
    button(within, "as share").click();
    await frame();
    expect(within.find(".offset-profile .overview-sub").textContent).toContain("within a window of 4 tokens");
    const plot = within.find(".offset-profile .plot");
    press(plot, "End");
    await frame();
    expect(within.find(".offset-profile .overview-words").textContent).toContain("4 tokens ahead");
    expect(within.find(".offset-profile .overview-words").textContent).toMatch(
      /\d % of what lies within 4 tokens/u,
    );
  });

  it("says which offset of a range colours the tokens, and describes it", async () => {
    const n = 100;
    const tokens = Array.from({ length: n }, (_, word) => ({ text: " a", piece: null, id: null, word }));
    const within = opened({ tokens, n_targets: n - 1, selected_layer: 0, selected_offset: 38 });
    const row = (source: number): number[] => Array.from({ length: n - 1 }, (_, c) => (c + 1 - source) / 100);
    const sources = tokens.map((_, i) => i);
    within.model.tell(
      { type: "values", map_id: 1, layer: 0, sources, n_targets: n - 1 },
      unaligned(sources.flatMap(row)),
      unaligned(new Array(2 * n).fill(Number.NaN)),
    );
    await settled(within, "from 1 of 4 layers");
    const words = within.find(".offset-profile .overview-words");
    expect(words.textContent).toBe(
      "layer 0 · 38 tokens ahead, of 36–39 · mean magnitude 0.38 nats over 62 sources",
    );
    const plot = within.find(".offset-profile .plot");
    press(plot, "ArrowRight");
    press(plot, "ArrowRight");
    await frame();
    expect(words.textContent).toContain("layer 0 · 40–43 tokens ahead · mean magnitude");
  });

  it("hatches a layer where another baseline stands in, and names that baseline", async () => {
    const within = await whole({ layer_info: RESAMPLED });
    expect(within.all(".offset-profile .ground > *").map(({ className }) => className)).toEqual([
      "done",
      "done",
      "done",
      "shock",
    ]);
    const plot = within.find(".offset-profile .plot");
    plot.focus();
    for (const key of ["ArrowDown", "ArrowDown"]) press(plot, key);
    await frame();
    expect(within.find(".offset-profile .overview-words").textContent).toMatch(/^layer 0 .* · resample$/u);
  });

  it("has the same number in its table as in its words", async () => {
    const within = await whole();
    const plot = within.find(".offset-profile .plot");
    press(plot, "End");
    await frame();
    within.find(".offset-profile .grid-table > button").click();
    await frame();
    const value = /mean magnitude (\S+ nats)/u.exec(
      within.find(".offset-profile .overview-words").textContent ?? "",
    )?.[1];
    const cells = within.all(".offset-profile tbody tr").map((row) => row.lastElementChild?.textContent);
    expect(cells).toContain(`${value} (n = 1)`);
  });

  it("leaves layers under a shock and the next token out of its scale", () => {
    const map = rows();
    const summary = new MapSummary(map);
    summary.update({ layers: SHOCK, sinks: [], withSinks: false, ownShare: -1 });
    const { values, bins, scale } = profileOf(summary, 4, 7, null, (layer) => layer === 0);
    expect(bins).toHaveLength(7);
    const rest = [1, 2, 3].flatMap((layer) => [...values.subarray(7 * layer + 1, 7 * layer + 7)]);
    expect(scale).toBeGreaterThanOrEqual(Math.max(...rest));
    expect(scale).toBeLessThan(1.3 * Math.max(...rest));
    const shares = profileOf(summary, 4, 7, 4, () => false);
    for (const layer of [0, 1, 2, 3]) {
      const sum = shares.values.subarray(4 * layer, 4 * layer + 4).reduce((a, b) => a + b, 0);
      expect(sum).toBeCloseTo(1, 10);
    }
  });

  it("shows a layer only after half of its sources have arrived", () => {
    const map = rows(7, []);
    const summary = new MapSummary(map);
    const what = { layers: SHOCK, sinks: [0], withSinks: false, ownShare: -1 };
    const seen: boolean[] = [];
    for (const source of [0, 1, 2, 3, 4]) {
      map.receive({
        type: "values",
        map_id: 1,
        layer: 2,
        sources: [source],
        n_targets: 7,
        influence: new Float32Array(7).fill(1),
        statistics: new Float32Array(0),
      });
      summary.update(what);
      seen.push(!Number.isNaN(profileOf(summary, 4, 7, null, () => false).values[14] ?? Number.NaN));
    }
    // The sink is not counted: four of seven are enough.
    expect(seen).toEqual([false, false, false, false, true]);
  });

  it("paints the layers from the bottom up, and only known cells", () => {
    const summary = new MapSummary(rows(7, [1]));
    summary.update({ layers: SHOCK, sinks: [], withSinks: false, ownShare: -1 });
    const profile = profileOf(summary, 4, 7, null, () => false);
    const { pixels, known } = paintProfile(profile, [1, 2, 3], 7);
    expect([...known]).toEqual(Array.from({ length: 28 }, (_, i) => (i >= 14 && i < 21 ? 1 : 0)));
    for (const offset of [1, 4, 7]) {
      const { mean } = summary.mean(1, { first: offset, last: offset });
      const at = 4 * (14 + offset - 1);
      const opacity = Math.round(255 * Math.sqrt(Math.min(1, mean / profile.scale)));
      expect([...pixels.subarray(at, at + 4)]).toEqual([1, 2, 3, opacity]);
    }
    // No source has such an offset, so nothing is pending.
    expect([...paintProfile(profile, [1, 2, 3], 6).known.subarray(5, 7)]).toEqual([0, 1]);
    expect(pixels.subarray(0, 4 * 14).every((byte) => byte === 0)).toBe(true);
  });
});

describe("own share by layer", () => {
  it("chooses the layer by keys, and says each layer’s numbers", async () => {
    const within = await whole();
    const plot = within.find(".spread-plot");
    expect(plot.getAttribute("aria-valuetext")).toBe(
      "layer 1 · median 0.40 · middle half 0.25 to 0.55 · 4 tokens",
    );
    press(plot, "ArrowUp");
    press(plot, "End");
    press(plot, "ArrowUp");
    expect(within.model.saved).toEqual([{ selected_layer: 2 }, { selected_layer: 3 }]);
    await frame();
    expect(plot.getAttribute("aria-valuenow")).toBe("3");
  });

  it("marks layers that are incomplete or under a shock", async () => {
    const within = opened({ layer_info: SHOCK });
    tellLayer(within.model, 0);
    tellLayer(within.model, 1, [0, 1, 2, 3, 4]);
    tellLayer(within.model, 3, [1, 2]);
    tellLayer(within.model, 2);
    await settled(within, "from 3 of 4 layers, 1 more begun");
    const kinds = within.all(".spread-dots > *").map((row) => row.className);
    expect(kinds).toEqual(["pending", "done", "done", "shock"]);
    expect(
      within
        .all(".spread-dots i")
        .map((dot) => dot.hasAttribute("data-hollow"))
        .slice(1),
    ).toEqual([false, true, true]);
  });

  it("leaves layers where another baseline stands in out of the line, and names that baseline", async () => {
    const within = await whole({ layer_info: RESAMPLED, selected_layer: 0 });
    const hollow = within.all(".spread-dots i").map((dot) => dot.hasAttribute("data-hollow"));
    expect(hollow).toEqual([false, false, false, true]);
    const points = within.find(".spread-lines polyline").getAttribute("points")?.split(" ");
    expect(points).toHaveLength(3);
    expect(within.find(".own-share .overview-words").textContent).toMatch(/ tokens · resample$/u);
    within.find(".own-share > button").click();
    expect(within.find(".spread-table tbody tr:last-child td:last-child").textContent).toBe("resample");
  });

  it("says if no token can have a share", async () => {
    const within = await whole({ window: null });
    expect(spreadWords(null, null, false)).toBe("the prompt is too short for own shares");
    expect(spreadWords(null, 4, true)).toBe("no token has an own share here");
    expect(spreadWords(null, 4, false)).toBe("no token has an own share here yet");
    expect(within.all(".spread-dots .pending")).toEqual([]);
  });

  it("is available as a table", async () => {
    const within = await whole();
    const toggle = within.find(".own-share > button");
    toggle.click();
    expect(toggle.getAttribute("aria-expanded")).toBe("true");
    const cells = [...within.find(".spread-table").querySelectorAll("tbody tr:last-child > *")];
    expect(cells.map(({ textContent }) => textContent)).toEqual(["0", "0.40", "0.25", "0.55", "4", ""]);
  });

  it("draws a shape for each stretch of layers", () => {
    const at = (median: number): { n: number; low: number; median: number; high: number } => ({
      n: 3,
      low: median - 0.1,
      median,
      high: median + 0.1,
    });
    const spreads = [at(0.2), at(0.4), null, null, at(0.8)];
    expect(linesOf(spreads)).toEqual(["0.2,4.5 0.4,3.5"]);
    expect(bandOf(spreads)).toEqual(["0.1,4.5 0.3,3.5 0.5,3.5 0.3,4.5", "0.7,0.1 0.9,0.1 0.9,0.9 0.7,0.9"]);
    // A single missing layer is bridged.
    expect(linesOf([at(0.2), null, at(0.4)])).toEqual(["0.2,2.5 0.4,0.5"]);
    expect(linesOf([null, null])).toEqual([]);
  });
});

const linksWords = (within: Opened): string | null =>
  within.find(".all-links").parentElement?.querySelector(".overview-sub")?.textContent ?? null;

describe("strongest links", () => {
  it("are listed by distance, and a click selects each", async () => {
    const within = await whole({ direction: "column", selected_target: 2 });
    const first = within.find(".all-links button");
    expect(first.textContent).toBe("+3.76 nats“ key” → “ key”4 ahead · layer 0");
    expect(within.all(".all-links button:not([hidden])")).toHaveLength(10);
    expect(first.getAttribute("data-link")).toBe("0-3-7");
    first.click();
    expect(within.model.saved).toEqual([
      { direction: "row", selected_layer: 0, selected_source: 3, selected_target: 7 },
    ]);
    await frame();
    expect(first.getAttribute("aria-pressed")).toBe("true");
    within.find('input[name="least-offset"][value="1"]').click();
    await frame();
    expect(within.all(".all-links button:not([hidden])")).toHaveLength(10);
  });

  it("are offered only at distances within the prompt", async () => {
    const within = await whole({ least_offset: 9 });
    const offered = (): (string | undefined)[] =>
      within.all(".distances label:not([hidden])").map(({ dataset }) => dataset["least"]);
    // The chosen distance stays, so that it can be changed.
    expect(offered()).toEqual(["1", "2", "9"]);
    expect(within.all(".all-links button:not([hidden])")).toHaveLength(0);
    expect(linksWords(within)).toBe("no token of this prompt lies so far ahead of another");
    within.find('input[name="least-offset"][value="2"]').click();
    await frame();
    expect(offered()).toEqual(["1", "2"]);
  });

  it("say how much of the map they cover, and which layers they leave out", async () => {
    const within = opened({ layer_info: RESAMPLED });
    tellLayer(within.model, 0);
    tellLayer(within.model, 3, [3]);
    await settled(within, "1 more begun");
    // One clicked token is not enough for a layer.
    expect(linksWords(within)).toBe("none so far, from 0 of 4 layers");
    tellLayer(within.model, 2);
    await settled(within, "from 2 of 4 layers");
    expect(linksWords(within)).toBe(
      "so far, from 1 of 4 layers: each pair at its strongest layer, at least 2 tokens ahead; " +
        "layer 0, computed with resample, left out",
    );
    expect(
      within.all(".link-place:not(:empty)").every((place) => place.textContent?.endsWith("layer 2")),
    ).toBe(true);
    tellMap(within.model);
    await settled(within, "from all 4 layers");
    expect(linksWords(within)).toBe(
      "each pair at its strongest layer, at least 2 tokens ahead; layer 0, computed with resample, left out",
    );
  });

  it("keep the focus while values arrive", async () => {
    const within = opened();
    tellLayer(within.model, 1);
    await settled(within, "from 1 of 4 layers");
    const first = within.find(".all-links button");
    first.focus();
    tellLayer(within.model, 0);
    await settled(within, "from 2 of 4 layers");
    expect(within.shadow.activeElement).toBe(first);
  });

  it("name the prediction after the prompt", async () => {
    const within = opened({ n_targets: 8 });
    tellMap(within.model, 8);
    await settled(within, "from all 4 layers");
    within.find('input[name="least-offset"][value="2"]').click();
    await frame();
    expect(within.find(".all-links").textContent).toContain("→ after the prompt");
  });
});

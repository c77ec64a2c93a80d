import { describe, expect, it } from "vitest";
import { type Layer, LEAST_OFFSETS } from "../src/kernel/protocol";
import { type Counted, MapSummary, MOST_LINKS, offsetBins, summaryOf } from "../src/state/overview";
import { Rows } from "../src/state/rows";

const LAYER: Layer = { baseline: "mean", shock: false, replaced: false, noise_floor: null, n_done: 0 };

function counted(nLayers: number, changes: Partial<Counted> = {}): Counted {
  return {
    layers: Array.from({ length: nLayers }, () => LAYER),
    sinks: [],
    withSinks: false,
    ownShare: 0,
    ...changes,
  };
}

/** Fills rows with `value(layer, source, target)`, and the one statistic with the source's position / 10. */
function tell(
  rows: Rows,
  layer: number,
  sources: readonly number[],
  value: (layer: number, source: number, target: number) => number,
): void {
  const influence = sources.flatMap((source) =>
    Array.from({ length: rows.nTargets }, (_, c) => value(layer, source, c + 1)),
  );
  rows.receive({
    type: "values",
    map_id: 1,
    layer,
    sources,
    n_targets: rows.nTargets,
    influence: Float32Array.from(influence),
    statistics: Float32Array.from(sources, (source) => (source > 7 ? Number.NaN : source / 10)),
  });
}

const all = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/** Exact in float32, of both signs, different for each cell. */
const made = (layer: number, source: number, target: number): number =>
  ((source + target) % 2 === 0 ? 1 : -1) * ((13 * layer + 7 * source + 3 * target) % 32) * 0.25;

describe("offset profile", () => {
  it("is the mean magnitude over the sources that have the offset, and counts them", () => {
    const rows = new Rows(10, 9, 2, 1);
    tell(rows, 1, all(10), made);
    const summary = new MapSummary(rows);
    summary.update(counted(2));
    for (const offset of [1, 4, 9]) {
      const sources = all(10).filter((source) => source + offset <= 9);
      const sum = sources.reduce((a, source) => a + Math.abs(made(1, source, source + offset)), 0);
      const { mean, n } = summary.mean(1, { first: offset, last: offset });
      expect(n).toBe(sources.length);
      expect(mean).toBeCloseTo(sum / n, 10);
    }
    expect(summary.mean(0, { first: 1, last: 1 })).toEqual({ mean: Number.NaN, n: 0 });
    expect([0, 1].map((layer) => summary.isEnough(layer))).toEqual([false, true]);
    expect(summary.isComplete(1)).toBe(true);
  });

  it("pools the pairs of several offsets", () => {
    const rows = new Rows(10, 9, 1, 1);
    tell(rows, 0, all(10), (_, source, target) => (target - source === 8 ? 3 : 1));
    const summary = new MapSummary(rows);
    summary.update(counted(1));
    // Offset 8 has two sources, offset 9 one.
    expect(summary.mean(0, { first: 8, last: 9 })).toEqual({ mean: 7 / 3, n: 3 });
    expect(summary.highest(0, { first: 7, last: 9 })).toBe(8);
    expect(summary.total(0, 4)).toBe(4);
  });

  it("counts what is at or below the noise floor as zero", () => {
    const rows = new Rows(4, 3, 1, 1);
    tell(rows, 0, [0, 1, 2], (_, source) => [0.5, 0.25, -1][source] ?? 0);
    const summary = new MapSummary(rows);
    summary.update(counted(1, { layers: [{ ...LAYER, noise_floor: 0.5 }] }));
    expect(summary.mean(0, { first: 1, last: 1 })).toEqual({ mean: 1 / 3, n: 3 });
    expect(summary.strongest(1)).toEqual([{ layer: 0, source: 2, target: 3, value: -1 }]);
  });

  it("leaves sinks out, and counts them on request", () => {
    const rows = new Rows(4, 3, 1, 1);
    tell(rows, 0, all(4), (_, source) => (source === 0 ? 8 : 1));
    const summary = new MapSummary(rows);
    summary.update(counted(1, { sinks: [0] }));
    expect(summary.mean(0, { first: 1, last: 1 })).toEqual({ mean: 1, n: 2 });
    expect(summary.spread(0)?.n).toBe(3);
    expect(summary.strongest(1).every(({ source }) => source > 0)).toBe(true);
    const before = summary.version;
    summary.update(counted(1, { sinks: [0], withSinks: true }));
    expect(summary.version).toBeGreaterThan(before);
    expect(summary.mean(0, { first: 1, last: 1 })).toEqual({ mean: 10 / 3, n: 3 });
    expect(summary.nSources(0)).toBe(4);
    expect(summary.spread(0)?.n).toBe(4);
    expect(summary.strongest(1)[0]).toEqual({ layer: 0, source: 0, target: 1, value: 8 });
  });
});

describe("own share", () => {
  it("is the median of the tokens that have one, and their middle half", () => {
    const rows = new Rows(12, 11, 1, 1);
    tell(rows, 0, all(12), made);
    const summary = new MapSummary(rows);
    summary.update(counted(1));
    const { n, low, median, high } = summary.spread(0) ?? { n: 0, low: 0, median: 0, high: 0 };
    expect(n).toBe(8);
    expect(low).toBeCloseTo(0.175);
    expect(median).toBeCloseTo(0.35);
    expect(high).toBeCloseTo(0.525);
    summary.update(counted(1, { ownShare: -1 }));
    expect(summary.spread(0)).toBeNull();
  });
});

describe("strongest links", () => {
  it("equal a search of every cell, each pair once at its strongest layer", () => {
    const rows = new Rows(40, 40, 3, 1);
    const value = (layer: number, source: number, target: number): number =>
      Math.fround(Math.sin(layer * 7.1 + source * 3.7 + target * 1.3) * 5);
    for (const layer of all(3)) tell(rows, layer, all(40), value);
    const summary = new MapSummary(rows);
    summary.update(counted(3));
    for (const least of LEAST_OFFSETS) {
      const best = new Map<string, number>();
      for (const layer of all(3))
        for (const source of all(40))
          for (let target = source + least; target <= 40; target += 1) {
            const found = value(layer, source, target);
            const pair = `${source} ${target}`;
            if (Math.abs(found) > Math.abs(best.get(pair) ?? 0)) best.set(pair, found);
          }
      const expected = [...best.values()].sort((a, b) => Math.abs(b) - Math.abs(a)).slice(0, MOST_LINKS);
      const links = summary.strongest(least);
      expect(links.map((link) => link.value)).toEqual(expected);
      for (const { layer, source, target, value: found } of links) {
        expect(found).toBe(value(layer, source, target));
        expect(target - source).toBeGreaterThanOrEqual(least);
      }
      expect(new Set(links.map(({ source, target }) => `${source} ${target}`)).size).toBe(links.length);
    }
  });

  it("leave out layers where the mean is a shock, whatever replaces it", () => {
    const rows = new Rows(4, 3, 2, 1);
    for (const layer of [0, 1]) tell(rows, layer, all(4), () => (layer === 0 ? 100 : 1));
    const summary = new MapSummary(rows);
    summary.update(counted(2, { layers: [{ ...LAYER, shock: true }, LAYER] }));
    expect(summary.strongest(1).every(({ layer }) => layer === 1)).toBe(true);
    summary.update(
      counted(2, { layers: [{ ...LAYER, shock: true, baseline: "resample", replaced: true }, LAYER] }),
    );
    expect(summary.strongest(1).every(({ layer }) => layer === 1)).toBe(true);
    summary.update(counted(2, { layers: [LAYER, LAYER] }));
    expect(summary.strongest(1)[0]?.value).toBe(100);
  });
});

describe("while values arrive", () => {
  it("has the same result row by row, at once, and when a row arrives again", () => {
    const rows = new Rows(10, 9, 1, 1);
    const summary = new MapSummary(rows);
    for (const source of [3, 9, 0, 1, 2, 8, 7, 5, 4, 6]) {
      tell(rows, 0, [source], (layer, s, t) => (source === 5 ? 999 : made(layer, s, t)));
      summary.update(counted(1));
    }
    tell(rows, 0, [5], made);
    summary.update(counted(1));
    const whole = new MapSummary(rows);
    whole.update(counted(1));
    for (const bin of offsetBins(9))
      expect(summary.mean(0, bin).mean).toBeCloseTo(whole.mean(0, bin).mean, 10);
    expect(summary.strongest(1)).toEqual(whole.strongest(1));
  });

  it("changes its version only with its content", () => {
    const rows = new Rows(4, 3, 2, 1);
    const summary = summaryOf(rows);
    const what = counted(2);
    summary.update(what);
    const empty = summary.version;
    summary.update(what);
    expect(summary.version).toBe(empty);
    tell(rows, 1, [2], made);
    summary.update(what);
    expect(summary.version).toBe(empty + 1);
    expect(summaryOf(rows)).toBe(summary);
  });
});

describe("bins of offsets", () => {
  it.each([1, 5, 64, 65, 200, 1000, 4000])("cover %i offsets without a gap", (nOffsets) => {
    const bins = offsetBins(nOffsets);
    expect(bins[0]?.first).toBe(1);
    expect(bins.at(-1)?.last).toBe(nOffsets);
    for (const [i, bin] of bins.entries()) {
      expect(bin.last).toBeGreaterThanOrEqual(bin.first);
      if (i > 0) expect(bin.first).toBe((bins[i - 1]?.last ?? 0) + 1);
    }
    expect(bins.length).toBeLessThanOrEqual(90);
  });

  it("are single offsets near by, and no wider than an eighth of the distance", () => {
    expect(offsetBins(60)).toHaveLength(60);
    for (const { first, last } of offsetBins(1000)) {
      if (first < 16) expect(last).toBe(first);
      expect(last - first + 1).toBeLessThanOrEqual(Math.max(1, first / 8));
    }
  });
});

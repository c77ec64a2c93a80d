import { describe, expect, it } from "vitest";
import type { Reading } from "../src/state/reading";
import { Rows } from "../src/state/rows";
import { roundUp, scaleOf } from "../src/state/scale";
import { openStore, rows, tellLayer, traits } from "./fake";

const layers = traits().layer_info;

/** One row of source 2 at each layer, the same value everywhere. */
function even(values: Readonly<Record<number, number>>): Rows {
  const map = new Rows(8, 7, 4, 0);
  for (const [layer, value] of Object.entries(values))
    map.receive({
      type: "values",
      map_id: 1,
      layer: Number(layer),
      sources: [2],
      n_targets: 7,
      influence: new Float32Array(7).fill(value),
      statistics: new Float32Array(0),
    });
  return map;
}

const ROW: Reading = { kind: "row", source: 2 };

describe("the scale", () => {
  it("is the greatest magnitude of the reading at any layer, rounded up", () => {
    expect(scaleOf(even({ 0: 0.3, 3: -1.7 }), ROW, layers)).toBe(2);
    expect(scaleOf(rows(), { kind: "row", source: 3 }, layers)).toBe(4);
    expect(scaleOf(rows(), { kind: "column", target: 7 }, layers)).toBe(4);
    expect(scaleOf(rows(), { kind: "offset", offset: 4 }, layers)).toBe(4);
  });

  it("is NaN before the first value and for a statistic", () => {
    expect(scaleOf(even({}), ROW, layers)).toBeNaN();
    expect(scaleOf(rows(), { kind: "statistic" }, layers)).toBeNaN();
  });

  it("leaves out a source's own next token if there are other values", () => {
    // Influence on the next token is 1/2, on the one after it 1/3.
    expect(scaleOf(rows(), { kind: "row", source: 4 }, layers)).toBe(0.4);
    expect(scaleOf(rows(), { kind: "column", target: 5 }, layers)).toBe(0.4);
    expect(scaleOf(rows(), { kind: "row", source: 6 }, layers)).toBe(0.5);
  });

  it("leaves out a shock if there are other layers", () => {
    const shocked = layers.map((layer, i) => ({ ...layer, shock: i === 1 }));
    expect(scaleOf(even({ 1: 900 }), ROW, shocked)).toBe(1000);
    expect(scaleOf(even({ 1: 900, 2: 0.7 }), ROW, shocked)).toBe(0.8);
    const resampled = shocked.map((layer) => ({ ...layer, baseline: "resample", replaced: true }));
    expect(scaleOf(even({ 1: 900, 2: 0.7 }), ROW, resampled)).toBe(1000);
  });

  it("is not enlarged below the noise floor, and ignores NaN", () => {
    expect(scaleOf(even({ 0: 0.0001 }), ROW, layers)).toBe(0.1);
    expect(scaleOf(even({ 0: Number.POSITIVE_INFINITY, 1: 0.7, 2: Number.NaN }), ROW, layers)).toBe(0.8);
    expect(scaleOf(even({ 0: Number.NEGATIVE_INFINITY }), ROW, layers)).toBeNaN();
  });

  it("only grows while values arrive, and may be fixed", () => {
    const { model, store } = openStore({ selected_source: 3 });
    expect(store.maps.main.scale.value).toBeNaN();
    const seen: number[] = [];
    for (const layer of [1, 0, 3, 2]) {
      tellLayer(model, layer, [3]);
      seen.push(store.maps.main.scale.value);
    }
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    store.kernel.set({ fixed_scale: 2.5 });
    expect(store.maps.main.scale.value).toBe(2.5);
    store.selection.selectToken(5);
    expect(store.maps.main.scale.value).toBe(2.5);
    store.kernel.set({ fixed_scale: null });
    expect(store.maps.main.scale.value).toBeNaN();
    expect(model.saved.map((changes) => changes["fixed_scale"])).toEqual([2.5, undefined, null]);
  });
});

describe("rounding up", () => {
  it.each([
    [4, 4],
    [4.01, 5],
    [0.0011, 0.00125],
    [99, 100],
    [101, 125],
    [1e-8, 1e-8],
    [7.5e9, 8e9],
  ])("%d to %d", (value, expected) => {
    expect(roundUp(value)).toBeCloseTo(expected, 12);
  });
});

import { describe, expect, it } from "vitest";
import { influence, openStore, rows, tellLayer, traits, WORDS } from "./fake";

describe("values", () => {
  it("are kept by layer and source, later targets only", () => {
    const { model, store } = openStore();
    tellLayer(model, 1);
    const kept = store.maps.main.rows.value;
    expect(kept.influence(1, 3, 7)).toBeCloseTo(3.76, 5);
    expect(kept.influence(1, 2, 3)).toBeCloseTo(influence(1, 2, 3), 5);
    expect(kept.influence(1, 3, 3)).toBeUndefined();
    expect(kept.row(1, 3)).toHaveLength(WORDS.length - 1 - 3);
    expect(kept.row(0, 3)).toBeUndefined();
  });

  it("distinguish a missing number from one that has not arrived", () => {
    const { model, store } = openStore();
    tellLayer(model, 1);
    const kept = store.maps.main.rows.value;
    expect(kept.statistic(0, 1, 2)).toBeCloseTo(0.5, 5);
    expect(kept.statistic(1, 1, 2)).toBeCloseTo(1.5, 5);
    expect(kept.statistic(0, 1, 6)).toBeNaN();
    expect(kept.statistic(0, 2, 6)).toBeUndefined();
  });

  it("include the prediction after the prompt", () => {
    const map = rows(WORDS.length);
    expect(map.influence(1, 7, 8)).toBeCloseTo(influence(1, 7, 8), 5);
    expect(map.row(1, 7)).toHaveLength(1);
    expect(rows().row(1, 7)).toHaveLength(0);
  });

  it("may arrive in any order and twice", () => {
    const { model, store } = openStore();
    tellLayer(model, 1, [5, 2]);
    tellLayer(model, 1, [2]);
    tellLayer(model, 1, [0]);
    const kept = store.maps.main.rows.value;
    expect(kept.nSources(1)).toBe(3);
    expect(kept.nRows(2)).toBe(1);
    expect(kept.influence(1, 5, 6)).toBeCloseTo(influence(1, 5, 6), 5);
    expect(kept.influence(1, 2, 4)).toBeCloseTo(influence(1, 2, 4), 5);
  });

  it("signal that values of a layer have arrived", () => {
    const { model, store } = openStore();
    tellLayer(model, 1, [5]);
    const version = store.maps.main.rows.value.version(1);
    tellLayer(model, 2, [5]);
    expect(store.maps.main.rows.value.version(1)).toBe(version);
    tellLayer(model, 1, [5]);
    expect(store.maps.main.rows.value.version(1)).toBeGreaterThan(version);
  });

  it("of another map are dropped", () => {
    const { model, store } = openStore();
    tellLayer(model, 1, undefined, 7);
    expect(store.maps.main.rows.value.nSources(1)).toBe(0);
    tellLayer(model, 1);
    expect(store.maps.main.rows.value.nSources(1)).toBe(WORDS.length);
    model.fromKernel({ map_id: 2, tokens: traits().tokens.slice(1), n_targets: 6 });
    expect(store.maps.main.rows.value.nSources(1)).toBe(0);
    expect(store.maps.main.rows.value.nTokens).toBe(7);
    expect(store.kernel.problem.value).toBeNull();
  });

  it("that do not fit the map are refused without breaking", () => {
    const { model, store } = openStore();
    const head = { type: "values", map_id: 1, layer: 0, sources: [1], n_targets: 6 };
    model.tell(head, new ArrayBuffer(24), new ArrayBuffer(8));
    expect(store.kernel.problem.value?.detail).toContain("6 targets");
    model.tell({ ...head, n_targets: 7 }, new ArrayBuffer(28), new ArrayBuffer(12));
    expect(store.kernel.problem.value?.detail).toContain("3 statistics");
    model.tell("nonsense");
    tellLayer(model, 1);
    expect(store.maps.main.rows.value.nSources(1)).toBe(WORDS.length);
    expect(store.maps.main.rows.value.nSources(0)).toBe(0);
  });
});

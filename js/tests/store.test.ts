import { describe, expect, it } from "vitest";
import { MOST_PINNED } from "../src/kernel/protocol";
import { INITIAL } from "../src/kernel/traits";
import { ModelTransport } from "../src/kernel/transport";
import { Store } from "../src/state/store";
import { FakeModel, openStore, tellLayer, tellMap, traits, WORDS, welcome } from "./fake";

const T = WORDS.length;
const PROBLEM = { title: "No such token", advice: "Choose another.", detail: "" };

describe("a click on a token", () => {
  it("reads its row at once, and tells the kernel", () => {
    const { model, store } = openStore({ selected_target: 7, selected_offset: 3 });
    store.selection.selectToken(3);
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
    expect(model.saved).toEqual([{ selected_source: 3, selected_target: null, selected_offset: null }]);
  });

  it("reads its column if the direction is column", () => {
    const { model, store } = openStore({ direction: "column" });
    store.selection.selectToken(7);
    expect(store.maps.main.reading.value).toEqual({ kind: "column", target: 7 });
    expect(store.maps.main.cell.value).toBeNull();
    store.selection.selectToken(3, "row");
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
    expect(model.saved.at(-1)).toEqual({ direction: "row", selected_source: 3, selected_target: null });
  });

  it("does nothing if there is nothing to read", () => {
    const { model, store } = openStore();
    store.selection.selectToken(0, "column");
    store.selection.selectToken(T, "column");
    store.selection.selectToken(T, "row");
    expect(model.saved).toEqual([]);
  });

  it("reads the column of the prediction after the prompt, if there is one", () => {
    const { model, store } = openStore({ n_targets: T });
    tellMap(model, T);
    store.selection.selectToken(T, "column");
    expect(store.maps.main.reading.value).toEqual({ kind: "column", target: T });
    expect(store.maps.main.complete.value).toBe(true);
    store.selection.selectCellAt(7);
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 7, target: T });
  });
});

describe("a cell", () => {
  it("is selected between the anchor and another token", () => {
    const { model, store } = openStore();
    store.selection.selectCellAt(7);
    expect(model.saved).toEqual([]);
    store.selection.selectToken(3);
    store.selection.selectCellAt(2);
    expect(store.maps.main.cell.value).toBeNull();
    store.selection.selectCellAt(7);
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 3, target: 7 });
    expect(model.saved.at(-1)).toEqual({ selected_target: 7 });
    store.selection.selectLayer(2);
    expect(store.maps.main.cell.value).toEqual({ layer: 2, source: 3, target: 7 });
  });

  it("of an offset is selected by its source", () => {
    const { store } = openStore();
    store.selection.selectOffset(2, 4);
    expect(store.maps.main.reading.value).toEqual({ kind: "offset", offset: 4 });
    store.selection.selectCellAt(3);
    expect(store.maps.main.cell.value).toEqual({ layer: 2, source: 3, target: 7 });
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
  });

  it("is released without its row or column", () => {
    const { store } = openStore({ selected_source: 3, selected_target: 7 });
    store.selection.releaseCell();
    expect([store.maps.main.reading.value, store.maps.main.cell.value]).toEqual([
      { kind: "row", source: 3 },
      null,
    ]);
    store.selection.selectCellAt(7);
    store.selection.turn("column");
    store.selection.releaseCell();
    expect([store.maps.main.reading.value, store.maps.main.cell.value]).toEqual([
      { kind: "column", target: 7 },
      null,
    ]);
  });
});

describe("switching between rows and columns", () => {
  it("reads the same cell from its other end", () => {
    const { model, store } = openStore({ selected_source: 3, selected_target: 7 });
    store.selection.turn("column");
    expect(store.maps.main.reading.value).toEqual({ kind: "column", target: 7 });
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 3, target: 7 });
    store.selection.turn("row");
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
    expect(model.saved).toEqual([{ direction: "column" }, { direction: "row" }]);
  });

  it("reads the same token if no cell is selected", () => {
    const { store } = openStore({ selected_source: 3 });
    store.selection.turn("column");
    expect(store.maps.main.reading.value).toEqual({ kind: "column", target: 3 });
    store.selection.turn("row");
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
  });

  it("releases a token without the other direction", () => {
    const { store } = openStore({ selected_source: 0 });
    store.selection.turn("column");
    expect(store.maps.main.reading.value).toEqual({ kind: "statistic" });
    expect(store.traits.direction.value).toBe("column");
    const after = openStore({ n_targets: T, direction: "column", selected_target: T }).store;
    after.selection.turn("row");
    expect(after.maps.main.reading.value).toEqual({ kind: "row", source: T - 1 });
  });

  it("keeps a statistic or an offset, and does nothing if the direction stays", () => {
    const { model, store } = openStore({ selected_offset: 2 });
    store.selection.turn("column");
    expect(store.maps.main.reading.value).toEqual({ kind: "offset", offset: 2 });
    store.selection.turn("column");
    expect(model.saved).toEqual([{ direction: "column" }]);
  });
});

describe("the selection", () => {
  it("follows the kernel, within the map", () => {
    const { model, store } = openStore();
    model.fromKernel({ selected_source: 3, selected_target: 7, selected_layer: 2 });
    expect(store.maps.main.cell.value).toEqual({ layer: 2, source: 3, target: 7 });
    model.fromKernel({ selected_target: 2, selected_layer: 99 });
    expect([store.maps.main.cell.value, store.maps.main.layer.value]).toEqual([null, 3]);
    model.fromKernel({ selected_source: 99 });
    expect(store.maps.main.reading.value).toEqual({ kind: "statistic" });
  });

  it("is not saved again if nothing changes", () => {
    const { model, store } = openStore({ selected_layer: 2 });
    store.selection.selectLayer(2);
    store.selection.clear();
    store.selection.selectStatistic("own_share");
    store.selection.turn("row");
    expect(model.saved).toEqual([]);
  });

  it("of a statistic releases tokens", () => {
    const { store } = openStore({ selected_source: 3, selected_target: 7 });
    store.selection.selectStatistic("expected_horizon");
    expect(store.maps.main.reading.value).toEqual({ kind: "statistic" });
    expect(store.maps.main.statistic.value?.label).toBe("expected horizon");
    expect(store.maps.main.statisticIndex.value).toBe(1);
    store.selection.selectStatistic("no such thing");
    expect(store.maps.main.statistic.value?.name).toBe("own_share");
  });

  it("says whether the values that it asks for have arrived", () => {
    const { model, store } = openStore();
    const complete = (): boolean => store.maps.main.complete.value;
    expect(complete()).toBe(false);
    tellLayer(model, 1);
    expect(complete()).toBe(true);
    store.selection.selectToken(3);
    expect(complete()).toBe(false);
    for (const layer of [0, 2, 3]) tellLayer(model, layer, [3]);
    expect(complete()).toBe(true);
    store.selection.selectLayer(2);
    store.selection.selectToken(3, "column");
    expect(complete()).toBe(false);
    tellLayer(model, 2, [0, 1, 2]);
    expect(complete()).toBe(true);
    store.selection.selectStatistic("own_share");
    expect(complete()).toBe(false);
    const progress = { task: "layer 2", done: 0.1, seconds_left: null };
    model.fromKernel({ progress: { ...progress, filling: "on request" } });
    expect(complete(), "a click is answered, the rest is not computed").toBe(false);
    model.fromKernel({ progress: { ...progress, filling: "stopped" } });
    expect(complete()).toBe(true);
  });
});

describe("pins", () => {
  it("are added up to a limit, and removed", () => {
    const { model, store } = openStore();
    for (let source = 0; source < MOST_PINNED; source += 1)
      expect(store.selection.togglePin(source)).toBe(true);
    expect(store.selection.togglePin(6)).toBe(false);
    expect(store.selection.togglePin(0)).toBe(false);
    expect(store.traits.pinned_sources.value).toEqual([1, 2, 3]);
    expect(store.selection.togglePin(6)).toBe(true);
    expect(model.saved.at(-1)).toEqual({ pinned_sources: [1, 2, 3, 6] });
  });
});

describe("requests to the kernel", () => {
  it("are sent as messages", () => {
    const { model, store } = openStore();
    store.kernel.greet();
    welcome(model);
    store.kernel.send({ type: "cancel" });
    store.kernel.send({ type: "resume" });
    store.kernel.writeOn(12);
    const asked = {
      prompt: "Anna",
      metric: ["logit", " key"],
      baseline: ["mean"],
      layers: [1, 2],
      n_tokens: 0,
    };
    store.kernel.open(asked);
    expect(model.asked.slice(1)).toEqual([
      { type: "cancel" },
      { type: "resume" },
      { type: "write_on", n_tokens: 12 },
      { type: "open", ...asked },
    ]);
  });

  it("may fail, which is shown until the next attempt or the next map", () => {
    const { model, store } = openStore();
    const fail = (): void => model.tell({ type: "failed", field: "metric", problem: PROBLEM });
    fail();
    expect(store.kernel.failed.value).toMatchObject({ field: "metric", problem: PROBLEM });
    expect(store.kernel.problem.value).toBeNull();
    store.kernel.open({ prompt: "x", metric: ["logit"], baseline: null, layers: null, n_tokens: 0 });
    expect(store.kernel.failed.value).toBeNull();
    fail();
    store.kernel.writeOn(2);
    expect(store.kernel.failed.value).toBeNull();
    fail();
    model.fromKernel({ map_id: 2, tokens: traits().tokens.slice(1), n_targets: 6 });
    expect(store.kernel.failed.value).toBeNull();
  });
});

describe("traits", () => {
  it("may still be empty", () => {
    const store = new Store(new ModelTransport(new FakeModel({ query: {}, progress: {}, asked: {} })));
    expect(store.kernel.problem.value).toBeNull();
    expect(store.traits.query.value).toEqual(INITIAL.query);
  });

  it("may arrive one by one, targets before their tokens", () => {
    const { model, store } = openStore();
    const longer = [...WORDS, " again"].map((text, word) => ({ text, piece: null, id: null, word }));
    model.fromKernel({ map_id: 2, n_targets: T + 1 });
    model.fromKernel({ tokens: longer });
    expect(store.maps.main.rows.value).toMatchObject({ nTokens: T + 1, nTargets: T + 1 });
  });
});

it("leaves no listener", () => {
  const { model, store } = openStore();
  expect(model.nListeners).toBeGreaterThan(0);
  store.dispose();
  expect(model.nListeners).toBe(0);
});

import { afterEach, describe, expect, it, vi } from "vitest";
import { History, SETTLED_MS, type Selected } from "../src/state/history";
import { openStore, traits } from "./fake";

const START: Selected = {
  direction: "row",
  statistic: "own_share",
  selected_layer: 1,
  selected_source: null,
  selected_target: null,
  selected_offset: null,
};

function at(changes: Partial<Selected>): Selected {
  return { ...START, ...changes };
}

afterEach(() => {
  vi.useRealTimers();
});

describe("the history of selections", () => {
  it("goes back and forth", () => {
    const history = new History();
    const steps = [START, at({ selected_source: 3 }), at({ selected_source: 3, selected_target: 7 })];
    for (const step of steps) history.note(step);
    expect([history.canUndo.value, history.canRedo.value]).toEqual([true, false]);
    expect(history.undo()).toEqual(steps[1]);
    expect(history.undo()).toEqual(steps[0]);
    expect(history.undo()).toBeNull();
    expect([history.canUndo.value, history.canRedo.value]).toEqual([false, true]);
    expect(history.redo()).toEqual(steps[1]);
    expect(history.redo()).toEqual(steps[2]);
    expect(history.redo()).toBeNull();
  });

  it("counts the current selection as no step", () => {
    const history = new History();
    history.note(START);
    history.note({ ...START });
    expect(history.canUndo.value).toBe(false);
  });

  it("counts moves through the layers as one step", () => {
    const history = new History();
    history.note(START);
    history.note(at({ selected_source: 3 }));
    for (const layer of [2, 3, 4, 5]) history.note(at({ selected_source: 3, selected_layer: layer }));
    history.note(at({ selected_source: 4, selected_layer: 5 }));
    expect(history.undo()).toEqual(at({ selected_source: 3, selected_layer: 5 }));
    expect(history.undo()).toEqual(at({ selected_source: 3 }));
    expect(history.undo()).toEqual(START);
  });

  it("forgets undone steps when something else is selected", () => {
    const history = new History();
    history.note(START);
    history.note(at({ selected_source: 3 }));
    history.undo();
    history.note(at({ selected_source: 5 }));
    expect(history.canRedo.value).toBe(false);
    expect(history.undo()).toEqual(START);
  });

  it("counts a selection that comes trait by trait as one step, and an echo as none", () => {
    vi.useFakeTimers();
    const history = new History();
    history.begin(START);
    history.noteSoon(at({ selected_source: 3 }));
    history.noteSoon(at({ selected_source: 3, selected_target: 7 }));
    vi.advanceTimersByTime(SETTLED_MS);
    history.noteSoon(START);
    history.noteSoon(at({ selected_source: 3, selected_target: 7 }));
    vi.advanceTimersByTime(SETTLED_MS);
    expect(history.undo()).toEqual(START);
    expect(history.undo()).toBeNull();
  });

  it("never holds a target at or before its source", () => {
    const history = new History();
    history.note(at({ selected_source: 5, selected_target: 3 }));
    history.note(at({ direction: "column", selected_source: 5, selected_target: 5 }));
    history.note(START);
    expect(history.undo()).toEqual(at({ direction: "column", selected_target: 5 }));
    expect(history.undo()).toEqual(at({ selected_source: 5 }));
  });

  it("does not grow without limit", () => {
    const history = new History();
    for (let step = 0; step < 5000; step += 1) history.note(at({ selected_source: step }));
    let undone = 0;
    while (history.undo() !== null) undone += 1;
    expect(undone).toBe(200);
  });
});

describe("undo in the store", () => {
  it("shows what was selected before, and the kernel hears of it", () => {
    const { model, store } = openStore();
    store.selection.undo();
    expect(model.saved).toEqual([]);
    store.selection.selectToken(3);
    store.selection.selectCellAt(7);
    store.selection.undo();
    expect(store.maps.main.cell.value).toBeNull();
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
    expect(model.saved.at(-1)).toEqual({ selected_target: null });
    store.selection.undo();
    expect(store.maps.main.reading.value).toEqual({ kind: "statistic" });
    store.selection.redo();
    store.selection.redo();
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 3, target: 7 });
    expect(store.selection.history.canRedo.value).toBe(false);
  });

  it("goes back through the clicks, even if the host takes changes one by one", () => {
    const { store } = openStore();
    store.selection.selectToken(1);
    store.selection.selectCellAt(3);
    store.selection.selectToken(5);
    store.selection.undo();
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 1, target: 3 });
    store.selection.undo();
    expect([store.maps.main.reading.value, store.maps.main.cell.value]).toEqual([
      { kind: "row", source: 1 },
      null,
    ]);
    store.selection.undo();
    expect(store.maps.main.reading.value).toEqual({ kind: "statistic" });
    expect(store.selection.history.canUndo.value).toBe(false);
  });

  it("counts late echoes of the kernel, one by one, as no steps", () => {
    vi.useFakeTimers();
    const { model, store } = openStore();
    store.selection.selectToken(1);
    store.selection.selectCellAt(3);
    store.selection.selectToken(5);
    for (const [name, value] of [
      ["selected_source", 1],
      ["selected_target", 3],
      ["selected_source", 5],
      ["selected_target", null],
    ] as const)
      model.fromKernel({ [name]: value });
    vi.advanceTimersByTime(SETTLED_MS);
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 5 });
    store.selection.undo();
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 1, target: 3 });
    store.selection.undo();
    store.selection.undo();
    expect(store.maps.main.reading.value).toEqual({ kind: "statistic" });
    expect(store.selection.history.canUndo.value).toBe(false);
  });

  it("counts a selection by Python, trait by trait, as one step", () => {
    vi.useFakeTimers();
    const { model, store } = openStore();
    for (const change of [{ selected_source: 3 }, { selected_layer: 2 }, { selected_target: 6 }])
      model.fromKernel(change);
    vi.advanceTimersByTime(SETTLED_MS);
    store.selection.undo();
    expect([store.maps.main.reading.value, store.maps.main.layer.value]).toEqual([{ kind: "statistic" }, 1]);
    expect(store.selection.history.canUndo.value).toBe(false);
  });

  it("also undoes a selection by Python", () => {
    const { model, store } = openStore();
    model.fromKernel({ selected_source: 3, selected_layer: 2 });
    store.selection.selectToken(5); // at once
    store.selection.undo();
    expect([store.traits.selected_source.value, store.maps.main.layer.value]).toEqual([3, 2]);
    store.selection.undo();
    expect([store.traits.selected_source.value, store.maps.main.layer.value]).toEqual([null, 1]);
  });

  it("begins again with another map", () => {
    const { model, store } = openStore();
    store.selection.selectToken(3);
    model.fromKernel({ map_id: 2, tokens: traits().tokens.slice(2), n_targets: 5 });
    expect([store.selection.history.canUndo.value, store.selection.history.canRedo.value]).toEqual([
      false,
      false,
    ]);
    store.selection.undo();
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
    store.selection.selectToken(4);
    store.selection.undo();
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
  });
});

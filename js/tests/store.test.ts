import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { PATIENCE_MS, Store } from "../src/state/store";
import { ModelTransport } from "../src/kernel/transport";
import { FakeModel, influence, tellLayer, traits, WORDS } from "./fake";

function open(changes = {}): { model: FakeModel; store: Store } {
  const model = new FakeModel(traits(changes));
  return { model, store: new Store(new ModelTransport(model)) };
}

describe("values", () => {
  it("are kept by layer and source, later targets only", () => {
    const { model, store } = open();
    tellLayer(model, 1);
    const rows = store.rows.value;
    expect(rows.influence(1, 3, 7)).toBeCloseTo(3.76, 5);
    expect(rows.influence(1, 2, 3)).toBeCloseTo(influence(1, 2, 3), 5);
    expect(rows.row(1, 3)).toHaveLength(WORDS.length - 1 - 3);
    expect(rows.row(0, 3)).toBeUndefined();
    expect(rows.statistic(0, 1, 2)).toBeCloseTo(0.5, 5);
    expect(rows.statistic(1, 1, 2)).toBeCloseTo(1.5, 5);
    expect(rows.statistic(0, 1, 6)).toBeNaN();
    expect(rows.statistic(0, 2, 6)).toBeUndefined();
  });

  it("may come in any order and twice", () => {
    const { model, store } = open();
    tellLayer(model, 1, [5, 2]);
    tellLayer(model, 1, [2]);
    tellLayer(model, 1, [0]);
    expect(store.rows.value.nSources(1)).toBe(3);
    expect(store.rows.value.influence(1, 5, 6)).toBeCloseTo(influence(1, 5, 6), 5);
    expect(store.rows.value.influence(1, 2, 4)).toBeCloseTo(influence(1, 2, 4), 5);
  });

  it("of another map are dropped, and go with theirs", () => {
    const { model, store } = open();
    tellLayer(model, 1, undefined, 7);
    expect(store.rows.value.nSources(1)).toBe(0);
    tellLayer(model, 1);
    expect(store.rows.value.nSources(1)).toBe(WORDS.length);
    model.fromKernel({ map_id: 2, tokens: traits().tokens.slice(1) });
    expect(store.rows.value.nSources(1)).toBe(0);
    expect(store.problem.value).toBeNull();
  });

  it("that do not fit the map are refused without breaking", () => {
    const { model, store } = open();
    tellLayer(model, 9);
    expect(store.problem.value?.detail).toContain("layer 9");
    model.tell(
      { type: "values", map_id: 1, layer: 0, sources: [99], n_targets: 7 },
      new ArrayBuffer(28),
      new ArrayBuffer(8),
    );
    expect(store.problem.value?.detail).toContain("source 99");
    model.tell("nonsense");
    model.tell({ type: "values" }, "buffers");
    tellLayer(model, 1);
    expect(store.rows.value.nSources(1)).toBe(WORDS.length);
  });
});

describe("selection", () => {
  it("is shown at once and saved", () => {
    const { model, store } = open({ selected_target: 7 });
    store.selectSource(3);
    expect(store.source.value).toBe(3);
    expect(model.saved).toEqual([{ selected_source: 3, selected_target: null }]);
  });

  it("follows the kernel, within the map", () => {
    const { model, store } = open();
    model.fromKernel({ selected_source: 3, selected_target: 7, selected_layer: 2 });
    expect([store.source.value, store.target.value, store.layer.value]).toEqual([3, 7, 2]);
    model.fromKernel({ selected_target: 2, selected_layer: 99 });
    expect([store.target.value, store.layer.value]).toEqual([null, 3]);
    model.fromKernel({ selected_source: 99 });
    expect(store.source.value).toBeNull();
  });

  it("is not saved again where nothing changes", () => {
    const { model, store } = open({ selected_layer: 2 });
    store.selectLayer(2);
    store.selectSource(null);
    store.selectStatistic("own_share");
    expect(model.saved).toEqual([]);
  });

  it("tells whether what it asks for is here", () => {
    const { model, store } = open();
    expect(store.complete.value).toBe(false);
    tellLayer(model, 1);
    expect(store.complete.value).toBe(true);
    store.selectSource(3);
    expect(store.complete.value).toBe(false);
    for (const layer of [0, 2, 3]) tellLayer(model, layer, [3]);
    expect(store.complete.value).toBe(true);
    store.selectLayer(2);
    store.selectSource(null);
    expect(store.complete.value).toBe(false);
    model.fromKernel({ progress: { task: "layer 2", done: 0.1, seconds_left: null, filling: "stopped" } });
    expect(store.complete.value).toBe(true);
  });
});

describe("scale", () => {
  it("leaves out the own next token, and is a round number", () => {
    const { model, store } = open({ selected_source: 3 });
    expect(store.scale.value).toBeNaN();
    tellLayer(model, 1);
    expect(store.scale.value).toBe(4);
  });

  it("leaves out a shock where there is anything else", () => {
    const shocked = traits().layers.map((layer, i) => ({ ...layer, shock: i === 1 }));
    const { model, store } = open({ selected_source: 2, layers: shocked });
    const tell = (layer: number, value: number): void =>
      model.tell(
        { type: "values", map_id: 1, layer, sources: [2], n_targets: 7 },
        new Float32Array([0, 0, value, value, value, value, value]).buffer,
        new ArrayBuffer(8),
      );
    tell(1, 900);
    expect(store.scale.value).toBe(1000);
    tell(2, 0.7);
    expect(store.scale.value).toBe(0.8);
    model.fromKernel({ layers: shocked.map((layer) => ({ ...layer, baseline: "resample" as const })) });
    expect(store.scale.value).toBe(1000);
  });
});

describe("connection", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("says hello once", () => {
    const { model, store } = open();
    store.greet();
    store.greet();
    expect(model.sent).toEqual([{ type: "hello", protocol_version: 1 }]);
  });

  it("tells when the kernel does not answer, and hears it later", () => {
    const { model, store } = open();
    store.greet();
    vi.advanceTimersByTime(PATIENCE_MS + 1);
    expect(store.connection.value).toBe("silent");
    model.tell({ type: "welcome", protocol_version: 1, map_id: 1 });
    expect(store.connection.value).toBe("connected");
  });

  it("refuses another version of the protocol", () => {
    const { model, store } = open();
    store.greet();
    model.tell({ type: "welcome", protocol_version: 2, map_id: 1 });
    expect(store.connection.value).toBe("refused");
    tellLayer(model, 1);
    expect(store.rows.value.nSources(1)).toBe(0);
    expect(open({ protocol_version: 2 }).store.connection.value).toBe("refused");
  });

  it("shows what the kernel could not read", () => {
    const { model, store } = open();
    model.tell({ type: "rejected", reason: "unknown type" });
    expect(store.problem.value?.detail).toBe("unknown type");
  });

  it("begins with traits that are still empty", () => {
    const model = new FakeModel({ query: {}, progress: {} });
    const store = new Store(new ModelTransport(model));
    expect(store.problem.value).toBeNull();
    expect(store.traits.query.value.unit).toBe("nats");
  });

  it("keeps what it had where a trait cannot be read", () => {
    const { model, store } = open();
    model.fromKernel({ tokens: 3 });
    expect(store.traits.tokens.value).toHaveLength(WORDS.length);
    expect(store.problem.value?.detail).toContain("tokens");
  });

  it("leaves no listener", () => {
    const { model, store } = open();
    expect(model.nListeners).toBeGreaterThan(0);
    store.dispose();
    expect(model.nListeners).toBe(0);
  });
});

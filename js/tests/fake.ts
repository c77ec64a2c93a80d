/** Stand-ins for the host, used by the tests. */

import facts from "../../tests/protocol/facts.json";
import {
  type Aspect,
  type Findings,
  PROTOCOL_VERSION,
  type Query,
  type Traits,
} from "../src/kernel/protocol";
import { INITIAL } from "../src/kernel/traits";
import type { Model } from "../src/kernel/transport";
import { ModelTransport } from "../src/kernel/transport";
import { Rows } from "../src/state/rows";
import { Store } from "../src/state/store";

type Callback = (...args: never[]) => void;

/** happy-dom has no layout, and no `offsetParent`. */
if (!("offsetParent" in HTMLElement.prototype))
  Object.defineProperty(HTMLElement.prototype, "offsetParent", {
    get(this: HTMLElement): Element | null {
      return this.parentElement;
    },
  });

/** happy-dom gives each shadow root a focus that is in another one. */
const activeElement = Object.getOwnPropertyDescriptor(ShadowRoot.prototype, "activeElement");
Object.defineProperty(ShadowRoot.prototype, "activeElement", {
  get(this: ShadowRoot): Element | null {
    return document.activeElement === this.host ? activeElement?.get?.call(this) : null;
  },
});

/** A model like anywidget's. It counts its listeners, and records what was sent and saved. */
export class FakeModel {
  readonly sent: unknown[] = [];
  readonly saved: Record<string, unknown>[] = [];
  readonly #listeners = new Map<string, Set<Callback>>();
  readonly #state: Record<string, unknown>;
  #unsaved: Record<string, unknown> = {};
  /** Whether the kernel is gone; hosts throw then. */
  gone = false;

  constructor(traits: Partial<Traits> | Record<string, unknown> = {}) {
    this.#state = { ...INITIAL, ...traits };
  }

  get nListeners(): number {
    return [...this.#listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }

  get(name: string): unknown {
    return this.#state[name];
  }

  set(name: string, value: unknown): void {
    this.#unsaved[name] = value;
    this.#change({ [name]: value });
  }

  save_changes(): void {
    this.saved.push(this.#unsaved);
    this.#unsaved = {};
  }

  send(content: unknown): void {
    if (this.gone) throw new Error("Cannot send");
    this.sent.push(content);
  }

  /** What was sent, without pings. */
  get asked(): unknown[] {
    return this.sent.filter((content) => (content as { readonly type?: unknown }).type !== "ping");
  }

  on(event: string, callback: Callback): void {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(callback));
  }

  off(event: string, callback: Callback): void {
    this.#listeners.get(event)?.delete(callback);
  }

  /** The kernel sets traits, all in one update. */
  fromKernel(traits: Partial<Traits> | Record<string, unknown>): void {
    this.#change(traits);
  }

  /** The kernel sends a message. */
  tell(content: unknown, ...buffers: unknown[]): void {
    this.#emit("msg:custom", content, buffers);
  }

  #change(traits: Record<string, unknown>): void {
    Object.assign(this.#state, traits);
    for (const name of Object.keys(traits)) this.#emit(`change:${name}`);
  }

  #emit(event: string, ...args: unknown[]): void {
    for (const callback of [...(this.#listeners.get(event) ?? [])]) callback(...(args as never[]));
  }
}

/** Hosts give another object for the same model each time. */
export function proxy(model: FakeModel): Model {
  return {
    get: (name) => model.get(name),
    set: (name, value) => model.set(name, value),
    save_changes: () => model.save_changes(),
    send: (content) => model.send(content),
    on: (event, callback) => model.on(event, callback),
    off: (event, callback) => model.off(event, callback),
  };
}

/** Little-endian floats at an unaligned byte offset. */
export function unaligned(values: readonly number[]): DataView {
  const bytes = new ArrayBuffer(4 * values.length + 8);
  const view = new DataView(bytes, 3, 4 * values.length);
  for (const [i, value] of values.entries()) view.setFloat32(4 * i, value, true);
  return view;
}

export const WORDS = ["Anna", " kept", " the", " key", " to", " the", " old", " key"];
export const N_LAYERS = 4;

/** The kernel's description of a query with this metric. */
export function queryOf(metric: keyof typeof facts.metrics, changes: Partial<Query> = {}): Query {
  return { ...INITIAL.query, method: "ablation", ...facts.metrics[metric], ...changes };
}

export const OFFERED = facts.offered;

export function traits(changes: Partial<Traits> = {}): Traits {
  return {
    ...INITIAL,
    query: queryOf("logprob"),
    offered: OFFERED,
    asked: { ...INITIAL.asked, metric: ["logprob"], baseline: ["auto"] },
    map_id: 1,
    model_name: "tiny",
    tokens: WORDS.map((text, word) => ({ text, piece: null, id: null, word })),
    n_targets: WORDS.length - 1,
    n_layers: N_LAYERS,
    window: 4,
    statistics: [
      { name: "own_share", label: "own share", unit: "", low: 0, high: 1, description: "Share for itself." },
      {
        name: "expected_horizon",
        label: "expected horizon",
        unit: "tokens",
        low: 1,
        high: 4,
        description: "",
      },
    ],
    layer_info: Array.from({ length: N_LAYERS }, () => ({
      baseline: "mean",
      shock: false,
      replaced: false,
      noise_floor: 0.001,
      n_done: WORDS.length,
    })),
    statistic: "own_share",
    selected_layer: 1,
    state: "ready",
    ...changes,
  };
}

/** Influence in a made-up map: far from zero, of both signs. */
export function influence(layer: number, source: number, target: number): number {
  if (target <= source) return 0;
  if (source === 3 && target === 7) return 3.76;
  return ((target + layer) % 2 === 0 ? 1 : -1) / (target - source + 1);
}

/** Sends a whole layer. */
export function tellLayer(
  model: FakeModel,
  layer: number,
  sources = WORDS.map((_, i) => i),
  mapId = 1,
  nTargets = WORDS.length - 1,
): void {
  const rows = sources.flatMap((source) =>
    Array.from({ length: nTargets }, (_, c) => influence(layer, source, c + 1)),
  );
  const value = (source: number): number => (source > 3 ? Number.NaN : 0.1 + 0.2 * source);
  const statistics = [...sources.map(value), ...sources.map((source) => 1 + value(source))];
  model.tell(
    { type: "values", map_id: mapId, layer, sources, n_targets: nTargets },
    unaligned(rows),
    unaligned(statistics),
  );
}

/** Sends all layers. */
export function tellMap(model: FakeModel, nTargets = WORDS.length - 1): void {
  for (let layer = 0; layer < N_LAYERS; layer += 1) tellLayer(model, layer, undefined, 1, nTargets);
}

/** The same values without a store. */
export function rows(nTargets = WORDS.length - 1, layers: readonly number[] = [0, 1, 2, 3]): Rows {
  const map = new Rows(WORDS.length, nTargets, N_LAYERS, 0);
  for (const layer of layers)
    for (const [source] of WORDS.entries()) {
      const values = Float32Array.from({ length: nTargets }, (_, c) => influence(layer, source, c + 1));
      map.receive({
        type: "values",
        map_id: 1,
        layer,
        sources: [source],
        n_targets: nTargets,
        influence: values,
        statistics: new Float32Array(0),
      });
    }
  return map;
}

export const FOUND: Findings = {
  predictions: [
    { token: " key", kept: 0.9, removed: 0.02, actual: true },
    { token: " lamp", kept: 0.01, removed: 0.2, actual: false },
  ],
  direct: { total: 3.76, direct: 3, indirect: 0.76 },
  baseline_sensitivity: [
    { baseline: "mean", influence: 3.76 },
    { baseline: "zero", influence: 4.1 },
  ],
  carriers: [{ layer: 2, head: 1, site: "value", influence: 1.5 }],
  verification: { value: 3.76, reference: 3.76, difference: 1e-6, passes: 2 },
};

/** The kernel's findings about a cell. */
export function finding<A extends Aspect>(
  aspect: A,
  cell = { layer: 1, source: 3, target: 7 },
  found: Findings[A] | null = FOUND[aspect],
): Record<string, unknown> {
  const problem = found === null ? { title: "No memory", advice: "Use less.", detail: "" } : null;
  return { type: "finding", map_id: 1, ...cell, aspect, found, problem };
}

/** A store over a stand-in. */
export function openStore(changes: Partial<Traits> | Record<string, unknown> = {}): {
  readonly model: FakeModel;
  readonly store: Store;
} {
  const model = new FakeModel(traits(changes as Partial<Traits>));
  return { model, store: new Store(new ModelTransport(proxy(model))) };
}

export function welcome(model: FakeModel): void {
  model.tell({ type: "welcome", protocol_version: PROTOCOL_VERSION });
}

export async function frame(): Promise<void> {
  await new Promise((done) => setTimeout(done, 40));
}

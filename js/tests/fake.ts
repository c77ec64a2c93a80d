/** Stand-ins for the host, used by the tests. */

import type { Traits } from "../src/kernel/traits";
import { INITIAL } from "../src/kernel/traits";
import type { Model } from "../src/kernel/transport";

type Callback = (...args: never[]) => void;

/** A model like anywidget's, that counts its listeners and remembers what was sent and saved. */
export class FakeModel {
  readonly sent: unknown[] = [];
  readonly saved: Record<string, unknown>[] = [];
  readonly #listeners = new Map<string, Set<Callback>>();
  readonly #state: Record<string, unknown>;
  #unsaved: Record<string, unknown> = {};

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
    this.sent.push(content);
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

/** What hosts hand over: another object for the same model, each time. */
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

/** Little-endian floats that begin at a byte no float would begin at. */
export function unaligned(values: readonly number[]): DataView {
  const bytes = new ArrayBuffer(4 * values.length + 8);
  const view = new DataView(bytes, 3, 4 * values.length);
  for (const [i, value] of values.entries()) view.setFloat32(4 * i, value, true);
  return view;
}

export const WORDS = ["Anna", " kept", " the", " key", " to", " the", " old", " key"];
export const N_LAYERS = 4;

export function traits(changes: Partial<Traits> = {}): Traits {
  return {
    ...INITIAL,
    map_id: 1,
    model_name: "tiny",
    tokens: WORDS.map((text, word) => ({ text, piece: null, word })),
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
      baseline: "mean" as const,
      shock: false,
      noise_floor: 0.001,
      n_done: WORDS.length,
    })),
    statistic: "own_share",
    selected_layer: 1,
    state: "ready",
    ...changes,
  };
}

/** Influence of a made-up map: far from zero, both signs. */
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
): void {
  const n = WORDS.length - 1;
  const rows = sources.flatMap((source) =>
    Array.from({ length: n }, (_, c) => influence(layer, source, c + 1)),
  );
  const value = (source: number): number => (source > 3 ? Number.NaN : 0.1 + 0.2 * source);
  const statistics = [...sources.map(value), ...sources.map((source) => 1 + value(source))];
  model.tell(
    { type: "values", map_id: mapId, layer, sources, n_targets: n },
    unaligned(rows),
    unaligned(statistics),
  );
}

export async function frame(): Promise<void> {
  await new Promise((done) => setTimeout(done, 40));
}

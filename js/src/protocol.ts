/** What passes between kernel and browser (`ARCHITECTURE.md`, "Kernel and browser"), checked on arrival. */

import { type Check, count, flag, list, Misfit, oneOf, optional, real, record, text } from "./check";

export const PROTOCOL_VERSION = 1;

// Traits

export interface Token {
  readonly text: string;
  /** `[k, n]`: the k-th of the n tokens that one character is split over. */
  readonly piece: readonly [number, number] | null;
}

export interface Query {
  readonly method: string;
  readonly metric: string;
  readonly unit: string;
  readonly site: string;
  readonly exact: boolean;
}

export interface Statistic {
  readonly name: string;
  readonly label: string;
  readonly unit: string;
  readonly low: number;
  readonly high: number;
  readonly description: string;
}

export interface Layer {
  readonly baseline: "mean" | "zero" | "resample" | "counterfactual" | null;
  readonly shock: boolean;
  readonly noise_floor: number | null;
  readonly n_done: number;
}

export interface Progress {
  readonly task: string;
  readonly done: number;
  readonly seconds_left: number | null;
  readonly filling: "idle" | "running" | "waiting" | "stopped" | "complete";
}

export interface Problem {
  readonly title: string;
  readonly advice: string;
  readonly detail: string;
}

export interface Traits {
  readonly protocol_version: number;
  readonly map_id: number;
  readonly model_name: string;
  readonly tokens: readonly Token[];
  readonly n_layers: number;
  readonly query: Query;
  readonly window: number | null;
  readonly statistics: readonly Statistic[];
  readonly layers: readonly Layer[];
  readonly statistic: string;
  readonly selected_layer: number;
  readonly selected_source: number | null;
  readonly selected_target: number | null;
  readonly state: "empty" | "computing" | "ready" | "error";
  readonly progress: Progress;
  readonly error: Problem | null;
}

export type TraitName = keyof Traits;

/** The traits that the browser writes too. */
export type Selection = Pick<Traits, "statistic" | "selected_layer" | "selected_source" | "selected_target">;

const piece: Check<readonly [number, number]> = (value, name) => {
  const [k, n, ...rest] = list(count)(value, name);
  if (k === undefined || n === undefined || rest.length > 0 || k < 1 || k > n)
    throw new Misfit(`${name} should be [k, n] with 1 ≤ k ≤ n`);
  return [k, n];
};

const CHECKS: { readonly [K in TraitName]: Check<Traits[K]> } = {
  protocol_version: count,
  map_id: count,
  model_name: text,
  tokens: list(record<Token>({ text, piece: optional(piece) })),
  n_layers: count,
  query: record<Query>({ method: text, metric: text, unit: text, site: text, exact: flag }),
  window: optional(count),
  statistics: list(
    record<Statistic>({ name: text, label: text, unit: text, low: real, high: real, description: text }),
  ),
  layers: list(
    record<Layer>({
      baseline: optional(oneOf("mean", "zero", "resample", "counterfactual")),
      shock: flag,
      noise_floor: optional(real),
      n_done: count,
    }),
  ),
  statistic: text,
  selected_layer: count,
  selected_source: optional(count),
  selected_target: optional(count),
  state: oneOf("empty", "computing", "ready", "error"),
  progress: record<Progress>({
    task: text,
    done: real,
    seconds_left: optional(real),
    filling: oneOf("idle", "running", "waiting", "stopped", "complete"),
  }),
  error: optional(record<Problem>({ title: text, advice: text, detail: text })),
};

/** Before the kernel has said anything. */
export const INITIAL: Traits = {
  protocol_version: PROTOCOL_VERSION,
  map_id: 0,
  model_name: "",
  tokens: [],
  n_layers: 0,
  query: { method: "ablation", metric: "logprob", unit: "nats", site: "residual", exact: true },
  window: null,
  statistics: [],
  layers: [],
  statistic: "",
  selected_layer: 0,
  selected_source: null,
  selected_target: null,
  state: "empty",
  progress: { task: "", done: 0, seconds_left: null, filling: "idle" },
  error: null,
};

export const TRAITS = Object.keys(CHECKS) as readonly TraitName[];

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

export function checkTrait<K extends TraitName>(name: K, value: unknown): Outcome<Traits[K]> {
  return outcome(() => CHECKS[name](value, name));
}

/** Whether a layer's values are mostly the shock of its baseline: not where another baseline was taken instead. */
export function disturbed(layer: Layer | undefined): boolean {
  return layer?.shock === true && layer.baseline !== "resample";
}

// Messages

export type ToKernel =
  | { readonly type: "hello"; readonly protocol_version: number }
  | { readonly type: "cancel" }
  | { readonly type: "resume" };

/** Finished rows of one layer. */
export interface Values {
  readonly type: "values";
  readonly map_id: number;
  readonly layer: number;
  readonly sources: readonly number[];
  readonly n_targets: number;
  /** `sources.length × n_targets`: column `c` is the predicted token at position `c + 1`. */
  readonly influence: Float32Array;
  /** One row for each statistic: `n_statistics × sources.length`; NaN: no value. */
  readonly statistics: Float32Array;
}

export type ToBrowser =
  | { readonly type: "welcome"; readonly protocol_version: number; readonly map_id: number }
  | Values
  | { readonly type: "rejected"; readonly reason: string };

const ours: Check<number> = (value, name) => {
  if (value !== PROTOCOL_VERSION) throw new Misfit(`${name} should be ${PROTOCOL_VERSION}`);
  return value;
};

const toKernel: { readonly [T in ToKernel["type"]]: Check<ToKernel> } = {
  hello: record({ type: oneOf("hello"), protocol_version: ours }),
  cancel: record({ type: oneOf("cancel") }),
  resume: record({ type: oneOf("resume") }),
};

const welcome = record({ type: oneOf("welcome"), protocol_version: count, map_id: count });
const rejected = record({ type: oneOf("rejected"), reason: text });
const header = record({
  type: oneOf("values"),
  map_id: count,
  layer: count,
  sources: list(count),
  n_targets: count,
});
const envelope = record({ type: text });

/** Whether a message is one that this side may send: for tests, as the types say so already. */
export function checkToKernel(content: unknown): Outcome<ToKernel> {
  return outcome(() => {
    const { type } = envelope(content, "message");
    return oneOfTypes(toKernel, type)(content, "message");
  });
}

export function checkToBrowser(content: unknown, buffers: readonly DataView[]): Outcome<ToBrowser> {
  return outcome(() => {
    const { type } = envelope(content, "message");
    return oneOfTypes<ToBrowser>(
      { welcome, rejected, values: (value, name) => values(header(value, name), buffers) },
      type,
    )(content, "message");
  });
}

function oneOfTypes<T>(checks: Readonly<Record<string, Check<T>>>, type: string): Check<T> {
  const check = Object.hasOwn(checks, type) ? checks[type] : undefined;
  if (check === undefined) throw new Misfit(`there is no message of type “${type.slice(0, 40)}”`);
  return check;
}

function values(head: Omit<Values, "influence" | "statistics">, buffers: readonly DataView[]): Values {
  const [influence, statistics, ...rest] = buffers;
  if (influence === undefined || statistics === undefined || rest.length > 0)
    throw new Misfit(`values need two buffers, got ${buffers.length}`);
  const n = head.sources.length;
  if (n === 0) throw new Misfit("values need at least one source");
  if (influence.byteLength !== 4 * n * head.n_targets)
    throw new Misfit(`influence should be ${4 * n * head.n_targets} bytes, got ${influence.byteLength}`);
  if (statistics.byteLength % (4 * n) !== 0)
    throw new Misfit(`statistics should be a multiple of ${4 * n} bytes, got ${statistics.byteLength}`);
  return { ...head, influence: floats(influence), statistics: floats(statistics) };
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Little-endian float32, wherever in its buffer it begins: hosts do not align what they receive. */
export function floats(view: DataView): Float32Array {
  const copy = new Float32Array(Math.floor(view.byteLength / 4));
  if (LITTLE_ENDIAN) {
    new Uint8Array(copy.buffer).set(new Uint8Array(view.buffer, view.byteOffset, copy.byteLength));
  } else {
    for (let i = 0; i < copy.length; i += 1) copy[i] = view.getFloat32(4 * i, true);
  }
  return copy;
}

function outcome<T>(check: () => T): Outcome<T> {
  try {
    return { ok: true, value: check() };
  } catch (error) {
    if (error instanceof Misfit) return { ok: false, reason: error.message };
    throw error;
  }
}

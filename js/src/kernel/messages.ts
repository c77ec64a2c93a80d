/** The messages between kernel and browser (`ARCHITECTURE.md`, "Kernel and browser"), checked on arrival. */

import {
  type Check,
  count,
  flag,
  list,
  Misfit,
  type Outcome,
  oneOf,
  optional,
  outcome,
  real,
  record,
  text,
} from "./check";
import { type Problem, problem } from "./traits";

// To the kernel

/** What one message may ask for (`protocol.py` has the same numbers): characters of a text, tokens to be written. */
export const LONGEST_TEXT = 1_000_000;
export const MOST_WRITTEN = 1000;

/** What may be asked about one cell; see `Findings`. */
export type Aspect = "predictions" | "direct" | "baseline_sensitivity" | "carriers" | "verification";

export const ASPECTS: readonly Aspect[] = [
  "predictions",
  "direct",
  "baseline_sensitivity",
  "carriers",
  "verification",
];

/** Opens another map. */
export interface Open {
  readonly type: "open";
  readonly prompt: string;
  /** A name, and the tokens it names. */
  readonly metric: readonly string[];
  /** A kind, and the prompt of `counterfactual`; null: as it is. */
  readonly baseline: readonly string[] | null;
  /** Null: all. */
  readonly layers: readonly number[] | null;
  /** By how many the model shall write on when it is open; 0: none. */
  readonly n_tokens: number;
}

export interface Inspect {
  readonly type: "inspect";
  readonly layer: number;
  readonly source: number;
  readonly target: number;
  readonly aspects: readonly Aspect[];
}

export type ToKernel =
  | { readonly type: "hello"; readonly protocol_version: number }
  | { readonly type: "ping"; readonly number: number }
  | { readonly type: "cancel" }
  | { readonly type: "resume" }
  | Open
  /** Lets the model write on. */
  | { readonly type: "write_on"; readonly n_tokens: number }
  | Inspect;

// To the browser

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

/** A probable token at the target, with the state kept and with it removed. */
export interface Prediction {
  readonly token: string;
  readonly kept: number;
  readonly removed: number;
  /** Whether it is the token that follows in the prompt. */
  readonly actual: boolean;
}

/** A key-value head whose key or value at the source carries influence to the target. */
export interface Carrier {
  readonly layer: number;
  readonly head: number;
  readonly site: "key" | "value";
  readonly influence: number;
}

export interface Findings {
  readonly predictions: readonly Prediction[];
  readonly direct: { readonly total: number; readonly direct: number; readonly indirect: number };
  readonly baseline_sensitivity: readonly { readonly baseline: string; readonly influence: number }[];
  readonly carriers: readonly Carrier[];
  readonly verification: {
    readonly value: number;
    readonly reference: number;
    readonly difference: number;
    readonly passes: number;
  };
}

/** The answer to one aspect of `inspect`. */
export type Finding = {
  [A in Aspect]: {
    readonly type: "finding";
    readonly map_id: number;
    readonly layer: number;
    readonly source: number;
    readonly target: number;
    readonly aspect: A;
    /** Null where it failed. */
    readonly found: Findings[A] | null;
    readonly problem: Problem | null;
  };
}[Aspect];

/** Something that was asked for could not be done; what is on the screen stays. */
export interface Failed {
  readonly type: "failed";
  /** The field of `open` or `write_on` that is wrong, if one is. */
  readonly field: string | null;
  readonly problem: Problem;
}

export type ToBrowser =
  | { readonly type: "welcome"; readonly protocol_version: number; readonly map_id: number }
  | { readonly type: "pong"; readonly number: number }
  | Values
  | Finding
  | Failed
  | { readonly type: "rejected"; readonly reason: string };

// Checks

const aspect = oneOf(...(ASPECTS as Aspect[]));

/** More than anybody reads would only fill the page. */
const MOST_FOUND = 256;

const FOUND: { readonly [A in Aspect]: Check<Findings[A]> } = {
  predictions: list(record<Prediction>({ token: text, kept: real, removed: real, actual: flag }), MOST_FOUND),
  direct: record({ total: real, direct: real, indirect: real }),
  baseline_sensitivity: list(record({ baseline: text, influence: real }), MOST_FOUND),
  carriers: list(
    record<Carrier>({ layer: count, head: count, site: oneOf("key", "value"), influence: real }),
    MOST_FOUND,
  ),
  verification: record({ value: real, reference: real, difference: real, passes: count }),
};

const welcome = record({ type: oneOf("welcome"), protocol_version: count, map_id: count });
const pong = record({ type: oneOf("pong"), number: count });
const rejected = record({ type: oneOf("rejected"), reason: text });
const failed = record<Failed>({ type: oneOf("failed"), field: optional(text), problem });
const valuesHead = record({
  type: oneOf("values"),
  map_id: count,
  layer: count,
  sources: list(count),
  n_targets: count,
});
const findingHead = record({
  type: oneOf("finding"),
  map_id: count,
  layer: count,
  source: count,
  target: count,
  aspect,
  problem: optional(problem),
});
const envelope = record({ type: text });

export function checkToBrowser(content: unknown, buffers: readonly DataView[]): Outcome<ToBrowser> {
  return outcome(() => {
    const { type } = envelope(content, "message");
    return oneOfTypes<ToBrowser>(
      {
        welcome,
        pong,
        rejected,
        failed,
        finding,
        values: (value, name) => values(valuesHead(value, name), buffers),
      },
      type,
    )(content, "message");
  });
}

function oneOfTypes<T>(checks: Readonly<Record<string, Check<T>>>, type: string): Check<T> {
  const check = Object.hasOwn(checks, type) ? checks[type] : undefined;
  if (check === undefined) throw new Misfit(`there is no message of type “${type.slice(0, 40)}”`);
  return check;
}

const finding: Check<Finding> = (value, name) => {
  const head = findingHead(value, name);
  const found = optional(FOUND[head.aspect] as Check<unknown>)(
    (value as { readonly found?: unknown }).found,
    `${name}.found`,
  );
  if ((found === null) === (head.problem === null))
    throw new Misfit(`${name} should have either found something or a problem`);
  return { ...head, found } as Finding;
};

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

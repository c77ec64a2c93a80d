/** The synced traits (`ARCHITECTURE.md`, "Kernel and browser"), checked on arrival. */

import type { Outcome } from "./check";
import {
  type Check,
  count,
  flag,
  list,
  Misfit,
  oneOf,
  optional,
  outcome,
  positive,
  real,
  record,
  text,
  texts,
  upTo,
} from "./check";

export const PROTOCOL_VERSION = 2;

/** What a broken message may not make the page reserve room for. */
const MOST_LAYERS = 1024;
const MOST_LISTED = 64;

export interface Token {
  readonly text: string;
  /** `[k, n]`: the k-th of the n tokens that one character is split over. */
  readonly piece: readonly [number, number] | null;
  /** Its number in the vocabulary, where a different token of the prompt has the same text; else null. */
  readonly id: number | null;
  /** Number of the word it belongs to. */
  readonly word: number;
}

export interface Query {
  readonly method: string;
  /** Whether values are exact effects; else they are estimates. */
  readonly exact: boolean;
  readonly metric: string;
  /** The metric where there is little room. */
  readonly short_metric: string;
  readonly unit: string;
  /** Whether influence is how far a prediction moves, and so never negative. */
  readonly divergence: boolean;
  readonly words: MetricWords;
  readonly site: string;
}

/** How values are explained: templates, which `fillIn` fills. */
export interface MetricWords {
  readonly positive: string;
  readonly negative: string;
  readonly row: string;
  readonly column: string;
  /** The two ends of the colour scale; the high one where targets are coloured, and where sources are. */
  readonly low: string;
  readonly high: string;
  readonly high_of_sources: string;
}

/** What can be chosen; the first of each is the default. */
export interface Offered {
  readonly metrics: readonly {
    readonly name: string;
    /** How many tokens the reader names. */
    readonly n_tokens: number;
    readonly label: string;
  }[];
  readonly baselines: readonly {
    readonly name: string;
    readonly label: string;
    /** What “removed” means with it. */
    readonly note: string;
    /** Whether the reader gives another prompt with it. */
    readonly needs_prompt: boolean;
    /** What is said of a layer where it stands in for a baseline that is a shock, and the same for the legend. */
    readonly stand_in: string;
    readonly short_stand_in: string;
  }[];
}

/** What a new map would be asked with: the arguments of `attribute`. */
export interface Asked {
  /** The metric's name, and the tokens it names. */
  readonly metric: readonly string[];
  /** The baseline's kind, and the prompt of `counterfactual`; null where it can only be said in Python. */
  readonly baseline: readonly string[] | null;
  readonly site: string;
  readonly head: number | null;
  readonly seed: number;
  readonly draws: number;
  /** Where the prompt is not just the text: its tokens. */
  readonly token_ids: readonly number[] | null;
  /** The argument of `load_model`, or null where the model was in memory. */
  readonly model: string | null;
  /** Whether it runs on another machine. */
  readonly remote: boolean;
}

export interface Statistic {
  readonly name: string;
  readonly label: string;
  readonly unit: string;
  readonly low: number;
  /** Null: as large as the greatest value of the layer. */
  readonly high: number | null;
  readonly description: string;
}

export interface Layer {
  readonly baseline: string | null;
  /** Whether the layer’s mean state is itself a shock to the model, and whether another baseline was taken instead. */
  readonly shock: boolean;
  readonly replaced: boolean;
  readonly noise_floor: number | null;
  readonly n_done: number;
}

const FILLING = [
  "idle",
  "running",
  "waiting",
  "behind",
  "writing",
  "on request",
  "stopped",
  "complete",
] as const;

/** What happens to the rest of the map in idle time. */
export type Filling = (typeof FILLING)[number];

export interface Progress {
  readonly task: string;
  readonly done: number;
  readonly seconds_left: number | null;
  readonly filling: Filling;
  /** In words, where the request to a remote model's host is; null: none is under way. */
  readonly host: string | null;
}

export interface Problem {
  readonly title: string;
  readonly advice: string;
  readonly detail: string;
}

/** `row`: what is this token's state used for later? `column`: who carries the prediction of this token? */
export type Direction = "row" | "column";

/** Links are kept apart by how many tokens ahead they reach: the next one, near by, further, far. */
export const LEAST_OFFSETS = [1, 2, 9, 33] as const;

/** The traits that the browser writes too: what is looked at, and how. */
export interface Controls {
  readonly direction: Direction;
  readonly statistic: string;
  readonly selected_layer: number;
  readonly selected_source: number | null;
  readonly selected_target: number | null;
  /** Tokens are coloured by their influence this many tokens ahead. */
  readonly selected_offset: number | null;
  readonly pinned_sources: readonly number[];
  /** The end of the colour scale of influence; null: as large as what is shown needs. */
  readonly fixed_scale: number | null;
  readonly show_words: boolean;
  readonly show_arcs: boolean;
  /** Whether attention sinks count in summaries. */
  readonly include_sinks: boolean;
  /** The offset profiles are shown as shares of each layer's influence within the window. */
  readonly profile_as_share: boolean;
  /** The strongest links are at least so many tokens long. */
  readonly least_offset: (typeof LEAST_OFFSETS)[number];
  /** Tokens that contain this text are marked. */
  readonly find: string;
}

export interface Traits extends Controls {
  readonly protocol_version: number;
  readonly map_id: number;
  readonly model_name: string;
  readonly prompt: string;
  readonly tokens: readonly Token[];
  /** Targets are `1 .. n_targets`; `tokens.length` is the prediction after the prompt. */
  readonly n_targets: number;
  readonly n_layers: number;
  readonly query: Query;
  readonly offered: Offered;
  readonly asked: Asked;
  readonly window: number | null;
  readonly statistics: readonly Statistic[];
  /** One for each layer. */
  readonly layer_info: readonly Layer[];
  /** The layers that are computed in idle time; null: all. */
  readonly layers: readonly number[] | null;
  readonly sinks: readonly number[];
  /** The first token that the model wrote itself. */
  readonly written_from: number | null;
  readonly state: "empty" | "computing" | "ready" | "error";
  readonly progress: Progress;
  readonly error: Problem | null;
  /** Why some of what can be asked elsewhere cannot be asked of this model's host: by aspect, or `write_on`. */
  readonly not_offered: Readonly<Record<string, string>>;
}

export type TraitName = keyof Traits;

const piece: Check<readonly [number, number]> = (value, name) => {
  const [k, n, ...rest] = list(count)(value, name);
  if (k === undefined || n === undefined || rest.length > 0 || k < 1 || k > n)
    throw new Misfit(`${name} should be [k, n] with 1 ≤ k ≤ n`);
  return [k, n];
};

export const problem: Check<Problem> = record<Problem>({ title: text, advice: text, detail: text });

const leastOffset: Check<(typeof LEAST_OFFSETS)[number]> = (value, name) => {
  const found = LEAST_OFFSETS.find((least) => least === value);
  if (found === undefined) throw new Misfit(`${name} should be one of ${LEAST_OFFSETS.join(", ")}`);
  return found;
};

const CHECKS: { readonly [K in TraitName]: Check<Traits[K]> } = {
  protocol_version: count,
  map_id: count,
  model_name: text,
  prompt: text,
  tokens: list(record<Token>({ text, piece: optional(piece), id: optional(count), word: count })),
  n_targets: count,
  n_layers: upTo(MOST_LAYERS),
  query: record<Query>({
    method: text,
    exact: flag,
    metric: text,
    short_metric: text,
    unit: text,
    divergence: flag,
    words: record<MetricWords>({
      positive: text,
      negative: text,
      row: text,
      column: text,
      low: text,
      high: text,
      high_of_sources: text,
    }),
    site: text,
  }),
  offered: record<Offered>({
    metrics: list(record({ name: text, n_tokens: count, label: text }), MOST_LISTED),
    baselines: list(
      record({
        name: text,
        label: text,
        note: text,
        needs_prompt: flag,
        stand_in: text,
        short_stand_in: text,
      }),
      MOST_LISTED,
    ),
  }),
  asked: record<Asked>({
    metric: list(text),
    baseline: optional(list(text)),
    site: text,
    head: optional(count),
    seed: count,
    draws: count,
    token_ids: optional(list(count)),
    model: optional(text),
    remote: flag,
  }),
  window: optional(count),
  statistics: list(
    record<Statistic>({
      name: text,
      label: text,
      unit: text,
      low: real,
      high: optional(real),
      description: text,
    }),
    MOST_LISTED,
  ),
  layer_info: list(
    record<Layer>({
      baseline: optional(text),
      shock: flag,
      replaced: flag,
      noise_floor: optional(real),
      n_done: count,
    }),
  ),
  layers: optional(list(count)),
  sinks: list(count),
  written_from: optional(count),
  direction: oneOf("row", "column"),
  statistic: text,
  selected_layer: count,
  selected_source: optional(count),
  selected_target: optional(count),
  selected_offset: optional(count),
  pinned_sources: list(count, MOST_LISTED),
  fixed_scale: optional(positive),
  show_words: flag,
  show_arcs: flag,
  include_sinks: flag,
  profile_as_share: flag,
  least_offset: leastOffset,
  find: text,
  state: oneOf("empty", "computing", "ready", "error"),
  progress: record<Progress>({
    task: text,
    done: real,
    seconds_left: optional(real),
    filling: oneOf(...FILLING),
    host: optional(text),
  }),
  error: optional(problem),
  not_offered: texts,
};

/** Before the kernel has said anything. */
export const INITIAL: Traits = {
  protocol_version: PROTOCOL_VERSION,
  map_id: 0,
  model_name: "",
  prompt: "",
  tokens: [],
  n_targets: 0,
  n_layers: 0,
  query: {
    method: "",
    exact: true,
    metric: "",
    short_metric: "",
    unit: "",
    divergence: false,
    words: { positive: "", negative: "", row: "", column: "", low: "", high: "", high_of_sources: "" },
    site: "residual",
  },
  offered: { metrics: [], baselines: [] },
  asked: {
    metric: [],
    baseline: [],
    site: "residual",
    head: null,
    seed: 0,
    draws: 3,
    token_ids: null,
    model: null,
    remote: false,
  },
  window: null,
  statistics: [],
  layer_info: [],
  layers: null,
  sinks: [],
  written_from: null,
  direction: "row",
  statistic: "",
  selected_layer: 0,
  selected_source: null,
  selected_target: null,
  selected_offset: null,
  pinned_sources: [],
  fixed_scale: null,
  show_words: false,
  show_arcs: false,
  include_sinks: false,
  profile_as_share: false,
  least_offset: 2,
  find: "",
  state: "empty",
  progress: { task: "", done: 0, seconds_left: null, filling: "idle", host: null },
  error: null,
  not_offered: {},
};

export const TRAITS = Object.keys(CHECKS) as readonly TraitName[];

export function checkTrait<K extends TraitName>(name: K, value: unknown): Outcome<Traits[K]> {
  return outcome(() => CHECKS[name](value, name));
}

/** Whether a layer's values are mostly the shock of its baseline. */
export function disturbed(layer: Layer | undefined): boolean {
  return layer?.shock === true && !layer.replaced;
}

/** Whether a value tells anything: up to the noise floor it counts as zero, and is not coloured. */
export function tells(value: number, noiseFloor: number | null): boolean {
  return Math.abs(value) > (noiseFloor ?? 0);
}

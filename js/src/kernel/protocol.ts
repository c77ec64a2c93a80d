// Made by scripts/describe_protocol.py from the kernel's own description.

export const PROTOCOL_VERSION = 4;
export const LONGEST_TEXT = 1000000;
export const MOST_WRITTEN = 1000;
export const MOST_PINNED = 4;
export const LEAST_OFFSETS = [1, 2, 9, 33] as const;
export const ASPECTS = ["predictions", "direct", "baseline_sensitivity", "carriers", "verification"] as const;
export type FromBrowser = Hello | Ping | Cancel | Resume | Open | WriteOn | Inspect;
export type ToBrowser = Welcome | Pong | Rejected | Failed | AnyFinding | ValuesHead;
export type Aspect = keyof Findings;

/** All synced traits that the page reads. */
export interface Traits extends MapTraits, Controls {
  readonly protocol_version: number;
}

/** The findings about a cell, by aspect. */
export interface Findings {
  readonly predictions: readonly Prediction[];
  readonly direct: Direct;
  readonly baseline_sensitivity: readonly UnderBaseline[];
  readonly carriers: readonly Carrier[];
  readonly verification: Verification;
}

/** A view opened: send everything. */
export interface Hello {
  readonly type: "hello";
  readonly protocol_version: number;
}

/** Does the kernel answer? */
export interface Ping {
  readonly type: "ping";
  readonly number: number;
}

/** Stop computing. */
export interface Cancel {
  readonly type: "cancel";
}

/** Continue after a stop. */
export interface Resume {
  readonly type: "resume";
}

/** Open another map. */
export interface Open {
  readonly type: "open";
  /** The text. */
  readonly prompt: string;
  /** Its name, and the tokens it names. */
  readonly metric: readonly string[];
  /** Its kind, and the other prompt where it needs one; null: as it is. */
  readonly baseline: readonly string[] | null;
  /** The layers to compute in idle time; null: all. */
  readonly layers: readonly number[] | null;
  /** Number of tokens to write afterwards; 0: none. */
  readonly n_tokens: number;
}

/** Let the model write on. */
export interface WriteOn {
  readonly type: "write_on";
  /** How many tokens at most. */
  readonly n_tokens: number;
}

/** Find out more about one cell of a map. */
export interface Inspect {
  readonly type: "inspect";
  readonly map_id: number;
  readonly layer: number;
  readonly source: number;
  readonly target: number;
  readonly aspects: readonly string[];
}

/** The answer to `hello`, before the values. */
export interface Welcome {
  readonly type: "welcome";
  readonly protocol_version: number;
}

/** The answer to `ping`. */
export interface Pong {
  readonly type: "pong";
  readonly number: number;
}

/** The answer to a message that could not be read. */
export interface Rejected {
  readonly type: "rejected";
  readonly reason: string;
}

/** Something that was asked for could not be done; what is on the screen stays. */
export interface Failed {
  readonly type: "failed";
  /** Which field or trait is wrong, if one is. */
  readonly field: string | null;
  readonly problem: Problem;
}

/** The answer to one aspect of `inspect`. */
export interface AnyFinding {
  readonly type: "finding";
  readonly map_id: number;
  readonly layer: number;
  readonly source: number;
  readonly target: number;
  readonly aspect: string;
  /** An entry of `Findings`; null if it failed. */
  readonly found: unknown;
  /** Null if it was found. */
  readonly problem: Problem | null;
}

/** Finished rows of a map. */
export interface ValuesHead extends Rows {
  readonly type: "values";
  readonly map_id: number;
}

/** The traits that say what a map is, and how far it is computed. */
export interface MapTraits {
  readonly map_id: number;
  readonly model_name: string;
  readonly prompt: string;
  readonly tokens: readonly Token[];
  /** Targets are 1 to `n_targets`; the number of tokens stands for the prediction after the prompt. */
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
  /** Why some things cannot be asked about it: by aspect, or by the type of the message that asks. */
  readonly not_offered: Readonly<Record<string, string>>;
}

/** The traits that the browser writes too: what is looked at, and how. */
export interface Controls {
  /** `row`: what is this token's state used for later? `column`: which states carry this prediction? */
  readonly direction: "row" | "column";
  readonly statistic: string;
  readonly selected_layer: number;
  readonly selected_source: number | null;
  readonly selected_target: number | null;
  /** Tokens are coloured by their influence this many tokens ahead. */
  readonly selected_offset: number | null;
  readonly pinned_sources: readonly number[];
  /** The end of the colour scale of influence; null: as large as the shown values need. */
  readonly fixed_scale: number | null;
  readonly show_words: boolean;
  readonly show_arcs: boolean;
  /** Whether attention sinks count in summaries. */
  readonly include_sinks: boolean;
  /** Whether offset profiles are shares of each layer's influence within the window. */
  readonly profile_as_share: boolean;
  /** The strongest links are at least so many tokens long. */
  readonly least_offset: number;
  /** Tokens that contain this text are marked. */
  readonly find: string;
}

/** A token that is probable at the target. */
export interface Prediction {
  /** Its text, with its id if another token has the same text. */
  readonly token: string;
  /** Its probability on the unchanged prompt. */
  readonly kept: number;
  /** Its probability with the state replaced by the baseline; the mean over the draws. */
  readonly removed: number;
  /** Whether it is the token that follows in the prompt. */
  readonly actual: boolean;
}

/** The parts of a cell's influence: direct, and through later tokens. */
export interface Direct {
  readonly total: number;
  readonly direct: number;
  readonly indirect: number;
}

/** A cell's influence under one baseline. */
export interface UnderBaseline {
  readonly baseline: string;
  readonly influence: number;
}

/** A key-value head whose key or value at the source carries influence to the target. */
export interface Carrier {
  /** The block. */
  readonly layer: number;
  /** The key-value head. */
  readonly head: number;
  /** `"key"` or `"value"`. */
  readonly site: string;
  /** The influence of this key or value alone, in the metric's unit. */
  readonly influence: number;
}

/** A cell's value, and the same value from separate forward passes. */
export interface Verification {
  /** The value in the map. */
  readonly value: number;
  /** The value from full forward passes of the transformers model itself, with one hook. */
  readonly reference: number;
  /** `value - reference`. */
  readonly difference: number;
  /** Number of these passes: one over the unchanged prompt, and one for each draw. */
  readonly passes: number;
}

/** A problem, for the reader. */
export interface Problem {
  /** The problem. */
  readonly title: string;
  /** What to do; may be empty. */
  readonly advice: string;
  /** For a report; may be empty. */
  readonly detail: string;
}

/** Finished rows of one layer; their values are in two buffers. */
export interface Rows {
  readonly layer: number;
  readonly sources: readonly number[];
  readonly n_targets: number;
}

/** A token of the prompt. */
export interface Token {
  readonly text: string;
  /** [k, n] for the k-th of the n tokens that share a character; else null. */
  readonly piece: readonly number[] | null;
  /** Its number in the vocabulary if a different token of the prompt has the same text; else null. */
  readonly id: number | null;
  /** The number of its word. */
  readonly word: number;
}

/** The question that the values answer. */
export interface Query {
  readonly method: string;
  /** Whether the values are exact effects, not estimates. */
  readonly exact: boolean;
  readonly metric: string;
  /** A short label of the metric. */
  readonly short_metric: string;
  readonly unit: string;
  /** Whether influence is how far a prediction moves, and so never negative. */
  readonly divergence: boolean;
  readonly words: Words;
  readonly site: string;
}

/** The metrics and baselines that can be chosen. The first of each is the default. */
export interface Offered {
  readonly metrics: readonly OfferedMetric[];
  readonly baselines: readonly OfferedBaseline[];
}

/** What a new map would be asked with: the arguments of `attribute`. */
export interface Asked {
  /** Its name, and the tokens it names; or a label where only Python can say it. */
  readonly metric: readonly string[];
  /** Its kind, and the other prompt where it needs one; null where only Python can say it. */
  readonly baseline: readonly string[] | null;
  readonly site: string;
  readonly head: number | null;
  readonly seed: number;
  readonly draws: number;
  /** Where the prompt is not just the text: its tokens. */
  readonly token_ids: readonly number[] | null;
  /** The argument of `load_model`; null where the model was in memory. */
  readonly model: string | null;
  /** Whether it runs on another machine. */
  readonly remote: boolean;
}

/** A quantity that tokens can be coloured by. */
export interface Statistic {
  readonly name: string;
  readonly label: string;
  readonly unit: string;
  readonly low: number;
  /** The upper end of the scale; null for the greatest value of the layer. */
  readonly high: number | null;
  readonly description: string;
}

/** The progress of a layer. */
export interface Layer {
  /** Null before the layer is prepared. */
  readonly baseline: string | null;
  /** Whether the mean state of the layer is itself a shock to the model. */
  readonly shock: boolean;
  /** Whether another baseline stands in for one that is a shock. */
  readonly replaced: boolean;
  /** Null before the layer is prepared. */
  readonly noise_floor: number | null;
  /** The number of computed sources. */
  readonly n_done: number;
}

/** The progress of the current task. */
export interface Progress {
  readonly task: string;
  /** From 0 to 1. */
  readonly done: number;
  readonly seconds_left: number | null;
  /** What happens to the rest of the map in idle time. */
  readonly filling: "idle" | "running" | "waiting" | "behind" | "writing" | "on request" | "stopped" | "complete";
  /** Where the request to a remote model's host is, in words; null: none is under way. */
  readonly host: string | null;
}

/** How values of a metric are explained on the page. The page fills in `{metric}`, `{quantity}` (the metric, with its unit in brackets), `{token}` (the predicted one) and `{amount}` (the influence, with its unit). */
export interface Words {
  /** The meaning of a positive value. */
  readonly positive: string;
  /** The meaning of a negative value. */
  readonly negative: string;
  /** The meaning of the numbers in a token's row. */
  readonly row: string;
  /** The meaning of the numbers in a token's column. */
  readonly column: string;
  /** The label of the colour scale's negative end. */
  readonly low: string;
  /** The label of its positive end if targets are coloured. */
  readonly high: string;
  /** The label of its positive end if sources are coloured. */
  readonly high_of_sources: string;
}

/** A metric that can be chosen. */
export interface OfferedMetric {
  readonly name: string;
  /** Number of tokens that the reader names. */
  readonly n_tokens: number;
  readonly label: string;
}

/** A baseline that can be chosen. */
export interface OfferedBaseline {
  readonly name: string;
  readonly label: string;
  /** What "removed" means with it. */
  readonly note: string;
  /** Whether the reader gives another prompt with it. */
  readonly needs_prompt: boolean;
  /** The sentence, after "At layer 12", for a layer where it stands in for a baseline that is a shock. */
  readonly stand_in: string;
  /** The same for the legend. */
  readonly short_stand_in: string;
}

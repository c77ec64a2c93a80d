/** The synced traits: what they are before the kernel has said anything, and what some of them mean. */

import {
  type Controls,
  type Layer,
  PROTOCOL_VERSION,
  type Progress,
  type Token,
  type Traits,
} from "./protocol";

export type TraitName = keyof Traits;
export type Direction = Controls["direction"];
export type Filling = Progress["filling"];

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

export const TRAITS = Object.keys(INITIAL) as readonly TraitName[];

/** Whether a token is a further piece of a character that an earlier token begins. */
export function isFurtherPiece({ piece }: Pick<Token, "piece">): boolean {
  return (piece?.[0] ?? 1) > 1;
}

/** Whether a layer's values are mostly the shock of its baseline. */
export function isMostlyShock(layer: Layer | undefined): boolean {
  return layer?.shock === true && !layer.replaced;
}

/** Whether a value is above the noise floor. Others count as zero, and are not coloured. */
export function isAboveNoise(value: number, noiseFloor: number | null): boolean {
  return Math.abs(value) > (noiseFloor ?? 0);
}

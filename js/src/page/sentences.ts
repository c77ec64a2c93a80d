/** Sentences of the views. An ablation shows that a state is used; no sentence claims more. */

import type { Layer, Offered, Progress, Query, Statistic, Token, Traits } from "../kernel/protocol";
import { INITIAL, isAboveNoise, isMostlyShock } from "../kernel/traits";
import { duration, mark, number, plural, quote, signed, withUnit } from "./format";

export const CAVEAT = "Used later; this does not show that it was planned.";
export const AFTER_THE_PROMPT = "after the prompt";
const NO_BREAK = "\u00a0";
export const WRITTEN = "written by the model";

/** What sentences need to know of a map. */
export interface Context {
  readonly tokens: readonly Token[];
  readonly query: Query;
  readonly window: number | null;
  readonly layers: readonly Layer[];
  /** Targets are `1 .. nTargets`. */
  readonly nTargets: number;
  /** Positions of attention sinks. */
  readonly sinks: readonly number[];
}

/** `first token, an attention sink: left out of summaries` */
export function sinkNote(position: number, counted: boolean): string {
  const what = position === 0 ? "first token, an attention sink" : "attention sink";
  return `${what}: ${counted ? "counted in" : "left out of"} summaries`;
}

/** `“ key” (3)` */
export function named(tokens: readonly Token[], position: number): string {
  if (position === tokens.length) return `the token ${AFTER_THE_PROMPT}`;
  return `${quote(tokens[position])} (${position})`;
}

export function ahead(source: number, target: number): string {
  return target === source + 1 ? "its own next token" : `${target - source} tokens ahead`;
}

/** `layer 12 · “ key” (3) → “ key” (74) · 71 tokens ahead` */
export function cellPlace(tokens: readonly Token[], layer: number, source: number, target: number): string {
  return `layer ${layer} · ${named(tokens, source)} → ${named(tokens, target)} · ${ahead(source, target)}`;
}

/** `+3.76 nats`, or why there is no number. */
export function cellValue(value: number | undefined, query: Query): string {
  if (value === undefined || Number.isNaN(value)) return "not computed yet";
  return withUnit(signed(value), query.unit);
}

/** What the value of a cell means. */
export function cellMeaning(
  context: Context,
  layer: number,
  target: number,
  value: number | undefined,
): string {
  if (value === undefined || Number.isNaN(value)) return "The layer on the screen is computed first.";
  const floor = context.layers[layer]?.noise_floor ?? null;
  if (!isAboveNoise(value, floor))
    return floor === null
      ? "No effect."
      : `Within this layer’s noise floor of ${withUnit(number(floor), context.query.unit)}: counts as zero.`;
  const token =
    target === context.tokens.length ? `the token ${AFTER_THE_PROMPT}` : quote(context.tokens[target]);
  const amount = withUnit(number(Math.abs(value)), context.query.unit);
  const { positive, negative } = context.query.words;
  return fillIn(value > 0 ? positive : negative, { metric: context.query.metric, token, amount });
}

/** The value of a token's statistic, or why it has none. */
export function statisticValue(
  context: Context,
  statistic: Statistic,
  position: number,
  value: number | undefined,
): string {
  if (value === undefined) return "not computed yet";
  if (!Number.isNaN(value)) return `${statistic.label} ${withUnit(number(value), statistic.unit)}`;
  return `no value: ${whyNoValue(context, position)}`;
}

function whyNoValue(context: Context, position: number): string {
  const { window } = context;
  if (window === null) return "the prompt is too short";
  if (fillsWindow(context, position)) return "only noise";
  return `only ${plural(nPredicted(context, position), "prediction")} after it, fewer than the window of ${window}`;
}

/** Whether enough is predicted after a token for its statistics to have values, unless all of it is noise. */
export function fillsWindow(context: Context, position: number): boolean {
  return nPredicted(context, position) >= (context.window ?? Number.POSITIVE_INFINITY);
}

/** How many targets lie after a position. The last may lie after the prompt. */
function nPredicted({ nTargets }: Context, position: number): number {
  return Math.max(0, nTargets - position);
}

/** `baseline: mean`. */
export function baselineLabel(layer: Layer): string {
  return layer.baseline === null ? "baseline: pending" : `baseline: ${layer.baseline}`;
}

export function baselineNote(index: number, layer: Layer, offered: Offered): string {
  if (isMostlyShock(layer))
    return `At layer ${index} the ${layer.baseline} state is itself a shock to the model: most of what is shown is that shock.`;
  const facts = factsOf(layer, offered);
  if (facts === undefined) return "";
  return layer.replaced ? `At layer ${index} ${facts.stand_in}` : facts.note;
}

/** A label for a layer whose mean state is a shock. */
export function shockLabel(layer: Layer, offered: Offered): string {
  if (isMostlyShock(layer)) return "flawed baseline: mostly its shock";
  return factsOf(layer, offered)?.short_stand_in ?? "";
}

function factsOf({ baseline }: Layer, { baselines }: Offered): Offered["baselines"][number] | undefined {
  return baselines.find(({ name }) => name === baseline);
}

export function windowNote(window: number | null): string {
  return window === null
    ? "the prompt is too short for shares and horizons"
    : `within a window of ${plural(window, "token")}`;
}

/** The range of the scale. Values may exceed it: those of a source’s own next token, and any on a kept scale. */
export function scaleNote(scale: number, query: Query): string {
  if (Number.isNaN(scale)) return "";
  const end = withUnit(mark(scale), query.unit);
  return query.divergence ? `0 to ${end} or more` : `± ${end} or more`;
}

/** How many of the requested layers are complete. */
export interface LayersDone {
  readonly done: number;
  readonly asked: number;
  readonly all: boolean;
}

export function layersDone(
  layers: readonly Layer[],
  asked: readonly number[] | null,
  nTokens: number,
): LayersDone {
  const counted = asked === null ? layers : layers.filter((_, layer) => asked.includes(layer));
  const done = counted.filter(({ n_done }) => nTokens > 0 && n_done >= nTokens).length;
  return { done, asked: counted.length, all: asked === null };
}

/** `queued on ndif.example, position 3 · for 12 s`. The first few seconds are not counted. */
export function hostNote(words: string, seconds: number): string {
  if (seconds <= 3) return words;
  const lasted = seconds < 120 ? `${Math.floor(seconds)} s` : `${Math.floor(seconds / 60)} min`;
  return `${words} · ${`for ${lasted}`.replaceAll(" ", NO_BREAK)}`;
}

/**
 * `Computing layer 12 · 43 % · about 8 s left · 3 of 30 layers done`. `task` is what is computed: “layer 12”, “all
 * layers”. `host`: where the request is that the reader waits for; it replaces the time left.
 */
export function progressNote(
  progress: Progress,
  state: Traits["state"],
  layers: LayersDone,
  host: string | null = null,
): string {
  const { task, done, seconds_left: left, filling } = progress;
  if (task === "") return "";
  const percent = `${Math.floor(100 * Math.min(1, Math.max(0, done)))} %`;
  const time = left === null ? [] : [`${duration(left)} left`];
  const count = `${layers.done} of ${plural(layers.asked, "layer")} done`;
  const waits = host === null ? null : [host];
  // The model writes first, and computes afterwards.
  if (filling === "writing") return [`The model is ${task}`, percent, ...(waits ?? time)].join(" · ");
  const rest = [percent, ...(waits ?? [...time, count])];
  // A click after a stop is computed too.
  if (state === "computing") return [`Computing ${task}`, ...rest].join(" · ");
  switch (filling) {
    case "stopped":
      return [`Stopped: ${task}`, percent, count].join(" · ");
    case "on request":
      return [count, ...(waits ?? [`${theRest(left)} on request: the host is shared`])].join(" · ");
    case "running":
      return [`In the background: ${task}`, ...rest].join(" · ");
    case "waiting":
      return [`In the background: ${task}`, percent, "waits for the running cell", count].join(" · ");
    case "behind":
      return [`In the background: ${task}`, percent, "waits for another widget", count].join(" · ");
    case "complete":
      return [
        layers.all ? `All ${layers.asked} layers are computed` : `Computed: ${plural(layers.asked, "layer")}`,
        ...(waits ?? []), // a request about one cell
      ].join(" · ");
    case "idle":
      return "";
  }
}

/** The rest of the map, which a shared host computes only on request. */
function theRest(seconds: number | null): string {
  return seconds === null ? "the rest" : `the rest, ${duration(seconds)},`;
}

export function queryLabels({ exact, method, short_metric: metric, unit, site }: Query): readonly string[] {
  return [
    `${exact ? "exact" : "estimated"} ${method}`,
    quantity(metric, unit),
    ...(site === INITIAL.query.site ? [] : [`site: ${site}`]),
  ];
}

/** What the values of a token's row or column mean. */
export function meaningOf(kind: "row" | "column", { words, metric, unit }: Query): string {
  return fillIn(words[kind], { metric, quantity: quantity(metric, unit) });
}

/** Labels for the two ends of the scale. A row colours targets; all else colours sources. */
export function scaleEnds(
  { words }: Query,
  coloured: "targets" | "sources" = "targets",
): readonly [low: string, high: string] {
  return [words.low, coloured === "targets" ? words.high : words.high_of_sources];
}

/** `entropy (nats)` */
function quantity(metric: string, unit: string): string {
  return unit === "" ? metric : `${metric} (${unit})`;
}

/** Fills in a template in one pass, since a token’s text may itself contain `{amount}`. */
function fillIn(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (place, name: string) => values[name] ?? place);
}

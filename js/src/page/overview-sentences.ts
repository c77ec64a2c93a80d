/** Sentences of the overview. */

import type { Layer } from "../kernel/protocol";
import { isMostlyShock } from "../kernel/traits";
import { number, plural, withUnit } from "./format";

/** `17–18 tokens ahead`, `the next token`. */
export function binName(first: number, last: number): string {
  if (last === 1) return "the next token";
  return `${binLabel(first, last)} tokens ahead`;
}

/** `38 tokens ahead, of 36–39`: the offset that colours the tokens, within its cell of several. */
export function offsetName(offset: number, first: number, last: number): string {
  const name = binName(offset, offset);
  return first === last ? name : `${name}, of ${binLabel(first, last)}`;
}

export function binLabel(first: number, last: number): string {
  return first === last ? String(first) : `${first}–${last}`;
}

/** `mean magnitude 0.12 nats over 43 sources`, or why there is none. `reached`: whether any source has tokens so far ahead. */
export function meanWords(mean: number, n: number, unit: string, single: boolean, reached: boolean): string {
  if (n === 0) return reached ? "not computed yet" : "only an attention sink has tokens so far ahead";
  const over = single ? plural(n, "source") : `${plural(n, "pair")} of source and target`;
  return `mean magnitude ${withUnit(number(mean), unit)} over ${over}`;
}

/** `3.1 % of the layer’s influence within 64 tokens for each token ahead`. */
export function shareWords(share: number, window: number, single: boolean): string {
  if (Number.isNaN(share)) return "";
  return `${percent(share)} of what lies within ${plural(window, "token")}${single ? "" : ", each"}`;
}

export function percent(share: number): string {
  return `${number(100 * share)} %`;
}

/** `from 12 of 30 layers, 4 more begun · 1 attention sink left out`. */
export function sumNote(
  nEnough: number,
  nBegun: number,
  all: number,
  nSinks: number,
  withSinks: boolean,
): string {
  const more = nBegun > nEnough ? `, ${nBegun - nEnough} more begun` : "";
  const layers =
    nBegun === 0
      ? "no layer is computed yet"
      : nEnough === all
        ? `from all ${plural(all, "layer")}`
        : `from ${nEnough} of ${plural(all, "layer")}${more}`;
  if (nSinks === 0) return layers;
  const sinks = plural(nSinks, "attention sink");
  return `${layers} · ${sinks} ${withSinks ? "counted" : "left out"}`;
}

export interface SpreadWords {
  readonly n: number;
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

/** `median 0.42 · middle half 0.30 to 0.61 · 54 tokens`, or why there is none. `complete`: whether everything is computed. */
export function spreadWords(spread: SpreadWords | null, window: number | null, complete: boolean): string {
  if (spread === null && window === null) return "the prompt is too short for own shares";
  if (spread === null) return `no token has an own share here${complete ? "" : " yet"}`;
  const { n, low, median, high } = spread;
  return `median ${number(median)} · middle half ${number(low)} to ${number(high)} · ${plural(n, "token")}`;
}

/** Why a layer’s numbers need caution; empty where they do not. */
export function layerCaution(layer: Layer | undefined, nSources: number, nCounted: number): string {
  if (isMostlyShock(layer)) return "mostly the shock of its baseline";
  const other = otherBaseline(layer);
  if (nSources === 0 || nSources >= nCounted) return other;
  const few = 2 * nSources < nCounted ? ", too few to tell" : "";
  const some = `${nSources} of ${plural(nCounted, "source")} so far${few}`;
  return other === "" ? some : `${other} · ${some}`;
}

/** The baseline that replaces the mean where that is a shock; else empty. */
export function otherBaseline(layer: Layer | undefined): string {
  return layer?.shock === true && !isMostlyShock(layer) ? (layer.baseline ?? "") : "";
}

/** Which links are listed, and from how much of the map. */
export interface LinksTold {
  readonly leastOffset: number;
  /** The largest offset of any source. */
  readonly furthest: number;
  readonly nFound: number;
  /** All layers of the model. */
  readonly layers: readonly Layer[];
  /** How many layers have enough values to count. */
  readonly nCounted: number;
  /** Whether everything is computed. */
  readonly complete: boolean;
}

export function linksNote(told: LinksTold): string {
  const { leastOffset, furthest, nFound, layers, nCounted, complete } = told;
  if (leastOffset > furthest) return "no token of this prompt lies so far ahead of another";
  const from = `from ${nCounted} of ${plural(layers.length, "layer")}`;
  if (nFound === 0) return complete ? "none above the noise floor" : `none so far, ${from}`;
  const some = complete ? "" : `so far, ${from}: `;
  const reach = leastOffset === 1 ? "at any distance" : `at least ${leastOffset} tokens ahead`;
  return [`${some}each pair at its strongest layer, ${reach}`, ...layersLeftOut(layers)].join("; ");
}

/** `layer 0, computed with resample, left out`, for each baseline that stands in for a shock. */
function layersLeftOut(layers: readonly Layer[]): readonly string[] {
  const byReason = new Map<string, number[]>();
  for (const [index, layer] of layers.entries()) {
    if (!layer.shock) continue;
    const reason = isMostlyShock(layer)
      ? "mostly the shock of its baseline"
      : `computed with ${layer.baseline}`;
    byReason.set(reason, [...(byReason.get(reason) ?? []), index]);
  }
  return [...byReason].map(
    ([reason, which]) => `layer${which.length === 1 ? "" : "s"} ${listed(which)}, ${reason}, left out`,
  );
}

function listed(numbers: readonly number[]): string {
  const last = numbers.at(-1);
  return numbers.length < 2 ? String(last) : `${numbers.slice(0, -1).join(", ")} and ${last}`;
}

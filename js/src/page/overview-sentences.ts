/** What the overview says in words. */

import { disturbed, type Layer } from "../kernel/traits";
import { number, plural, withUnit } from "./format";

/** `17–18 tokens ahead`, `the next token`. */
export function binName(first: number, last: number): string {
  if (last === 1) return "the next token";
  return `${binLabel(first, last)} tokens ahead`;
}

export function binLabel(first: number, last: number): string {
  return first === last ? String(first) : `${first}–${last}`;
}

/** `mean magnitude 0.12 nats over 43 sources`, or why there is none. `reached`: some source has tokens so far ahead. */
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

/** `median 0.42 · middle half 0.30 to 0.61 · 54 tokens`. */
export function spreadWords(spread: SpreadWords | null): string {
  if (spread === null) return "no token has an own share here yet";
  const { n, low, median, high } = spread;
  return `median ${number(median)} · middle half ${number(low)} to ${number(high)} · ${plural(n, "token")}`;
}

/** What speaks against a layer’s numbers, or nothing. */
export function layerCaution(layer: Layer | undefined, nSources: number, nCounted: number): string {
  if (disturbed(layer)) return "mostly the shock of its baseline";
  if (nSources === 0 || nSources >= nCounted) return "";
  const few = 2 * nSources < nCounted ? ", too few to tell" : "";
  return `${nSources} of ${plural(nCounted, "source")} so far${few}`;
}

/** Which links are listed. */
export function linksNote(leastOffset: number, nShocked: number): string {
  const reach = leastOffset === 1 ? "at any distance" : `at least ${leastOffset} tokens ahead`;
  const left = nShocked === 0 ? "" : `; ${plural(nShocked, "layer")} with a shock baseline left out`;
  return `each pair at its strongest layer, ${reach}${left}`;
}

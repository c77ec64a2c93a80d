/** The scale that one source's values are coloured on, in the text and in the heat map alike. */

import { disturbed, type Layer } from "./protocol";
import type { Rows } from "./rows";

/** Below this a whole map is dust, and is not blown up to full colour. */
const SMALLEST = 0.1;
const STEPS = [1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10] as const;

/**
 * The largest magnitude among the rows of `source` that have come, rounded up to a round number; NaN before the first.
 *
 * Left out: the source's own next token, which is often far stronger than all else and may saturate instead (it is
 * counted where nothing lies behind it), and layers whose values are a shock (but where nothing else has come). Rows
 * come one by one, the layer on the screen first: the maximum only ever grows, and rounding it up makes it stand still
 * for most of them.
 */
export function scaleOf(rows: Rows, source: number, layers: readonly Layer[]): number {
  const largest = [0, 0];
  const found = [false, false];
  for (let layer = 0; layer < rows.nLayers; layer += 1) {
    const row = rows.row(layer, source);
    if (row === undefined) continue;
    const group = disturbed(layers[layer]) ? 1 : 0;
    found[group] = true;
    for (let k = row.length > 1 ? 1 : 0; k < row.length; k += 1) {
      const magnitude = Math.abs(row[k] ?? 0);
      if (magnitude > (largest[group] ?? 0)) largest[group] = magnitude;
    }
  }
  const group = found.indexOf(true);
  return group < 0 ? Number.NaN : roundUp(Math.max(largest[group] ?? 0, SMALLEST));
}

/** The next number of the form step × 10^n. */
export function roundUp(value: number): number {
  const decade = 10 ** Math.floor(Math.log10(value));
  const step = STEPS.find((candidate) => candidate * decade >= value * (1 - 1e-9)) ?? 10;
  return Number((step * decade).toPrecision(3));
}

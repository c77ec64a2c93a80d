/** The colour scale of influence, for the text and the heat map. */

import type { Layer } from "../kernel/protocol";
import { isMostlyShock } from "../kernel/traits";
import { type Reading, stripOf } from "./reading";
import type { Rows } from "./rows";

/** The least end of a scale: a map of smaller values is mostly noise, and stays pale. */
const SMALLEST = 0.1;
const STEPS = [1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10] as const;

/**
 * The largest magnitude of the reading at any layer, rounded up to a round number; NaN before the first value.
 *
 * It leaves out the effect on a source's own next token, which is often far stronger than all else and may saturate
 * (unless there is nothing else), and layers whose values are mostly a shock (unless there are no others).
 * Rows come one by one, those of the selected layer first. The maximum only grows, and rounding it up keeps it the same
 * for most of them.
 */
export function scaleOf(rows: Rows, reading: Reading, layers: readonly Layer[]): number {
  const largest = [0, 0];
  const found = [false, false];
  for (let layer = 0; layer < rows.nLayers; layer += 1) {
    const strip = stripOf(rows, reading, layer);
    if (strip === null) continue;
    const { values } = strip;
    const group = isMostlyShock(layers[layer]) ? 1 : 0;
    const [first, stop] = withoutOwn(reading, values.length);
    for (let k = first; k < stop; k += 1) {
      const magnitude = Math.abs(values[k] ?? Number.NaN);
      if (!Number.isFinite(magnitude)) continue;
      found[group] = true;
      if (magnitude > (largest[group] ?? 0)) largest[group] = magnitude;
    }
  }
  const group = found.indexOf(true);
  return group < 0 ? Number.NaN : roundUp(Math.max(largest[group] ?? 0, SMALLEST));
}

/** Which entries of a strip are not a source's own next token. */
function withoutOwn(reading: Reading, length: number): readonly [number, number] {
  if (length < 2) return [0, length];
  if (reading.kind === "row") return [1, length];
  return reading.kind === "column" ? [0, length - 1] : [0, length];
}

/**
 * A common scale for several rows: the largest magnitude beyond each source's own next token,
 * rounded up; 0 where there is none.
 */
export function sharedScale(rows: readonly (Float32Array | undefined)[]): number {
  let largest = 0;
  for (const row of rows)
    row?.forEach((value, k) => {
      if (k > 0 && Math.abs(value) > largest) largest = Math.abs(value);
    });
  return largest > 0 ? roundUp(largest) : 0;
}

/** The next number of the form step × 10^n. */
export function roundUp(value: number): number {
  const decade = 10 ** Math.floor(Math.log10(value));
  const step = STEPS.find((candidate) => candidate * decade >= value * (1 - 1e-9)) ?? 10;
  return Number((step * decade).toPrecision(3));
}

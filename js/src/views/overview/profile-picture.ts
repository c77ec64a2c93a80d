/** Layers × offsets as numbers: which bins, which scale, which pixels. */

import { alphaOf, type Rgb } from "../../page/colour";
import { type Bin, type MapSummary, offsetBins } from "../../state/overview";
import { roundUp } from "../../state/scale";
import { indexOf } from "../grid/geometry";

export interface Profile {
  readonly bins: readonly Bin[];
  readonly nLayers: number;
  /** What is painted, layer × bin: a mean magnitude, or its share; NaN: not computed yet. */
  readonly values: Float64Array;
  /** The end of the scale; NaN before the first value. */
  readonly scale: number;
}

/**
 * The offset profile of every layer with enough values. `window`: as shares of the influence within so many tokens; null: as
 * mean magnitudes.
 */
export function profileOf(
  summary: MapSummary,
  nLayers: number,
  nOffsets: number,
  window: number | null,
  shocked: (layer: number) => boolean,
): Profile {
  const bins = offsetBins(window === null ? nOffsets : Math.min(window, nOffsets));
  const values = new Float64Array(nLayers * bins.length);
  // The next token, often far stronger than all else, and layers with a shock count apart.
  const largest = { rest: 0, apart: 0 };
  values.fill(Number.NaN);
  for (let layer = 0; layer < nLayers; layer += 1) {
    if (!summary.isEnough(layer)) continue;
    const total = window === null ? 1 : summary.total(layer, window);
    for (const [column, bin] of bins.entries()) {
      const value = summary.mean(layer, bin).mean / total;
      values[layer * bins.length + column] = value;
      const group = shocked(layer) || bin.last === 1 ? "apart" : "rest";
      if (value > largest[group]) largest[group] = value;
    }
  }
  const end = largest.rest > 0 ? largest.rest : largest.apart;
  return { bins, nLayers, values, scale: end > 0 ? roundUp(end) : Number.NaN };
}

/** RGBA of the known cells, and which are known. Cells at offsets beyond `nReached` count as known: they stay empty. */
export function paintProfile(
  { bins, nLayers, values, scale }: Profile,
  colour: Rgb,
  nReached: number,
): { readonly pixels: Uint8ClampedArray<ArrayBuffer>; readonly known: Uint8Array } {
  const pixels = new Uint8ClampedArray(4 * values.length);
  const known = new Uint8Array(values.length);
  const shape = { nRows: nLayers, nColumns: bins.length };
  for (let row = 0; row < nLayers; row += 1) {
    for (let column = 0; column < bins.length; column += 1) {
      const value = values[row * bins.length + column] as number;
      const index = indexOf(shape, { row, column });
      const beyond = (bins[column] as Bin).first > nReached;
      known[index] = beyond || !Number.isNaN(value) ? 1 : 0;
      if (Number.isNaN(value)) continue;
      pixels.set([...colour, alphaOf(value, scale)], 4 * index);
    }
  }
  return { pixels, known };
}

/** A row or a column at every layer as numbers: pixels, strengths of columns, sums of layers. */

import type { Layer } from "../../kernel/protocol";
import { isAboveNoise, isMostlyShock } from "../../kernel/traits";
import { alphaOf, type Palette } from "../../page/colour";
import { type Cell, cellAt, type Reading, reach, type Strip, stripOf } from "../../state/reading";
import type { Rows } from "../../state/rows";
import { indexOf, type Place } from "../grid/geometry";

/** The influence of or on one token, at every layer. Column `c` is the token at `first + c`. */
export interface Drilled {
  readonly reading: Reading;
  readonly nTokens: number;
  readonly nTargets: number;
  readonly nLayers: number;
  readonly first: number;
  readonly nColumns: number;
  readonly strips: readonly Strip[];
}

/** Null where no token is read. */
export function drill(rows: Rows, reading: Reading): Drilled | null {
  if (reading.kind !== "row" && reading.kind !== "column") return null;
  const { nTokens, nTargets, nLayers } = rows;
  const [first, stop] = reach(reading, nTokens, nTargets);
  const strips = Array.from({ length: nLayers }, (_, layer) => stripOf(rows, reading, layer)).filter(
    (strip) => strip !== null,
  );
  return { reading, nTokens, nTargets, nLayers, first, nColumns: Math.max(0, stop - first), strips };
}

/** NaN: not computed yet. */
export function valueAt({ strips }: Drilled, { row, column }: Place): number {
  return strips[row]?.values[column] ?? Number.NaN;
}

/** The cell that a place of the grid stands for. */
export function cellOf({ reading, first, nTokens, nTargets }: Drilled, place: Place): Cell | null {
  return cellAt(reading, place.row, first + place.column, nTokens, nTargets);
}

/** Where a cell lies in the grid; null where it is of another row or column. */
export function placeOf(drilled: Drilled, cell: Cell | null): Place | null {
  const { reading, first, nColumns } = drilled;
  if (cell === null) return null;
  const along = reading.kind === "row" ? cell.target : cell.source;
  const place = { row: cell.layer, column: along - first };
  const same = cellOf(drilled, place);
  const inside = place.column >= 0 && place.column < nColumns;
  return inside && same?.source === cell.source && same.target === cell.target ? place : null;
}

/**
 * One pixel for each cell: the hue of the sign, its strength as opacity, so that zero is the background of any theme.
 * Cells below the noise floor and unknown cells stay clear.
 */
export function pixelsOf(
  drilled: Drilled,
  scale: number,
  layers: readonly Layer[],
  palette: Palette,
): Uint8ClampedArray<ArrayBuffer> {
  const { nLayers, nColumns, strips } = drilled;
  const pixels = new Uint8ClampedArray(4 * nLayers * nColumns);
  for (let layer = 0; layer < nLayers; layer += 1) {
    const floor = layers[layer]?.noise_floor ?? null;
    let at = 4 * indexOf({ nRows: nLayers, nColumns }, { row: layer, column: 0 });
    for (const value of strips[layer]?.values ?? []) {
      if (isAboveNoise(value, floor)) {
        const colour = value > 0 ? palette.needed : palette.hindering;
        pixels[at] = colour[0];
        pixels[at + 1] = colour[1];
        pixels[at + 2] = colour[2];
        pixels[at + 3] = alphaOf(value, scale);
      }
      at += 4;
    }
  }
  return pixels;
}

/** Which cells are known, in the order of the pixels. */
export function knownOf({ nLayers, nColumns, strips }: Drilled): Uint8Array {
  const known = new Uint8Array(nLayers * nColumns);
  for (const [layer, { values }] of strips.entries()) {
    const start = indexOf({ nRows: nLayers, nColumns }, { row: layer, column: 0 });
    for (let column = 0; column < values.length; column += 1)
      if (!Number.isNaN(values[column])) known[start + column] = 1;
  }
  return known;
}

/** The strongest magnitude in each column, shocks and noise left out; 0 below `least`. */
export function columnStrengths(
  { nColumns, strips }: Drilled,
  layers: readonly Layer[],
  least: number,
): Float32Array {
  const strengths = new Float32Array(nColumns);
  for (const [layer, { values }] of strips.entries()) {
    if (isMostlyShock(layers[layer])) continue;
    const floor = Math.max(layers[layer]?.noise_floor ?? 0, least);
    for (let column = 0; column < nColumns; column += 1) {
      const value = Math.abs(values[column] ?? Number.NaN);
      if (isAboveNoise(value, floor)) strengths[column] = Math.max(strengths[column] ?? 0, value);
    }
  }
  return strengths;
}

/** The sum of a layer's row. */
export interface LayerSum {
  /** Sum of the known magnitudes above the noise floor; NaN where none is known. */
  readonly sum: number;
  /** How many cells are known. */
  readonly nKnown: number;
  /** Whether all cells are known. The bar of a partial sum is not drawn, since it would look like a small sum. */
  readonly complete: boolean;
  /** Length of its bar, 0..1, relative to the longest layer without a shock. */
  readonly share: number;
  readonly shocked: boolean;
}

export function layerSums({ strips }: Drilled, layers: readonly Layer[]): readonly LayerSum[] {
  const sums = strips.map(({ values }, layer) => {
    const floor = layers[layer]?.noise_floor ?? null;
    let [sum, nKnown] = [0, 0];
    for (const value of values) {
      if (!Number.isNaN(value)) nKnown += 1;
      if (isAboveNoise(value, floor)) sum += Math.abs(value);
    }
    const complete = nKnown > 0 && nKnown === values.length;
    return {
      sum: nKnown === 0 ? Number.NaN : sum,
      nKnown,
      complete,
      shocked: isMostlyShock(layers[layer]),
    };
  });
  const longest = (shocked: boolean): number =>
    Math.max(0, ...sums.filter((one) => one.shocked === shocked && one.complete).map(({ sum }) => sum));
  // Layers with a shock set the scale only where there are no others.
  const scale = longest(false) || longest(true);
  return sums.map((one) => ({
    ...one,
    share: !one.complete || scale === 0 ? 0 : Math.min(1, one.sum / scale),
  }));
}

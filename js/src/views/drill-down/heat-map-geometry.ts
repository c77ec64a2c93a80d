/** The heat map as arithmetic: which pixel, which cell, which label. Rows run from the last layer down to layer 0. */

import { alphaOf, type Palette, tells } from "../../page/colour";
import { disturbed, type Layer } from "../../kernel/traits";
import type { Rows } from "../../state/rows";
import type { Cell } from "../shared";

export interface Grid {
  readonly source: number;
  readonly nTargets: number;
  readonly nLayers: number;
  /** Size of a cell on the page, in CSS pixels. */
  readonly width: number;
  readonly height: number;
}

/** Whole pixels for each cell, so that all are of one size; where they do not fit, the pane scrolls. */
export function gridOf(source: number, nTokens: number, nLayers: number, room: number): Grid {
  const nTargets = Math.max(0, nTokens - 1 - source);
  const width = Math.max(3, Math.min(28, Math.floor(room / Math.max(1, nTargets))));
  const height = Math.max(4, Math.min(20, Math.round(288 / Math.max(1, nLayers))));
  return { source, nTargets, nLayers, width, height };
}

export function cellAt(grid: Grid, x: number, y: number): Cell | null {
  const column = Math.floor(x / grid.width);
  const row = Math.floor(y / grid.height);
  if (column < 0 || column >= grid.nTargets || row < 0 || row >= grid.nLayers) return null;
  return { layer: grid.nLayers - 1 - row, target: grid.source + 1 + column };
}

/** Top left corner of a cell. */
export function cornerOf(grid: Grid, { layer, target }: Cell): { x: number; y: number } {
  return { x: (target - grid.source - 1) * grid.width, y: (grid.nLayers - 1 - layer) * grid.height };
}

export function within(grid: Grid, cell: Cell): Cell {
  return {
    layer: Math.max(0, Math.min(grid.nLayers - 1, cell.layer)),
    target: Math.max(grid.source + 1, Math.min(grid.source + grid.nTargets, cell.target)),
  };
}

/**
 * Paints one pixel for each cell: the hue of the sign, its strength as opacity, so that zero is the background of any
 * theme. Cells below the noise floor and rows not here yet stay clear. Returns the number of rows painted.
 */
export function paintCells(
  pixels: Uint8ClampedArray,
  rows: Rows,
  source: number,
  scale: number,
  layers: readonly Layer[],
  palette: Palette,
): number {
  pixels.fill(0);
  let painted = 0;
  for (let layer = 0; layer < rows.nLayers; layer += 1) {
    const row = rows.row(layer, source);
    if (row === undefined) continue;
    painted += 1;
    const floor = layers[layer]?.noise_floor ?? null;
    let at = 4 * (rows.nLayers - 1 - layer) * row.length;
    for (const value of row) {
      if (tells(value, floor)) {
        const colour = value > 0 ? palette.needed : palette.hindering;
        pixels[at] = colour[0];
        pixels[at + 1] = colour[1];
        pixels[at + 2] = colour[2];
        pixels[at + 3] = alphaOf(value, scale);
      }
      at += 4;
    }
  }
  return painted;
}

/** The strongest magnitude in each column, shocks and noise left out. */
export function columnStrengths(rows: Rows, source: number, layers: readonly Layer[]): Float32Array {
  const strengths = new Float32Array(Math.max(0, rows.nTokens - 1 - source));
  for (let layer = 0; layer < rows.nLayers; layer += 1) {
    if (disturbed(layers[layer])) continue;
    const floor = layers[layer]?.noise_floor ?? null;
    rows.row(layer, source)?.forEach((value, column) => {
      if (tells(value, floor)) strengths[column] = Math.max(strengths[column] ?? 0, Math.abs(value));
    });
  }
  return strengths;
}

/**
 * The positions that get a label along an axis: the wanted ones, then the strongest, none closer than `gap` to another.
 * `strengths` below `least` get none.
 */
export function labelled(
  strengths: ArrayLike<number>,
  step: number,
  gap: number,
  least: number,
  wanted: readonly number[] = [],
): number[] {
  const order = Array.from(strengths, (strength, index) => ({ strength, index }))
    .filter(({ strength }) => strength >= least && strength > 0)
    .sort((a, b) => b.strength - a.strength || a.index - b.index)
    .map(({ index }) => index);
  const chosen: number[] = [];
  for (const index of [...wanted, ...order]) {
    if (index < 0 || index >= strengths.length) continue;
    if (chosen.every((other) => Math.abs(other - index) * step >= gap)) chosen.push(index);
  }
  return chosen.sort((a, b) => a - b);
}

/** How the text is read: by a statistic of each token, or by the influence of or on one of them. */

import type { Traits } from "../kernel/protocol";
import type { Rows } from "./rows";

/** Influence of the state at (layer, source) on the prediction of the token at `target`. */
export interface Cell {
  readonly layer: number;
  readonly source: number;
  readonly target: number;
}

/** A cell and its value. */
export interface Link extends Cell {
  readonly value: number;
}

/**
 * `statistic`: a number for each token; `row`: what one token's state is used for; `column`: which states carry one
 * prediction; `offset`: each token's influence on the one that lies `offset` ahead of it.
 */
export type Reading =
  | { readonly kind: "statistic" }
  | { readonly kind: "row"; readonly source: number }
  | { readonly kind: "column"; readonly target: number }
  | { readonly kind: "offset"; readonly offset: number };

/** Influence along the text: `values[i]` is painted at position `first + i`. NaN: not computed yet. */
export interface Strip {
  readonly first: number;
  readonly values: Float32Array;
}

type Selected = Pick<
  { readonly [K in keyof Traits]: Traits[K] },
  "direction" | "selected_source" | "selected_target" | "selected_offset"
>;

/** What the selection means. Positions outside the prompt count as not selected. */
export function readingOf(selected: Selected, nTokens: number, nTargets: number): Reading {
  const { direction, selected_source: source, selected_target: target, selected_offset: offset } = selected;
  if (direction === "row" && source !== null && source < nTokens) return { kind: "row", source };
  if (direction === "column" && target !== null && target >= 1 && target <= nTargets)
    return { kind: "column", target };
  if (offset !== null && offset >= 1 && offset <= nTargets) return { kind: "offset", offset };
  return { kind: "statistic" };
}

/** The selected cell of a row or column, if there is one. */
export function selectedCell(
  selected: Selected,
  reading: Reading,
  layer: number,
  nTokens: number,
  nTargets: number,
): Cell | null {
  const { selected_source: source, selected_target: target } = selected;
  if (reading.kind !== "row" && reading.kind !== "column") return null;
  if (source === null || target === null || source >= nTokens || target > nTargets) return null;
  return target > source ? { layer, source, target } : null;
}

/** The token whose row or column is read. */
export function anchorOf(reading: Reading): number | null {
  if (reading.kind === "row") return reading.source;
  return reading.kind === "column" ? reading.target : null;
}

/** The positions that have a value, `[first, stop)`. */
export function reach(reading: Reading, nTokens: number, nTargets: number): readonly [number, number] {
  switch (reading.kind) {
    case "row":
      return [reading.source + 1, nTargets + 1];
    case "column":
      return [0, Math.min(reading.target, nTokens)];
    case "offset":
      return [0, Math.max(0, Math.min(nTokens, nTargets - reading.offset + 1))];
    case "statistic":
      return [0, nTokens];
  }
}

/** The cell whose value is painted at a position of the text. */
export function cellAt(
  reading: Reading,
  layer: number,
  position: number,
  nTokens: number,
  nTargets: number,
): Cell | null {
  const [first, stop] = reach(reading, nTokens, nTargets);
  if (position < first || position >= stop) return null;
  switch (reading.kind) {
    case "row":
      return { layer, source: reading.source, target: position };
    case "column":
      return { layer, source: position, target: reading.target };
    case "offset":
      return { layer, source: position, target: position + reading.offset };
    case "statistic":
      return null;
  }
}

/** Where in the text a cell's value is painted. */
export function positionOf(reading: Reading, cell: Cell): number {
  return reading.kind === "row" ? cell.target : cell.source;
}

/** What is painted along the text at one layer; null for a statistic. */
export function stripOf(rows: Rows, reading: Reading, layer: number): Strip | null {
  if (reading.kind === "statistic") return null;
  const [first, stop] = reach(reading, rows.nTokens, rows.nTargets);
  if (reading.kind === "row") {
    const row = rows.row(layer, reading.source);
    return { first, values: row ?? new Float32Array(Math.max(0, stop - first)).fill(Number.NaN) };
  }
  const values = new Float32Array(Math.max(0, stop - first));
  for (let source = first; source < stop; source += 1) {
    const target = reading.kind === "column" ? reading.target : source + reading.offset;
    values[source - first] = rows.influence(layer, source, target) ?? Number.NaN;
  }
  return { first, values };
}

/** Whether the reading is complete: a row at every layer, anything else at the selected layer. */
export function isComplete(rows: Rows, reading: Reading, layer: number): boolean {
  if (reading.kind === "row") return rows.nRows(reading.source) >= rows.nLayers;
  if (rows.nSources(layer) >= rows.nTokens) return true;
  if (reading.kind !== "column") return false;
  for (let source = 0; source < Math.min(reading.target, rows.nTokens); source += 1) {
    if (rows.row(layer, source) === undefined) return false;
  }
  return true;
}

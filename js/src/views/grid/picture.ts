/** What a grid shows, and what is marked in it. */

import type { Rgb } from "../../page/colour";
import type { Place } from "./geometry";

/** One axis of a picture. */
export interface Axis {
  readonly count: number;
  /** Short: beside the grid. */
  readonly label: (index: number) => string;
  /** In full: for the table and for tooltips. */
  readonly name: (index: number) => string;
  /** Priority of labels where there is no room for all; those with 0 appear only with the cursor. By default: evenly. */
  readonly strengths?: ArrayLike<number>;
}

/** The sum of a row. */
export interface Sum {
  /** Length of the bar, 0..1. */
  readonly share: number;
  /** The number, for the table. */
  readonly text: string;
  /** The number in a sentence. */
  readonly words: string;
  /** Hatched bars are not comparable with the others. */
  readonly hatched: boolean;
}

/** What is shown. Arrays have one entry per cell (`indexOf`), the last row first. */
export interface Picture {
  /** Accessible name of the plot. */
  readonly name: string;
  /** Of the table. */
  readonly caption: string;
  /** The header of the row names in the table. */
  readonly corner: string;
  readonly rows: Axis;
  readonly columns: Axis;
  /** RGBA, transparent for zero. */
  readonly pixels: Uint8ClampedArray<ArrayBuffer>;
  /** 1: the cell is known; 0: it is shown as a grain. */
  readonly known: Uint8Array;
  /** The background; known cells cover the grain with it. */
  readonly paper: Rgb;
  /** Rows that are hatched. */
  readonly hatched: (row: number) => boolean;
  /** A bar for each row, beside the grid. */
  readonly sums?: readonly Sum[];
  /** The header of the bars' column in the table. */
  readonly sumsName?: string;
  /** A cell's number, for the table. */
  readonly value: (place: Place) => string;
  /** A full description of a cell, for screen readers. */
  readonly words: (place: Place) => string;
}

/** What is marked: the chosen row and cell, and the cursor. */
export interface Marks {
  readonly row: number | null;
  readonly cell: Place | null;
  readonly cursor: Place | null;
}

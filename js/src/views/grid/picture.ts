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
  /** Which labels come first where there is no room for all; those of 0 come only with the cursor. Else: evenly. */
  readonly strengths?: ArrayLike<number>;
}

/** How much there is in a row altogether. */
export interface Sum {
  /** Length of the bar, 0..1. */
  readonly share: number;
  /** The number, for the table. */
  readonly text: string;
  /** The number in a sentence. */
  readonly words: string;
  /** Hatched: it does not count like the others. */
  readonly hatched: boolean;
}

/** What is shown. Arrays have one entry for each cell (`indexOf`), the last row first: as they lie on the page. */
export interface Picture {
  /** Accessible name of the plot. */
  readonly name: string;
  /** Of the table. */
  readonly caption: string;
  /** What the rows are, over their names in the table. */
  readonly corner: string;
  readonly rows: Axis;
  readonly columns: Axis;
  /** RGBA, transparent for zero. */
  readonly pixels: Uint8ClampedArray<ArrayBuffer>;
  /** 1: the cell's value is here; 0: it lies under a grain. */
  readonly known: Uint8Array;
  /** What lies behind everything: a cell that is here covers the grain with it. */
  readonly paper: Rgb;
  /** Rows that are hatched. */
  readonly hatched: (row: number) => boolean;
  /** A bar for each row, beside the grid. */
  readonly sums?: readonly Sum[];
  /** What the bars are: their column in the table. */
  readonly sumsName?: string;
  /** A cell's number, for the table. */
  readonly value: (place: Place) => string;
  /** All there is to say of a cell, for speech. */
  readonly words: (place: Place) => string;
}

/** What is marked. The frame of a row and of a cell stay; the cursor comes and goes. */
export interface Marks {
  readonly row: number | null;
  readonly cell: Place | null;
  readonly cursor: Place | null;
}

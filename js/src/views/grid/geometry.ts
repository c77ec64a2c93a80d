/** The geometry of a grid: pixels, cells and labels. Row 0 is at the bottom, like layer 0. */

/** One cell of a grid. */
export interface Place {
  readonly row: number;
  readonly column: number;
}

export interface Shape {
  readonly nRows: number;
  readonly nColumns: number;
  /** Size of a cell on the page, in CSS pixels. */
  readonly width: number;
  readonly height: number;
}

/** Limits for the size of cells, and the preferred height of all rows together, in CSS pixels. */
export interface Sizes {
  readonly narrowest: number;
  readonly widest: number;
  readonly lowest: number;
  readonly highest: number;
  readonly rows: number;
}

export const SIZES: Sizes = { narrowest: 4, widest: 48, lowest: 5, highest: 20, rows: 300 };

/** Sizes cells in whole pixels, so that all have one size; where they do not fit, the pane scrolls. */
export function layOut(nRows: number, nColumns: number, room: number, sizes: Sizes = SIZES): Shape {
  const width = clamp(Math.floor(room / Math.max(1, nColumns)), sizes.narrowest, sizes.widest);
  const height = clamp(Math.round(sizes.rows / Math.max(1, nRows)), sizes.lowest, sizes.highest);
  return { nRows, nColumns, width, height };
}

/** The cell under a point, measured from the top left corner; null outside. */
export function placeAt(shape: Shape, x: number, y: number): Place | null {
  const column = Math.floor(x / shape.width);
  const fromTop = Math.floor(y / shape.height);
  if (column < 0 || column >= shape.nColumns || fromTop < 0 || fromTop >= shape.nRows) return null;
  return { row: shape.nRows - 1 - fromTop, column };
}

/** Top left corner of a cell. */
export function cornerOf(shape: Shape, { row, column }: Place): { x: number; y: number } {
  return { x: column * shape.width, y: (shape.nRows - 1 - row) * shape.height };
}

/** The index of a cell in arrays that run from the top left corner, one entry per cell. */
export function indexOf({ nRows, nColumns }: Pick<Shape, "nRows" | "nColumns">, place: Place): number {
  return (nRows - 1 - place.row) * nColumns + place.column;
}

/** The nearest cell of the grid. */
export function within({ nRows, nColumns }: Pick<Shape, "nRows" | "nColumns">, place: Place): Place {
  return { row: clamp(place.row, 0, nRows - 1), column: clamp(place.column, 0, nColumns - 1) };
}

/** The cell that a key moves to; null for other keys. With Shift, arrows move ten cells. */
export function step(key: string, far: boolean, from: Place, shape: Shape): Place | null {
  const by = far ? 10 : 1;
  const page = Math.max(2, Math.round(shape.nRows / 4));
  const moves: Readonly<Record<string, Place>> = {
    ArrowUp: { row: from.row + by, column: from.column },
    ArrowDown: { row: from.row - by, column: from.column },
    ArrowRight: { row: from.row, column: from.column + by },
    ArrowLeft: { row: from.row, column: from.column - by },
    PageUp: { row: from.row + page, column: from.column },
    PageDown: { row: from.row - page, column: from.column },
    Home: { row: from.row, column: 0 },
    End: { row: from.row, column: shape.nColumns - 1 },
  };
  const to = Object.hasOwn(moves, key) ? moves[key] : undefined;
  return to === undefined ? null : within(shape, to);
}

/** Whether two labels along an axis do not touch. `room`: the length of each, with the space around it. */
export function apart(a: number, b: number, size: number, room: (index: number) => number): boolean {
  return Math.abs(a - b) * size >= (room(a) + room(b)) / 2;
}

/**
 * The indices that get a label along an axis: the wanted ones, then the strongest, as far as they do not touch others.
 * Those with a strength below `least` get none.
 */
export function labelled(
  strengths: ArrayLike<number>,
  size: number,
  room: number | ((index: number) => number),
  least: number,
  wanted: readonly number[] = [],
): number[] {
  const roomOf = typeof room === "number" ? () => room : room;
  const order = Array.from(strengths, (strength, index) => ({ strength, index }))
    .filter(({ strength }) => strength >= least && strength > 0)
    .sort((a, b) => b.strength - a.strength || a.index - b.index)
    .map(({ index }) => index);
  const gap = Math.max(1, ...[...wanted, ...order].map(roomOf));
  // Labels are kept by slots, so that only neighbouring slots need a check.
  const slots = new Map<number, number[]>();
  const chosen: number[] = [];
  for (const index of [...wanted, ...order]) {
    if (index < 0 || index >= strengths.length) continue;
    const slot = Math.floor((index * size) / gap);
    const near = [slot - 1, slot, slot + 1].flatMap((s) => slots.get(s) ?? []);
    if (near.some((other) => !apart(other, index, size, roomOf))) continue;
    slots.set(slot, [...(slots.get(slot) ?? []), index]);
    chosen.push(index);
  }
  return chosen.sort((a, b) => a - b);
}

/** Strengths that label an axis of numbers evenly: its ends, and round steps between them. */
export function evenly(count: number, size: number, gap: number): number[] {
  const stride =
    [1, 2, 5, 10, 20, 50, 100, 200, 500].find((candidate) => candidate * size >= 1.7 * gap) ?? 1000;
  return Array.from({ length: count }, (_, index) =>
    index === count - 1 ? 3 : index % stride === 0 ? 2 : 0,
  );
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

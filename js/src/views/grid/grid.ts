/**
 * A heat map: one canvas pixel per cell, scaled up by the page, with labels, frames, a keyboard cursor, and a table of the
 * same values. It knows nothing of layers and tokens: its owner gives it a `Picture` and `Marks`.
 */

import { signal } from "@preact/signals-core";
import { h, listen, setAttribute, setText } from "../../page/dom";
import type { Frames } from "../../page/frames";
import {
  cornerOf,
  indexOf,
  layOut,
  type Place,
  placeAt,
  type Shape,
  SIZES,
  type Sizes,
  step,
} from "./geometry";
import { ColumnLabels, RowLabels } from "./labels";
import type { Marks, Picture } from "./picture";
import { RowSums } from "./row-sums";
import { GridTable } from "./table";

export interface GridOptions {
  readonly frames: Frames;
  /** Class of the canvas, by which tests find it. */
  readonly canvas: string;
  readonly sizes?: Partial<Sizes>;
  /** Whether column labels stand upright below the grid; else they lie flat. */
  readonly upright: boolean;
  /** The pointer, or the keyboard's cursor, is on a cell, or on none. */
  readonly onPoint: (place: Place | null) => void;
  readonly onSelect: (place: Place, event: Event) => void;
  /** The pointer is on a row's bar, or on none. */
  readonly onPointRow?: (row: number | null) => void;
  /** A row was chosen by its bar. */
  readonly onSelectRow?: (row: number) => void;
  /** Escape was pressed: the focus should go back. */
  readonly onLeave?: () => void;
}

const NO_MARKS: Marks = { row: null, cell: null, cursor: null };

/** Between the cells and the bars, as in the style sheet. */
const SUMS_GAP = 8;

export class GridView {
  readonly canvas: HTMLCanvasElement;
  /** Covers the grain where a value is known, in rows that are known in part. */
  readonly #veil = h("canvas", { class: "grid-veil", hidden: true });
  readonly #ground = h("div", { class: "ground" });
  readonly #rowFrame = h("div", { class: "row-frame" });
  readonly #cellFrame = h("div", { class: "cell-frame" });
  readonly #cursorFrame = h("div", { class: "cursor-frame" });
  readonly #rowLabels = new RowLabels();
  readonly #columnLabels: ColumnLabels;
  readonly #sums: RowSums;
  readonly #table: GridTable;
  /** Takes the focus; arrows move its cursor. */
  readonly #plot: HTMLElement;
  readonly #pane: HTMLElement;
  readonly #main: HTMLElement;
  /** Tells what the keyboard's cursor is on. */
  readonly #spoken = h("div", { class: "unseen", "aria-live": "polite" });
  readonly element: HTMLElement;

  readonly #options: GridOptions;
  readonly #sizes: Sizes;
  /** The width that the grid has for its cells, in CSS pixels. */
  readonly #room = signal(0);
  #shape: Shape = layOut(0, 0, 0);
  #picture: Picture | null = null;
  #marks: Marks = NO_MARKS;
  #revealing: number | null = null;

  constructor(options: GridOptions) {
    this.#options = options;
    this.#sizes = { ...SIZES, ...options.sizes };
    const { frames } = options;
    this.canvas = h("canvas", { class: `grid-cells ${options.canvas}` });
    this.#columnLabels = new ColumnLabels(options.upright);
    this.#sums = new RowSums(frames, options);
    this.#table = new GridTable(frames);
    this.#plot = h(
      "div",
      { class: "plot", role: "application", tabindex: 0, "aria-roledescription": "heat map" },
      this.#ground,
      this.#veil,
      this.canvas,
      this.#rowFrame,
      this.#cellFrame,
      this.#cursorFrame,
    );
    this.#pane = h("div", { class: "grid-pane" }, this.#plot, this.#columnLabels.element);
    this.#main = h("div", { class: "grid-main" }, this.#rowLabels.element, this.#pane, this.#sums.element);
    this.element = h("div", { class: "grid" }, this.#main, this.#table.element, this.#spoken);
    if (typeof ResizeObserver !== "undefined") {
      const observer = new ResizeObserver(() => {
        const room = this.#measure();
        if (room > 0) this.#room.value = room;
      });
      observer.observe(this.#main);
      frames.onDispose(() => observer.disconnect());
    }
    frames.onDispose(() => {
      if (this.#revealing !== null) cancelAnimationFrame(this.#revealing);
    });
    frames.onDispose(listen(this.#plot, "pointermove", (event) => this.#point(this.#under(event))));
    frames.onDispose(listen(this.#plot, "pointerleave", () => this.#point(null)));
    frames.onDispose(listen(this.#plot, "blur", () => this.#point(null)));
    frames.onDispose(listen(this.#plot, "click", (event) => this.#click(event)));
    frames.onDispose(listen(this.#plot, "keydown", (event) => this.#key(event)));
  }

  /** Shows a picture. An effect that calls this runs again when the width of the grid changes. */
  show(picture: Picture): void {
    const { rows, columns, pixels } = picture;
    this.#picture = picture;
    this.#sums.element.hidden = picture.sums === undefined;
    // Measured here only before the observer has reported: measuring forces a layout.
    const room = this.#room.value || this.#measure();
    this.#shape = layOut(rows.count, columns.count, room, this.#sizes);
    const { width, height } = this.#shape;
    this.#plot.style.width = `${columns.count * width}px`;
    this.#plot.style.height = `${rows.count * height}px`;
    setAttribute(
      this.#plot,
      "aria-label",
      `${picture.name} Arrow keys move, with Shift by ten; Enter selects, Escape leaves.`,
    );
    draw(this.canvas, pixels, this.#shape);
    this.#paintGround(picture);
    this.#rowLabels.show(rows, this.#shape);
    this.#columnLabels.show(columns, this.#shape);
    this.#sums.show(picture.sums ?? [], height);
    this.#table.show(picture);
    this.#paintMarks();
  }

  mark(marks: Marks): void {
    const moved = !same(marks.cell, this.#marks.cell);
    this.#marks = marks;
    this.#table.choose(marks.cell);
    this.#paintMarks();
    if (moved && marks.cell !== null) this.reveal(marks.cell);
  }

  /** Scrolls a cell into view, no further than needed. */
  reveal(place: Place): void {
    const { nColumns, width } = this.#shape;
    if (nColumns * width <= this.#room.peek()) return;
    // In the next frame, when the page is laid out anyway: reading sizes now would force a layout.
    if (this.#revealing !== null) cancelAnimationFrame(this.#revealing);
    this.#revealing = requestAnimationFrame(() => {
      this.#revealing = null;
      this.#scrollTo(place);
    });
  }

  #scrollTo({ column }: Place): void {
    const { width } = this.#shape;
    const { clientWidth: room, scrollLeft } = this.#pane;
    const left = column * width;
    const margin = Math.min(3 * width, room / 4);
    if (left < scrollLeft) this.#pane.scrollLeft = Math.max(0, left - margin);
    else if (left + width > scrollLeft + room) this.#pane.scrollLeft = left + width + margin - room;
  }

  focus(): void {
    this.#plot.focus();
  }

  /** 0 while the grid is not on the page. */
  #measure(): number {
    const { offsetWidth: sums } = this.#sums.element;
    return Math.max(
      0,
      this.#main.clientWidth - this.#rowLabels.element.offsetWidth - (sums && sums + SUMS_GAP),
    );
  }

  /** Paints the ground of each row: plain, a hatch, or a grain where values are missing. */
  #paintGround({ rows, columns, known, hatched, paper }: Picture): void {
    if (this.#ground.childElementCount !== rows.count)
      this.#ground.replaceChildren(...Array.from({ length: rows.count }, () => h("div")));
    let partial = false;
    for (let row = 0; row < rows.count; row += 1) {
      const start = indexOf(this.#shape, { row, column: 0 });
      const nKnown = known.subarray(start, start + columns.count).reduce((sum, one) => sum + one, 0);
      if (nKnown > 0 && nKnown < columns.count) partial = true;
      const kind = nKnown < columns.count ? "pending" : hatched(row) ? "shock" : "done";
      const element = this.#ground.children[rows.count - 1 - row];
      if (element !== undefined) setAttribute(element, "class", kind);
    }
    this.#veil.hidden = !partial;
    if (!partial) return;
    const veil = new Uint8ClampedArray(4 * known.length);
    for (const [i, one] of known.entries()) if (one === 1) veil.set([...paper, 255], 4 * i);
    draw(this.#veil, veil, this.#shape);
  }

  #paintMarks(): void {
    const { row, cell, cursor } = this.#marks;
    const { nRows, nColumns, width, height } = this.#shape;
    const inside = (place: Place | null): Place | null =>
      place !== null && place.row < nRows && place.column < nColumns ? place : null;
    const whole = row === null || row >= nRows ? null : { row, column: 0 };
    frame(this.#rowFrame, this.#shape, whole, nColumns * width, height);
    frame(this.#cellFrame, this.#shape, inside(cell), width, height);
    frame(this.#cursorFrame, this.#shape, inside(cursor), width, height);
    this.#rowLabels.mark(cursor?.row ?? row);
    this.#columnLabels.mark(inside(cursor)?.column ?? null, inside(cell)?.column ?? null);
    this.#sums.mark(cursor?.row ?? row);
  }

  #under(event: MouseEvent): Place | null {
    const box = this.#plot.getBoundingClientRect();
    return placeAt(this.#shape, event.clientX - box.left, event.clientY - box.top);
  }

  #point(place: Place | null): void {
    if (!same(place, this.#marks.cursor)) this.#options.onPoint(place);
  }

  #click(event: MouseEvent): void {
    const place = this.#under(event);
    if (place !== null) this.#options.onSelect(place, event);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.#picture === null || this.#shape.nColumns === 0) return;
    const { cursor, cell, row } = this.#marks;
    const from = cursor ?? cell ?? { row: row ?? 0, column: 0 };
    // The first key shows the cursor where it is.
    const to = cursor === null && event.key.startsWith("Arrow") ? from : this.#step(event, from);
    if (to !== null) this.#go(to);
    else if (event.key === "Enter" || event.key === " ") {
      this.#options.onSelect(from, event);
      this.#go(from);
    } else if (event.key === "Escape" && this.#options.onLeave !== undefined) {
      this.#point(null);
      this.#options.onLeave();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #step(event: KeyboardEvent, from: Place): Place | null {
    return step(event.key, event.shiftKey, from, this.#shape);
  }

  #go(place: Place): void {
    this.#point(place);
    // At once, since the next key moves on from here.
    this.#marks = { ...this.#marks, cursor: place };
    this.reveal(place);
    if (this.#picture !== null) setText(this.#spoken, this.#picture.words(place));
  }
}

/** Sets the size of a canvas, which clears it, and paints it. */
function draw(canvas: HTMLCanvasElement, pixels: Uint8ClampedArray<ArrayBuffer>, shape: Shape): void {
  const { nRows, nColumns } = shape;
  if (canvas.width !== nColumns) canvas.width = nColumns;
  if (canvas.height !== nRows) canvas.height = nRows;
  if (pixels.length > 0) canvas.getContext("2d")?.putImageData(new ImageData(pixels, nColumns, nRows), 0, 0);
}

function frame(element: HTMLElement, shape: Shape, place: Place | null, width: number, height: number): void {
  element.hidden = place === null;
  if (place === null) return;
  const { x, y } = cornerOf(shape, place);
  element.style.cssText = `left: ${x}px; top: ${y}px; width: ${width}px; height: ${height}px`;
}

function same(a: Place | null, b: Place | null): boolean {
  return a?.row === b?.row && a?.column === b?.column;
}

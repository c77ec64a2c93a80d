/** Where the units lie on the page. They are measured once per layout; clicks and scrolls measure nothing. */

import { signal } from "@preact/signals-core";
import type { Units } from "./units";

/** The margin on both sides of the text, in CSS pixels, as in `text.css`. */
const MARGIN = 10;

/** The box of a unit, in CSS pixels from the top left corner of the text; of a unit on several lines, its first part. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** The room for arcs: the width of the text, and the margins beside it. */
export interface Room {
  readonly width: number;
  readonly margin: number;
}

export class Boxes {
  readonly #text: HTMLElement;
  /** Counts changes of the layout. */
  readonly #laidOut = signal(0);
  #boxes: readonly Box[] | null = null;
  #room: Room = { width: 0, margin: 0 };
  #gap = 0;

  constructor(text: HTMLElement) {
    this.#text = text;
  }

  /** The layout has changed. */
  forget(): void {
    this.#boxes = null;
    this.#laidOut.value = this.#laidOut.peek() + 1;
  }

  /** Empty while the text is hidden, as hosts do while they switch themes; that is not kept. */
  of(units: Units): readonly Box[] {
    this.#laidOut.value;
    if (this.#boxes !== null) return this.#boxes;
    const origin = this.#text.getBoundingClientRect();
    const boxes = units.elements.map((element) => {
      const { left, top, right, bottom } = element.getClientRects()[0] ?? element.getBoundingClientRect();
      return {
        left: left - origin.left,
        top: top - origin.top,
        right: right - origin.left,
        bottom: bottom - origin.top,
      };
    });
    const first = boxes[0];
    if (first === undefined || first.bottom <= first.top) return [];
    const leading = Number.parseFloat(getComputedStyle(this.#text).lineHeight) || 0;
    this.#gap = Math.max(0, leading - (first.bottom - first.top));
    this.#room = { width: origin.width, margin: MARGIN };
    this.#boxes = boxes;
    return boxes;
  }

  /** Height of the gap between two lines, as last measured. */
  get gap(): number {
    return this.#gap;
  }

  get room(): Room {
    return this.#room;
  }
}

/** The units between two heights, `[first, stop)`. */
export function between(boxes: readonly Box[], top: number, bottom: number): readonly [number, number] {
  const first = firstWhere(boxes, (box) => box.bottom >= top);
  return [first, firstWhere(boxes, (box) => box.top > bottom)];
}

/** Binary search: `holds` is false up to some box, and true from there on. */
function firstWhere(boxes: readonly Box[], holds: (box: Box) => boolean): number {
  let low = 0;
  let high = boxes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const box = boxes[middle];
    if (box !== undefined && holds(box)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The nearest unit on the next line up (-1) or down (1); the same unit where there is none. */
export function lineFrom(boxes: readonly Box[], from: number, step: 1 | -1): number {
  const here = boxes[from];
  if (here === undefined) return from;
  const height = here.bottom - here.top;
  const middle = (here.left + here.right) / 2;
  let best = from;
  let bestDistance = Number.POSITIVE_INFINITY;
  let line: number | undefined;
  for (let i = from + step; i >= 0 && i < boxes.length; i += step) {
    const box = boxes[i];
    if (box === undefined || Math.abs(box.top - here.top) < height / 2) continue;
    line ??= box.top;
    if (Math.abs(box.top - line) > height / 2) break;
    const distance = Math.abs((box.left + box.right) / 2 - middle);
    if (distance < bestDistance) [best, bestDistance] = [i, distance];
  }
  return best;
}

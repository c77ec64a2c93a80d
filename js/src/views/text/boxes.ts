/** Where the units lie on the page, measured once for each layout, so that a click or a scroll measures nothing. */

import { signal } from "@preact/signals-core";
import type { Units } from "./units";

/** On both sides of the text there is so much white, in CSS pixels (`text.css`). */
const MARGIN = 10;

/** In CSS pixels from the top left corner of the text. A unit that is broken over lines: its first part. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** The text that arcs run in: its width, and the room beside it that is not the text's. */
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

  /** None while the text is hidden, as hosts do while they change their theme: that is not kept. */
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

  /** Of the white between two lines, when last measured. */
  get gap(): number {
    return this.#gap;
  }

  get room(): Room {
    return this.#room;
  }
}

/** The units between two heights, `[first, stop)`: lines follow each other downwards. */
export function between(boxes: readonly Box[], top: number, bottom: number): readonly [number, number] {
  const first = firstWhere(boxes, (box) => box.bottom >= top);
  return [first, firstWhere(boxes, (box) => box.top > bottom)];
}

/** By halving: `holds` is false up to some box and true from there on. */
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

/** The unit nearest to this one on the next line, up (-1) or down (1); this one where there is none. */
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

/** A small bar chart of one token's influence by offset. */

import { isAboveNoise } from "../../kernel/traits";
import { h } from "../../page/dom";
import { svg } from "../../page/svg";

export const PROFILE_WIDTH = 232;
export const PROFILE_HEIGHT = 44;
/** The gap between two bars, where there is room. */
const GAP = 1;
/** Offsets that may be labelled. */
const TICKS = [1, 4, 16, 64, 256, 1024, 4096] as const;

export interface Bar {
  readonly x: number;
  readonly width: number;
  /** 0..1 of the height. */
  readonly height: number;
  readonly sign: 1 | -1;
  /** Whether it is the source's own next token. */
  readonly own: boolean;
}

/** Where offset `k` ends on the axis, 0..1. The square-root scale gives near offsets more room. */
export function offsetAt(k: number, nOffsets: number): number {
  return Math.sqrt(k / nOffsets);
}

/**
 * One bar for each offset, or for the strongest of those that share a pixel. Heights use the same square-root scale as
 * colours; the bar of the own next token is cut at the height of the picture.
 */
export function barsOf(row: Float32Array, noiseFloor: number | null, width: number): readonly Bar[] {
  const n = row.length;
  const largest = largestOf(row);
  const bars: Bar[] = [];
  for (let k = 1; k <= n; k += 1) {
    const value = row[k - 1] ?? Number.NaN;
    if (Number.isNaN(value) || !isAboveNoise(value, noiseFloor)) continue;
    const x = Math.floor(width * offsetAt(k - 1, n));
    const end = width * offsetAt(k, n);
    const bar: Bar = {
      x,
      width: Math.max(1, Math.floor(end) - x - (end - x > 3 ? GAP : 0)),
      height: Math.sqrt(Math.min(1, Math.abs(value) / largest)),
      sign: value > 0 ? 1 : -1,
      own: k === 1,
    };
    const last = bars.at(-1);
    if (last === undefined || last.x !== x || last.own) bars.push(bar);
    else if (bar.height > last.height) bars[bars.length - 1] = bar;
  }
  return bars;
}

/** The largest magnitude beyond the own next token, or of that where it is alone. */
function largestOf(row: Float32Array): number {
  let largest = 0;
  for (let k = row.length > 1 ? 1 : 0; k < row.length; k += 1) {
    const magnitude = Math.abs(row[k] ?? 0);
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

/** Labelled offsets, with their places 0..1. */
export function ticksOf(nOffsets: number): readonly { readonly offset: number; readonly at: number }[] {
  return TICKS.filter((offset) => offset <= nOffsets).map((offset) => ({
    offset,
    at: (offsetAt(offset - 1, nOffsets) + offsetAt(offset, nOffsets)) / 2,
  }));
}

/** The picture, drawn into the same elements each time. */
export class Profile {
  readonly #bars = svg("g");
  readonly #window = svg("line", { class: "profile-window", y1: 0, y2: PROFILE_HEIGHT });
  readonly #paths = ["own", "needed", "hindering"].map((name) => svg("path", { class: `profile-${name}` }));
  readonly #axis = h("div", { class: "profile-axis" });
  readonly element = h("div", { class: "profile", "aria-hidden": "true" });
  #nOffsets = 0;

  constructor() {
    const picture = svg("svg", {
      width: PROFILE_WIDTH,
      height: PROFILE_HEIGHT,
      viewBox: `0 0 ${PROFILE_WIDTH} ${PROFILE_HEIGHT}`,
    });
    this.#bars.append(...this.#paths);
    picture.append(this.#bars, this.#window);
    this.element.append(picture, this.#axis);
  }

  draw(row: Float32Array, noiseFloor: number | null, window: number | null): void {
    const bars = barsOf(row, noiseFloor, PROFILE_WIDTH);
    const groups = [
      bars.filter(({ own }) => own),
      bars.filter(({ own, sign }) => !own && sign > 0),
      bars.filter(({ own, sign }) => !own && sign < 0),
    ];
    for (const [i, path] of this.#paths.entries())
      path.setAttribute("d", (groups[i] ?? []).map(pathOf).join(""));
    const shown = window !== null && window < row.length;
    const x = shown ? PROFILE_WIDTH * offsetAt(window, row.length) : -9;
    for (const end of ["x1", "x2"]) this.#window.setAttribute(end, String(Math.round(x) + 0.5));
    this.#drawAxis(row.length);
  }

  #drawAxis(nOffsets: number): void {
    if (nOffsets === this.#nOffsets) return;
    this.#nOffsets = nOffsets;
    const far = ticksOf(nOffsets).map(({ offset, at }) => {
      const label = h("span", {}, String(offset));
      label.style.insetInlineStart = `${(100 * at).toFixed(1)}%`;
      return label;
    });
    this.#axis.replaceChildren(...far);
  }
}

function pathOf({ x, width, height }: Bar): string {
  const top = PROFILE_HEIGHT * (1 - height);
  return `M${x} ${PROFILE_HEIGHT}V${top.toFixed(1)}h${width}V${PROFILE_HEIGHT}z`;
}

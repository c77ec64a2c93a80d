/** Bars on one axis through zero, each with a name and a number. */

import { h, setAttribute, setText } from "../../page/dom";

export interface Bar {
  readonly name: string;
  readonly text: string;
  /** The bar runs from `from` to `to`; the direction shows the sign. */
  readonly from: number;
  readonly to: number;
}

/** A part of the axis, in shares of its length. */
export interface Stretch {
  readonly start: number;
  readonly length: number;
}

/** The ends of an axis that holds all bars, and zero. */
export function axisOf(bars: readonly Pick<Bar, "from" | "to">[]): readonly [low: number, high: number] {
  const ends = bars.flatMap(({ from, to }) => [from, to]);
  return [Math.min(0, ...ends), Math.max(0, ...ends)];
}

export function stretchOf(
  { from, to }: Pick<Bar, "from" | "to">,
  [low, high]: readonly [number, number],
): Stretch {
  const whole = high - low;
  if (!(whole > 0)) return { start: 0, length: 0 };
  return { start: (Math.min(from, to) - low) / whole, length: Math.abs(to - from) / whole };
}

/** Two parts of a whole. The second begins where the first ends, so that opposite signs visibly cancel. */
export function twoParts(first: number, second: number): readonly [Stretched, Stretched] {
  return [
    { from: 0, to: first },
    { from: first, to: first + second },
  ];
}

type Stretched = Pick<Bar, "from" | "to">;

export class Bars {
  readonly element = h("ul", { class: "bars" });

  show(bars: readonly Bar[]): void {
    while (this.element.childElementCount < bars.length) this.element.append(new BarLine().element);
    while (this.element.childElementCount > bars.length) this.element.lastElementChild?.remove();
    const axis = axisOf(bars);
    const zero = stretchOf({ from: axis[0], to: 0 }, axis).length;
    for (const [i, bar] of bars.entries()) {
      const line = this.element.children[i];
      if (line !== undefined) paintLine(line, bar, stretchOf(bar, axis), zero);
    }
  }
}

class BarLine {
  readonly element = h(
    "li",
    {},
    h("span", { class: "bar-name" }),
    h("span", { class: "bar-track", "aria-hidden": "true" }, h("i"), h("b")),
    h("span", { class: "bar-text" }),
  );
}

function paintLine(line: Element, bar: Bar, { start, length }: Stretch, zero: number): void {
  const [name, track, text] = line.children;
  const [filled, origin] = track?.children ?? [];
  if (name === undefined || text === undefined || filled === undefined || origin === undefined) return;
  setText(name, bar.name);
  setText(text, bar.text);
  setAttribute(filled, "data-sign", bar.to >= bar.from ? "needed" : "hindering");
  setAttribute(filled, "style", `left: ${percent(start)}; width: ${percent(length)}`);
  setAttribute(origin, "style", `left: ${percent(zero)}`);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)}%`;
}

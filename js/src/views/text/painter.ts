/** Paints the units: those that can be seen at once, the rest of a long text in later frames. */

import { type ReadonlySignal, signal } from "@preact/signals-core";
import { css, inkOn, over, pinColour, type Rgb } from "../../page/colour";
import { setAttribute } from "../../page/dom";
import type { View } from "../shared";
import { backgroundOf, type PinLines, pinLinesOf } from "./pins";
import { type Looks, looksOf, within } from "./token-look";
import type { Units } from "./units";

/** Units painted in one frame beyond those that can be seen. */
const PER_FRAME = 120;

export class Painter {
  readonly #view: View;
  readonly #text: HTMLElement;
  readonly #units: ReadonlySignal<Units>;
  readonly #visible: () => readonly [first: number, stop: number];
  /** Counts frames in which more of the text is to be painted. */
  readonly #more = signal(0);
  #looks: Looks | null = null;
  #lines: PinLines | null = null;
  #paintedUnits: Units | null = null;
  /** What each unit was last painted as, so that only changes touch the page. */
  #painted: string[] = [];
  /** Units that still show what was before. */
  #stale: boolean[] = [];

  /** `visible`: the units that can be seen. */
  constructor(
    view: View,
    text: HTMLElement,
    units: ReadonlySignal<Units>,
    visible: () => readonly [first: number, stop: number],
  ) {
    this.#view = view;
    this.#text = text;
    this.#units = units;
    this.#visible = visible;
    const { store, frames } = view;
    const { traits } = store;
    frames.watch(
      [
        units,
        store.rows,
        store.arrived,
        store.layer,
        store.reading,
        store.statistic,
        store.scale,
        traits.layer_info,
        traits.query,
        traits.window,
        traits.sinks,
        traits.include_sinks,
        traits.pinned_sources,
        view.surroundings,
      ],
      () => this.#paint(),
    );
    frames.watch([this.#more], () => this.#paintMore());
  }

  /** Other units can be seen now. */
  paintVisible(): void {
    this.#paintUnits(...this.#visible());
  }

  #paint(): void {
    const { store } = this.#view;
    const units = this.#units.value;
    if (units !== this.#paintedUnits) this.#painted = [];
    this.#paintedUnits = units;
    this.#looks = looksOf(store);
    this.#lines = pinLinesOf(store);
    this.#stale = new Array(units.length).fill(true);
    const reading = store.reading.value.kind;
    setAttribute(this.#text, "data-shock", store.layerInfo.value.shock);
    setAttribute(this.#text, "data-mode", reading === "statistic" ? "statistic" : "influence");
    setAttribute(this.#text, "data-reading", reading);
    setAttribute(this.#text, "data-pins", this.#lines.n === 0 ? false : this.#lines.n);
    this.paintVisible();
    this.#paintLater();
  }

  #paintMore(): void {
    const first = this.#stale.indexOf(true);
    if (first >= 0) this.#paintUnits(first, Math.min(first + PER_FRAME, this.#stale.length));
    this.#paintLater();
  }

  #paintLater(): void {
    if (this.#stale.includes(true)) this.#more.value += 1;
  }

  #paintUnits(first: number, stop: number): void {
    const looks = this.#looks;
    const lines = this.#lines;
    if (looks === null || lines === null) return;
    const { spans, elements } = this.#units.value;
    const { theme, palette } = this.#view.surroundings.value;
    for (let i = first; i < stop; i += 1) {
      const span = spans[i];
      const element = elements[i];
      if (span === undefined || element === undefined || this.#stale[i] !== true) continue;
      this.#stale[i] = false;
      const look = looks.at(span);
      const drawn = lines.of(span);
      const label = [looks.label(span, look), lines.words(drawn)].filter(Boolean).join("; ");
      const key = `${look.kind} ${look.colour} ${look.alpha} ${theme} ${lines.n} ${label}`;
      if (this.#painted[i] === key) continue;
      this.#painted[i] = key;
      setAttribute(element, "data-kind", look.kind);
      setAttribute(element, "aria-selected", String(look.kind === "source" || look.kind === "target"));
      setAttribute(element, "aria-label", label);
      this.#colour(element, palette[look.colour], look.alpha, backgroundOf(drawn, lines.n, theme));
      this.#number(element, lines, i);
    }
  }

  #colour(element: HTMLElement, colour: Rgb, alpha: number, lines: string): void {
    const { paper, ink } = this.#view.surroundings.value;
    const chosen = inkOn(over(colour, alpha, paper), ink);
    const ground = alpha === 0 ? "" : css(colour, alpha);
    if (lines === "") {
      element.style.background = "";
      element.style.backgroundColor = ground;
    } else element.style.background = `${lines}, ${ground || "transparent"} padding-box`;
    element.style.color = chosen === ink || alpha === 0 ? "" : css(chosen);
  }

  /** The number and the colour of the pin that a unit carries, if any. */
  #number(element: HTMLElement, lines: PinLines, index: number): void {
    const span = this.#units.value.spans[index];
    const pin = span === undefined ? -1 : lines.sources.findIndex((source) => within(span, source));
    setAttribute(element, "data-pin", pin < 0 ? false : pin + 1);
    if (pin < 0) element.style.removeProperty("--pin");
    else element.style.setProperty("--pin", css(pinColour(this.#view.surroundings.value.theme, pin)));
  }
}

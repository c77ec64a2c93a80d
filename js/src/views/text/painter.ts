/** Paints the units: visible ones at once, the rest of a long text in later frames. */

import { computed, type ReadonlySignal, signal, untracked } from "@preact/signals-core";
import { css, inkOn, over } from "../../page/colour";
import { setAttribute } from "../../page/dom";
import type { View } from "../shared";
import { dressPin, imagesOf, type PinLines, pinLinesOf, placesOf, type Underline } from "./pins";
import { type Look, type Looks, looksOf } from "./token-look";
import type { Units } from "./units";

/** How many units outside the visible part are painted per frame. */
const PER_FRAME = 60;

export class Painter {
  readonly #view: View;
  readonly #text: HTMLElement;
  readonly #units: ReadonlySignal<Units>;
  readonly #visible: () => readonly [first: number, stop: number];
  /** Counts the frames that paint more of the text. */
  readonly #more = signal(0);
  #looks: Looks | null = null;
  /** Computed again only when pins or their values change; a click on another token changes neither. */
  readonly #lines: ReadonlySignal<PinLines>;
  #paintedUnits: Units | null = null;
  /** How each unit was last painted, so that only changes touch the page. */
  #painted: string[] = [];
  #paintedLines: string[] = [];
  /** Units that are not repainted yet. */
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
    const { frames, map } = view;
    this.#lines = computed(() => pinLinesOf(map));
    frames.watch(() => this.#paint());
    frames.on(this.#more, () => this.#paintMore());
  }

  /** Paints units that have become visible. Untracked: visibility decides when a unit is painted, not how. */
  paintVisible(): void {
    this.#paintUnits(...untracked(this.#visible));
  }

  #paint(): void {
    const { map } = this.#view;
    const units = this.#units.value;
    if (units !== this.#paintedUnits) {
      this.#painted = [];
      this.#paintedLines = [];
    }
    this.#paintedUnits = units;
    this.#looks = looksOf(map);
    this.#stale = new Array(units.length).fill(true);
    const reading = map.reading.value.kind;
    setAttribute(this.#text, "data-shock", map.layerInfo.value.shock);
    setAttribute(this.#text, "data-mode", reading === "statistic" ? "statistic" : "influence");
    setAttribute(this.#text, "data-reading", reading);
    this.#makeRoom(this.#lines.value.n);
    this.paintVisible();
    this.#paintLater();
  }

  /** Makes room for the lines below the units. */
  #makeRoom(nPins: number): void {
    setAttribute(this.#text, "data-pins", nPins || false);
    const { places, clips } = placesOf(nPins);
    this.#text.style.setProperty("--pins", String(nPins));
    this.#text.style.setProperty("--pin-places", places);
    this.#text.style.setProperty("--pin-clips", clips);
  }

  #paintMore(): void {
    const first = this.#stale.indexOf(true);
    if (first >= 0) this.#paintUnits(first, Math.min(first + PER_FRAME, this.#stale.length));
    this.#paintLater();
  }

  #paintLater(): void {
    if (this.#stale.includes(true)) this.#more.value = this.#more.peek() + 1;
  }

  #paintUnits(first: number, stop: number): void {
    const looks = this.#looks;
    if (looks === null) return;
    const { spans, elements } = this.#units.value;
    const lines = this.#lines.value;
    const { theme, paper } = this.#view.surroundings.value;
    const ground = css(paper);
    for (let i = first; i < stop; i += 1) {
      const span = spans[i];
      const element = elements[i];
      if (span === undefined || element === undefined || this.#stale[i] !== true) continue;
      this.#stale[i] = false;
      const look = looks.at(span);
      const drawn = lines.of(span);
      const said = lines.words(drawn);
      const label = said === "" ? looks.label(span, look) : `${looks.label(span, look)}; ${said}`;
      const key = `${look.kind} ${look.colour} ${look.alpha} ${theme} ${ground} ${label}`;
      const lineKey = `${theme} ${lines.n} ${said} ${lines.pinOf(span)}`;
      if (this.#paintedLines[i] !== lineKey) this.#paintLines(element, drawn, lines, lines.pinOf(span));
      if (this.#painted[i] !== key || this.#paintedLines[i] !== lineKey)
        this.#paintUnit(element, look, label);
      this.#painted[i] = key;
      this.#paintedLines[i] = lineKey;
    }
  }

  #paintUnit(element: HTMLElement, look: Look, label: string): void {
    const { paper, ink, palette } = this.#view.surroundings.value;
    const colour = palette[look.colour];
    const chosen = inkOn(over(colour, look.alpha, paper), ink);
    setAttribute(element, "data-kind", look.kind);
    setAttribute(element, "aria-selected", String(look.kind === "source" || look.kind === "target"));
    setAttribute(element, "aria-label", label);
    element.style.backgroundColor = look.alpha === 0 ? "" : css(colour, look.alpha);
    element.style.color = chosen === ink || look.alpha === 0 ? "" : css(chosen);
  }

  /** Paints the lines below a unit, and its own pin. */
  #paintLines(element: HTMLElement, drawn: readonly Underline[], lines: PinLines, pin: number): void {
    const { theme } = this.#view.surroundings.value;
    element.style.backgroundImage = imagesOf(drawn, lines.n, theme);
    setAttribute(element, "data-pin", pin < 0 ? false : pin + 1);
    if (pin >= 0) dressPin(element, this.#view.surroundings.value, pin);
  }
}

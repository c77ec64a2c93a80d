/** The prompt, set as text: each unit coloured by its value, one of them selected. */

import { type Signal, signal } from "@preact/signals-core";
import { css, inkOn, over } from "../../page/colour";
import { h, listen, setAttribute } from "../../page/dom";
import { occurrences } from "../../state/words";
import type { View } from "../shared";
import { Boxes, between, lineFrom } from "./boxes";
import { type Deed, deedOfClick, deedOfKey, keepTextUnselected, letGo, perform } from "./gestures";
import { cellOf, type Looks, looksOf, sinksOf } from "./token-look";
import { Units } from "./units";

/** Above so many tokens the text scrolls in an area of its own. */
const LONG = 250;
/** Units painted in one frame beyond those that can be seen. */
const PER_FRAME = 160;
/** So much of the text around what can be seen is painted with it, in CSS pixels. */
const AROUND = 80;
const NO_UNITS = new Units([], 0, false, null);

export class TextView {
  readonly #text = h("div", {
    class: "text",
    dir: "auto", // a prompt that is read from right to left is set so
    role: "listbox",
    "aria-label": "Prompt",
    "aria-orientation": "horizontal",
  });
  readonly #area = h("div", { class: "text-area" }, this.#text);
  readonly element = h("div", { class: "reading" }, this.#area);
  readonly #view: View;
  readonly #units: Signal<Units> = signal(NO_UNITS);
  readonly #boxes = new Boxes();
  /** Counts changes of the layout. */
  readonly #laidOut = signal(0);
  /** Counts frames in which more of the text is to be painted. */
  readonly #more = signal(0);
  #looks: Looks | null = null;
  /** What each unit was last painted as, so that only changes touch the page. */
  #painted: string[] = [];
  /** Units that still show what was before. */
  #stale: boolean[] = [];
  #firstStale = 0;
  /** The one unit that the Tab key reaches. */
  #focused = 0;
  /** Whether a pointer is what moves the focus. */
  #pressing = false;
  #scrolled = 0;
  #height = 0;

  constructor(view: View) {
    this.#view = view;
    const { store, frames } = view;
    const { traits } = store;
    this.#listen();
    frames.watch([traits.tokens, traits.n_targets, traits.show_words, traits.written_from], () =>
      this.#build(),
    );
    frames.watch(
      [
        this.#units,
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
        view.surroundings,
      ],
      () => this.#paint(),
    );
    frames.watch([this.#more], () => this.#paintMore());
    frames.watch([this.#units, traits.find], () => this.#markFound());
    frames.watch([this.#units, traits.sinks], () => this.#markSinks());
    frames.watch([this.#units, store.reading, store.cell, view.cursor], () => this.#markEnds());
  }

  #listen(): void {
    const { frames } = this.#view;
    const text = this.#text;
    frames.keep(listen(text, "click", (event) => this.#click(event)));
    frames.keep(listen(text, "keydown", (event) => this.#key(event)));
    frames.keep(listen(text, "focusin", (event) => this.#focusAt(this.#units.value.indexAt(event.target))));
    frames.keep(listen(text, "focusout", () => this.#point(-1)));
    frames.keep(listen(text, "pointerover", (event) => this.#point(this.#units.value.indexAt(event.target))));
    frames.keep(listen(text, "pointerleave", () => this.#point(-1)));
    frames.keep(listen(text, "pointerdown", () => this.#press(true)));
    frames.keep(listen(text, "pointerup", () => this.#press(false)));
    frames.keep(keepTextUnselected(text));
    frames.keep(listen(this.#area, "scroll", () => this.#scroll()));
    const observer = new ResizeObserver(() => {
      this.#boxes.forget();
      this.#height = this.#area.clientHeight;
      this.#laidOut.value += 1;
    });
    observer.observe(text);
    observer.observe(this.#area);
    frames.keep(() => observer.disconnect());
  }

  // Building

  #build(): void {
    const { traits } = this.#view.store;
    const tokens = traits.tokens.value;
    const nPositions = tokens.length === 0 ? 0 : Math.max(tokens.length, traits.n_targets.value + 1);
    const units = new Units(tokens, nPositions, traits.show_words.value, traits.written_from.value);
    this.#painted = [];
    this.#focused = Math.min(this.#focused, Math.max(0, units.length - 1));
    this.#text.replaceChildren(...units.nodes);
    setAttribute(this.#text, "aria-label", `Prompt, ${tokens.length} tokens`);
    setAttribute(this.element, "data-long", tokens.length > LONG);
    units.elements[this.#focused]?.setAttribute("tabindex", "0");
    this.#boxes.forget();
    this.#units.value = units;
  }

  // Painting

  #paint(): void {
    const { store } = this.#view;
    const units = this.#units.value;
    this.#looks = looksOf(store);
    this.#stale = new Array(units.length).fill(true);
    this.#firstStale = 0;
    const reading = store.reading.value.kind;
    setAttribute(this.#text, "data-shock", store.layerInfo.value.shock);
    setAttribute(this.#text, "data-mode", reading === "statistic" ? "statistic" : "influence");
    setAttribute(this.#text, "data-reading", reading);
    const [first, stop] = this.#visible();
    this.#paintUnits(first, stop);
    this.#paintLater();
  }

  /** The rest of a long text, some in each frame. */
  #paintMore(): void {
    while (this.#stale[this.#firstStale] === false) this.#firstStale += 1;
    this.#paintUnits(this.#firstStale, Math.min(this.#firstStale + PER_FRAME, this.#stale.length));
    this.#paintLater();
  }

  #paintLater(): void {
    if (this.#stale.indexOf(true, this.#firstStale) >= 0) this.#more.value += 1;
  }

  #paintUnits(first: number, stop: number): void {
    const looks = this.#looks;
    if (looks === null) return;
    const { spans, elements } = this.#units.value;
    const { theme } = this.#view.surroundings.value;
    for (let i = first; i < stop; i += 1) {
      const span = spans[i];
      const element = elements[i];
      if (span === undefined || element === undefined || this.#stale[i] !== true) continue;
      this.#stale[i] = false;
      const look = looks.at(span);
      const label = looks.label(span, look);
      const key = `${look.kind} ${look.colour} ${look.alpha} ${theme} ${label}`;
      if (this.#painted[i] === key) continue;
      this.#painted[i] = key;
      setAttribute(element, "data-kind", look.kind);
      setAttribute(element, "aria-selected", String(look.kind === "source" || look.kind === "target"));
      setAttribute(element, "aria-label", label);
      this.#colour(element, this.#view.surroundings.value.palette[look.colour], look.alpha);
    }
  }

  #colour(element: HTMLElement, colour: readonly [number, number, number], alpha: number): void {
    const { paper, ink } = this.#view.surroundings.value;
    const chosen = inkOn(over(colour, alpha, paper), ink);
    element.style.backgroundColor = alpha === 0 ? "" : css(colour, alpha);
    element.style.color = chosen === ink || alpha === 0 ? "" : css(chosen);
  }

  /** The units that can be seen, `[first, stop)`: all of them where the text is short. */
  #visible(): readonly [number, number] {
    const units = this.#units.value;
    if (units.length <= LONG || this.#height === 0) return [0, units.length];
    const boxes = this.#boxes.of(this.#text, units);
    return between(boxes, this.#scrolled - AROUND, this.#scrolled + this.#height + AROUND);
  }

  #scroll(): void {
    this.#scrolled = this.#area.scrollTop;
    const [first, stop] = this.#visible();
    this.#paintUnits(first, stop);
  }

  // Marks

  #mark(name: string, indices: readonly number[]): void {
    const { elements } = this.#units.value;
    const wanted = new Set(indices.map((index) => elements[index]));
    for (const element of this.#text.querySelectorAll(`[${name}]`)) {
      if (!wanted.has(element as HTMLElement)) element.removeAttribute(name);
    }
    for (const element of wanted) element?.setAttribute(name, "");
  }

  #markFound(): void {
    const { traits } = this.#view.store;
    const units = this.#units.value;
    const found = occurrences(traits.tokens.value, traits.find.value);
    this.#mark(
      "data-found",
      found.flatMap(({ start, stop }) =>
        Array.from({ length: stop - start }, (_, i) => units.indexOf(start + i)),
      ),
    );
  }

  #markSinks(): void {
    const units = this.#units.value;
    this.#mark(
      "data-sink",
      sinksOf(this.#view.store).map((position) => units.indexOf(position)),
    );
  }

  /** The other end of the cell under the cursor, or of the selected one. */
  #markEnds(): void {
    const { store, cursor } = this.#view;
    const units = this.#units.value;
    const reading = store.reading.value;
    const cell = cursor.value ?? store.cell.value;
    const sources = cell === null || reading.kind === "row" ? [] : [units.indexOf(cell.source)];
    const targets = cell === null || reading.kind === "column" ? [] : [units.indexOf(cell.target)];
    this.#mark("data-source", sources);
    this.#mark("data-target", targets);
  }

  // Pointer and keys

  #point(index: number): void {
    const { store, cursor, pointed } = this.#view;
    const span = this.#units.value.spans[index];
    pointed.value = span === undefined ? null : span.start;
    cursor.value =
      span === undefined ? null : cellOf(store.reading.value, store.rows.value, store.layer.value, span);
  }

  #press(pressing: boolean): void {
    this.#pressing = pressing;
  }

  #click(event: MouseEvent): void {
    this.#pressing = false;
    const index = this.#units.value.indexAt(event.target);
    if (index >= 0) this.#do(deedOfClick(event), index, event);
  }

  #do(deed: Deed, index: number, event: Event): void {
    const unit = this.#units.value.spans[index];
    if (unit !== undefined) perform(this.#view, deed, unit, event.timeStamp);
  }

  #focusAt(index: number): void {
    if (index < 0) return;
    const { elements } = this.#units.value;
    if (index !== this.#focused) {
      elements[this.#focused]?.setAttribute("tabindex", "-1");
      this.#focused = index;
      elements[index]?.setAttribute("tabindex", "0");
    }
    if (!this.#pressing) this.#point(index);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const units = this.#units.value;
    const here = this.#focused;
    const deed = deedOfKey(event);
    if (deed !== null) this.#do(deed, here, event);
    else if (event.key === "Escape") {
      if (!letGo(this.#view.store)) return;
    } else {
      const there = this.#way(event.key, here);
      if (there === null) return;
      units.elements[Math.max(0, Math.min(there, units.length - 1))]?.focus();
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #way(key: string, here: number): number | null {
    const units = this.#units.value;
    switch (key) {
      case "ArrowRight":
        return here + 1;
      case "ArrowLeft":
        return here - 1;
      case "ArrowDown":
        return lineFrom(this.#boxes.of(this.#text, units), here, 1);
      case "ArrowUp":
        return lineFrom(this.#boxes.of(this.#text, units), here, -1);
      case "Home":
        return 0;
      case "End":
        return units.length - 1;
      default:
        return null;
    }
  }
}

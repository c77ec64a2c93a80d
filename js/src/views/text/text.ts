/** The prompt as text, each unit coloured by its value. */

import { computed, type Signal, signal } from "@preact/signals-core";
import { h, listen, setAttribute } from "../../page/dom";
import { anchorOf } from "../../state/reading";
import type { View } from "../shared";
import { Arcs } from "./arcs";
import { Boxes, between, lineFrom } from "./boxes";
import { type Action, actionOfClick, actionOfKey, keepTextUnselected, perform, release } from "./gestures";
import { Hint, type Said } from "./hint";
import { Marks } from "./marks";
import { Painter } from "./painter";
import { cellOf } from "./token-look";
import { type Pointed, Tooltip } from "./tooltip";
import { Units } from "./units";

/** Texts with more tokens scroll in an area of their own. */
const LONG = 250;
/** Text within this distance of the visible part is painted with it, in CSS pixels. */
const AROUND = 80;

export class TextView {
  readonly #text = h("div", {
    class: "text",
    dir: "auto", // prompts may run from right to left
    role: "listbox",
    "aria-label": "Prompt",
    "aria-orientation": "horizontal",
  });
  readonly #area = h("div", { class: "text-area" }, this.#text);
  readonly element = h("div", { class: "reading" }, this.#area);
  readonly #view: View;
  readonly #units: Signal<Units> = signal(new Units([], 0, false, null));
  readonly #boxes = new Boxes(this.#text);
  readonly #pointed: Signal<Pointed | null> = signal(null);
  /** The words for the last action, where the page does not show its result. */
  readonly #said: Signal<Said | null> = signal(null);
  readonly #painter: Painter;
  readonly #tooltip: Tooltip;
  /** The unit that the Tab key reaches. */
  #focused = 0;
  /** Whether a pointer moves the focus. */
  #pressing = false;
  /** Whether the selection was made here. */
  #own = false;
  /** Scroll position and height of the area, in CSS pixels. */
  #scrolled = 0;
  #height = 0;

  constructor(view: View) {
    this.#view = view;
    const { frames, map, store } = view;
    this.#listen();
    frames.watch(() => this.#build());
    this.#painter = new Painter(view, this.#text, this.#units, () => this.#visible());
    new Marks(view, this.#units);
    const arcs = new Arcs(view, this.#units, this.#boxes);
    frames.watch(() => setAttribute(this.#text, "data-arcs", store.traits.show_arcs.value));
    const selection = computed(() => [map.reading.value, map.cell.value]);
    frames.on(selection, () => this.#bringIntoView());
    this.#tooltip = new Tooltip(view, this.#pointed);
    const hint = new Hint(view, this.#pointed, this.#said);
    this.#area.append(arcs.element);
    this.element.append(hint.element, this.#tooltip.element);
  }

  #listen(): void {
    const { frames } = this.#view;
    const text = this.#text;
    frames.onDispose(listen(text, "click", (event) => this.#click(event)));
    frames.onDispose(listen(text, "keydown", (event) => this.#key(event)));
    frames.onDispose(
      listen(text, "focusin", (event) => this.#focusAt(this.#units.value.indexAt(event.target))),
    );
    frames.onDispose(listen(text, "focusout", () => this.#leave("keyboard")));
    frames.onDispose(
      listen(text, "pointerover", (event) => this.#point(this.#units.value.indexAt(event.target), "pointer")),
    );
    frames.onDispose(listen(text, "pointerleave", () => this.#leave("pointer")));
    frames.onDispose(
      listen(text, "pointerdown", () => {
        this.#pressing = true;
      }),
    );
    frames.onDispose(keepTextUnselected(text));
    frames.onDispose(listen(this.#area, "scroll", () => this.#scroll()));
    const observer = new ResizeObserver(() => {
      this.#boxes.forget();
      const first = this.#height === 0;
      this.#height = this.#area.clientHeight;
      if (first) this.#bringIntoView();
    });
    observer.observe(text);
    observer.observe(this.#area);
    frames.onDispose(() => observer.disconnect());
  }

  #build(): void {
    const { controls, traits } = this.#view.map;
    const tokens = traits.tokens.value;
    const nPositions = tokens.length === 0 ? 0 : Math.max(tokens.length, traits.n_targets.value + 1);
    const units = new Units(tokens, nPositions, controls.show_words.value, traits.written_from.value);
    this.#focused = Math.min(this.#focused, Math.max(0, units.length - 1));
    this.#pointed.value = null;
    this.#text.replaceChildren(...units.nodes);
    setAttribute(this.#text, "aria-label", `Prompt, ${tokens.length} tokens`);
    setAttribute(this.element, "data-long", tokens.length > LONG);
    units.elements[this.#focused]?.setAttribute("tabindex", "0");
    this.#boxes.forget();
    this.#units.value = units;
  }

  // A long text, in an area that scrolls

  /** The visible units, `[first, stop)`; all of a short text. */
  #visible(): readonly [number, number] {
    const units = this.#units.value;
    if (!this.element.hasAttribute("data-long") || this.#height === 0) return [0, units.length];
    const boxes = this.#boxes.of(units);
    if (boxes.length === 0) return [0, units.length];
    return between(boxes, this.#scrolled - AROUND, this.#scrolled + this.#height + AROUND);
  }

  #scroll(): void {
    this.#scrolled = this.#area.scrollTop;
    this.#tooltip.hide();
    this.#painter.paintVisible();
  }

  /** Scrolls, within the area, to what was selected elsewhere. */
  #bringIntoView(): void {
    const { map } = this.#view;
    const own = this.#own;
    this.#own = false;
    if (own || this.#height === 0 || !this.element.hasAttribute("data-long")) return;
    const units = this.#units.value;
    const { kind } = map.reading.value;
    const cell = map.cell.value;
    const other = cell === null ? null : kind === "row" ? cell.target : cell.source;
    const box = this.#boxes.of(units)[units.indexOf(other ?? anchorOf(map.reading.value))];
    if (box === undefined) return;
    const seen = box.top >= this.#scrolled && box.bottom <= this.#scrolled + this.#height;
    if (!seen) this.#area.scrollTop = Math.max(0, box.top - this.#height / 3);
  }

  // Pointer and keys

  #point(index: number, by: Pointed["by"]): void {
    const { cursor, map, pointed } = this.#view;
    const units = this.#units.value;
    const unit = units.spans[index];
    const element = units.elements[index];
    if (unit === undefined || element === undefined) {
      this.#leave(by);
      return;
    }
    this.#pointed.value = { element, unit, by };
    pointed.value = unit.start;
    cursor.value = cellOf(map.reading.value, map.rows.value, map.layer.value, unit);
  }

  /** The pointer or the focus has left the units. */
  #leave(by: Pointed["by"]): void {
    if (this.#pointed.value?.by !== by) return;
    this.#pointed.value = null;
    this.#view.pointed.value = null;
    this.#view.cursor.value = null;
  }

  #click(event: MouseEvent): void {
    this.#pressing = false;
    const index = this.#units.value.indexAt(event.target);
    if (index < 0) return;
    this.#do(actionOfClick(event), index, event);
    // A press with Shift does not move the focus, since it must not select text.
    this.#pressing = true;
    this.#units.value.elements[index]?.focus({ preventScroll: true });
    this.#pressing = false;
  }

  #do(action: Action, index: number, event: Event): void {
    const unit = this.#units.value.spans[index];
    if (unit === undefined) return;
    const { reading, cell } = this.#view.map;
    const before = [reading.peek(), cell.peek()];
    const words = perform(this.#view, action, unit, event.timeStamp);
    this.#own = reading.peek() !== before[0] || cell.peek() !== before[1];
    // The cell under the cursor belonged to the previous reading.
    if (reading.peek() !== before[0]) this.#view.cursor.value = null;
    this.#view.announce(words);
    // The tooltip would cover what the action has painted.
    this.#tooltip.hide();
    this.#said.value = { words, reading: reading.peek(), cell: cell.peek() };
  }

  #focusAt(index: number): void {
    if (index < 0) return;
    const { elements } = this.#units.value;
    if (index !== this.#focused) {
      elements[this.#focused]?.setAttribute("tabindex", "-1");
      this.#focused = index;
      elements[index]?.setAttribute("tabindex", "0");
    }
    if (!this.#pressing) this.#point(index, "keyboard");
    this.#pressing = false;
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const units = this.#units.value;
    const action = actionOfKey(event);
    if (action !== null) this.#do(action, this.#focused, event);
    else if (event.key === "Escape") {
      if (this.#tooltip.isOpen) this.#tooltip.hide();
      else if (!release(this.#view)) return;
    } else {
      const there = this.#way(event.key, this.#focused);
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
        return lineFrom(this.#boxes.of(units), here, 1);
      case "ArrowUp":
        return lineFrom(this.#boxes.of(units), here, -1);
      case "Home":
        return 0;
      case "End":
        return units.length - 1;
      default:
        return null;
    }
  }
}

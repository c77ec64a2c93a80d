/** Finds a text in the prompt, and goes from one place to the next. */

import { computed, type ReadonlySignal } from "@preact/signals-core";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { anchorOf } from "../../state/reading";
import { occurrences, representative, type Span } from "../../state/words";
import type { View } from "../shared";

export class FindView {
  readonly #field = h("input", {
    type: "search",
    class: "field-text find-field",
    placeholder: "find",
    "aria-label": "Find in the prompt",
    title: "Enter reads the next place, Shift+Enter the one before, Escape clears",
    spellcheck: "false",
    autocomplete: "off",
  });
  readonly #count = h("output", { class: "find-count" });
  readonly element = h("div", { class: "find", role: "search" }, this.#field, this.#count);
  readonly #view: View;
  readonly #found: ReadonlySignal<readonly Span[]>;

  constructor(view: View) {
    this.#view = view;
    const { frames, map, store } = view;
    const { traits } = store;
    frames.onDispose(listen(this.#field, "input", () => store.kernel.set({ find: this.#field.value })));
    frames.onDispose(listen(this.#field, "keydown", (event) => this.#key(event)));
    this.#found = computed(() => occurrences(map.traits.tokens.value, traits.find.value));
    frames.watch(() => this.#paint());
  }

  #paint(): void {
    const { map, store } = this.#view;
    const wanted = store.traits.find.value;
    if (this.#field.value !== wanted) this.#field.value = wanted;
    const anchor = anchorOf(map.reading.value);
    const found = this.#found.value;
    const at = found.findIndex((span) => anchor !== null && anchor >= span.start && anchor < span.stop);
    const n = found.length;
    setText(this.#count, wanted === "" ? "" : n === 0 ? "none" : at < 0 ? `${n} found` : `${at + 1} of ${n}`);
    setAttribute(this.element, "data-none", wanted !== "" && n === 0);
  }

  #key(event: KeyboardEvent): void {
    if (event.isComposing) return;
    if (event.key === "Enter") this.#go(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape" && this.#field.value !== "") this.#view.store.kernel.set({ find: "" });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Selects the next place after the selected token, or the one before it, and wraps around. */
  #go(by: 1 | -1): void {
    const { map, store } = this.#view;
    const direction = store.traits.direction.value;
    const places = this.#found.value
      .map((span) => representative(span, direction))
      .filter((place) => direction === "row" || place > 0);
    if (by < 0) places.reverse();
    const anchor = anchorOf(map.reading.value);
    const next = places.find((place) => anchor !== null && (place - anchor) * by > 0) ?? places[0];
    if (next !== undefined) store.selection.selectToken(next);
  }
}

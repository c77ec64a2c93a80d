/** The card of one cell: its value, what it means, findings about it, and actions. */

import { MOST_PINNED } from "../../kernel/protocol";
import { valueKind } from "../../page/cell-sentences";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { CAVEAT, cellMeaning, cellPlace, cellValue, named } from "../../page/sentences";
import type { Cell } from "../../state/reading";
import { contextOf, type View } from "../shared";
import {
  baselineSensitivityPart,
  carriersPart,
  directPart,
  predictionsPart,
  verificationPart,
} from "./aspects";
import { StrongestView } from "./strongest";

export class CellCard {
  readonly #value = h("strong", { class: "readout-value" });
  readonly #kind = h("span", { class: "readout-kind" });
  readonly #place = h("span", { class: "readout-place" });
  readonly #meaning = h("p", { class: "readout-meaning" });
  readonly #pin = h("button", { type: "button", class: "plain" });
  readonly #turn = h("button", { type: "button", class: "plain" });
  readonly #release = h("button", { type: "button", class: "plain" }, "Release this cell");
  readonly #actions = h("div", { class: "card-actions" }, this.#release, this.#pin, this.#turn);
  readonly #parts: readonly { readonly element: HTMLElement; paint(cell: Cell): void }[];
  readonly #predictions: HTMLElement;
  readonly #hint = h(
    "p",
    { class: "card-hint" },
    "Click a cell to compute its predictions, its direct and indirect parts and its value under other baselines; " +
      "on request, also the heads that carry it and a second pass that verifies it.",
  );
  readonly #strongest: HTMLElement;
  readonly element: HTMLElement;
  /** The part that takes the whole width, below. */
  readonly found: HTMLElement;
  readonly #view: View;
  readonly #onRelease: () => void;

  /** `onRelease`: the focused element of the card is being hidden. */
  constructor(view: View, onRelease: () => void) {
    this.#view = view;
    this.#onRelease = onRelease;
    const { frames, store } = view;
    const make = [predictionsPart, directPart, baselineSensitivityPart, carriersPart, verificationPart];
    this.#parts = make.map((part) => part(view));
    const elements = this.#parts.map(({ element }) => element);
    this.#predictions = h("div", {}, ...elements.slice(0, 1));
    this.found = h(
      "section",
      { class: "card-found", "aria-label": "What else is known of the cell" },
      this.#hint,
      h("div", { class: "card-two" }, ...elements.filter((_, part) => part === 1 || part === 4)),
      ...elements.slice(2, 4),
    );
    this.#strongest = new StrongestView(view).element;
    this.element = h(
      "section",
      { class: "readout", "aria-label": "One cell" },
      h(
        "div",
        { class: "readout-cell" },
        h(
          "p",
          { class: "readout-head" },
          this.#value,
          this.#kind,
          h("span", { class: "unseen" }, " · "),
          this.#place,
        ),
        this.#meaning,
        h("p", { class: "caveat" }, CAVEAT),
      ),
      this.#actions,
      this.#predictions,
      this.#strongest,
    );
    frames.onDispose(listen(this.#pin, "click", () => this.#togglePin()));
    frames.onDispose(listen(this.#turn, "click", () => store.selection.turn(this.#other())));
    frames.onDispose(listen(this.#release, "click", () => store.selection.releaseCell()));
    frames.watch(() => this.#paintCell());
    frames.watch(() => this.#paintActions());
    frames.watch(() => this.#paintFound());
  }

  /** Paints the selected cell, or else the one under the cursor. */
  #paintCell(): void {
    const { cursor, map } = this.#view;
    const fixed = map.cell.value;
    const cell = fixed ?? cursor.value;
    setAttribute(this.element, "data-cell", fixed !== null ? "selected" : cell === null ? "none" : "pointed");
    if (cell === null) {
      setText(this.#value, "");
      setText(this.#kind, "");
      setText(this.#place, "");
      setText(this.#meaning, "Point at a cell to read it; click to keep it.");
      return;
    }
    const context = contextOf(map);
    const value = map.rows.value.influence(cell.layer, cell.source, cell.target);
    const here = value !== undefined && !Number.isNaN(value);
    setText(this.#value, cellValue(value, context.query));
    setText(this.#kind, here ? valueKind(context.query, context.layers[cell.layer]) : "");
    setText(this.#place, cellPlace(context.tokens, cell.layer, cell.source, cell.target));
    setText(this.#meaning, cellMeaning(context, cell.layer, cell.target, value));
  }

  #paintActions(): void {
    const { map } = this.#view;
    const cell = map.cell.value;
    const focused = this.#focused();
    this.#actions.hidden = cell === null;
    this.#predictions.hidden = cell === null;
    this.#strongest.hidden = cell !== null;
    this.#hint.hidden = cell !== null;
    for (const { element } of this.#parts) element.hidden = cell === null;
    // The focused element is hidden now.
    if (cell === null && focused !== null && !this.#strongest.contains(focused)) this.#onRelease();
    if (cell === null) return;
    if (focused !== null && this.#strongest.contains(focused)) this.#release.focus();
    const { tokens } = map.traits;
    const { pinned_sources: pins } = map.controls;
    const pinned = pins.value.includes(cell.source);
    const full = !pinned && pins.value.length >= MOST_PINNED;
    setText(this.#pin, `${pinned ? "Unpin" : "Pin"} ${named(tokens.value, cell.source)}`);
    this.#pin.disabled = full;
    setAttribute(this.#pin, "title", full ? `${MOST_PINNED} tokens are pinned: unpin one first` : false);
    setText(
      this.#turn,
      this.#other() === "column"
        ? `What else carries ${named(tokens.value, cell.target)}?`
        : `What else is ${named(tokens.value, cell.source)} used for?`,
    );
  }

  /** The element of the card that has the focus. */
  #focused(): Element | null {
    const root = this.element.getRootNode() as Partial<DocumentOrShadowRoot>;
    const active = root.activeElement ?? null;
    return active !== null && (this.element.contains(active) || this.found.contains(active)) ? active : null;
  }

  #paintFound(): void {
    const cell = this.#view.map.cell.value;
    if (cell !== null) for (const part of this.#parts) part.paint(cell);
  }

  #other(): "row" | "column" {
    return this.#view.store.traits.direction.value === "row" ? "column" : "row";
  }

  #togglePin(): void {
    const { announce, map, store } = this.#view;
    const cell = map.cell.peek();
    if (cell === null) return;
    const pinned = store.selection.togglePin(cell.source);
    announce(`${named(map.traits.tokens.peek(), cell.source)} ${pinned ? "is pinned" : "is not pinned"}`);
  }
}

/** What clicks and keys on the text do: each is a method of the store. */

import type { Direction } from "../../kernel/traits";
import { listen } from "../../page/dom";
import { anchorOf } from "../../state/reading";
import { MOST_PINS, type Store } from "../../state/store";
import { representative, type Span } from "../../state/words";
import type { View } from "../shared";
import { cellOf, within } from "./token-look";

/** What a gesture does to the unit it is made on. */
export type Deed = "read" | "turn" | "cell" | "pin";

export function deedOfClick(event: MouseEvent): Deed {
  if (event.ctrlKey || event.metaKey) return "pin";
  if (event.altKey) return "cell";
  return event.shiftKey ? "turn" : "read";
}

export function deedOfKey(event: KeyboardEvent): Deed | null {
  switch (event.key) {
    case "Enter":
    case " ":
      return event.shiftKey ? "turn" : "read";
    case "c":
      return "turn";
    case "s":
      return "cell";
    case "p":
      return "pin";
    default:
      return null;
  }
}

/** Does it. Returns what there is to say of it, where the page does not show it. */
export function perform(view: View, deed: Deed, unit: Span, since: number): string {
  const { store } = view;
  if (deed === "cell") return selectCell(store, unit);
  if (deed === "pin") return pin(store, unit);
  const now = store.traits.direction.peek();
  const turned = now === "row" ? "column" : "row";
  // After the prompt there is a prediction, and no state.
  const direction = unit.start >= store.rows.peek().nTokens ? "column" : deed === "read" ? now : turned;
  return read(view, unit, direction, since);
}

function read({ store, timePainting }: View, unit: Span, direction: Direction, since: number): string {
  const position = representative(unit, direction);
  if (direction === "column" && position === 0) return "Nothing predicts the first token.";
  const same = direction === store.traits.direction.peek() && within(unit, anchorOf(store.reading.peek()));
  const known = isKnown(store, position, direction);
  if (same) store.clearSelection();
  else store.selectToken(position, direction);
  if (known && !same) timePainting(since);
  return "";
}

function isKnown(store: Store, position: number, direction: Direction): boolean {
  const source = direction === "row" ? position : position - 1;
  return store.rows.peek().row(store.layer.peek(), source) !== undefined;
}

function selectCell(store: Store, unit: Span): string {
  const cell = cellOf(store.reading.peek(), store.rows.peek(), store.layer.peek(), unit);
  if (cell === null) return "There is no cell to select here: read a token first.";
  const selected = store.cell.peek();
  if (selected?.source === cell.source && selected.target === cell.target) {
    store.releaseCell();
    return "Cell let go of.";
  }
  store.selectCell(cell);
  return "Cell selected.";
}

function pin(store: Store, unit: Span): string {
  const position = representative(unit, "row");
  if (position >= store.rows.peek().nTokens) return "There is no state to pin after the prompt.";
  const before = store.traits.pinned_sources.peek();
  if (store.togglePin(position)) return `Token ${position} pinned.`;
  if (before.includes(position)) return `Token ${position} no longer pinned.`;
  return `No more than ${MOST_PINS} tokens can be pinned.`;
}

/** Escape lets go of the cell, then of all that is selected; whether there was anything to let go of. */
export function letGo(store: Store): boolean {
  if (store.cell.peek() !== null) store.releaseCell();
  else if (store.reading.peek().kind !== "statistic") store.clearSelection();
  else return false;
  return true;
}

/** A shift-click would select text. */
export function keepTextUnselected(element: HTMLElement): () => void {
  return listen(element, "mousedown", (event) => {
    if (event.shiftKey) event.preventDefault();
  });
}

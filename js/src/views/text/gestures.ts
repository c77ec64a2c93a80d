/** What clicks and keys on the text do to the selection. */

import { MOST_PINNED } from "../../kernel/protocol";
import type { Direction } from "../../kernel/traits";
import { listen } from "../../page/dom";
import type { InfluenceMap } from "../../state/map";
import { anchorOf } from "../../state/reading";
import { representative, type Span } from "../../state/words";
import type { View } from "../shared";
import { cellOf, within } from "./token-look";

/** What a click or key does to a unit. */
export type Action = "read" | "turn" | "cell" | "pin";

export function actionOfClick(event: MouseEvent): Action {
  if (event.ctrlKey || event.metaKey) return "pin";
  if (event.altKey) return "cell";
  return event.shiftKey ? "turn" : "read";
}

export function actionOfKey(event: KeyboardEvent): Action | null {
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

/** Performs an action. Returns words for a screen reader where the page does not show the result. */
export function perform(view: View, action: Action, unit: Span, since: number): string {
  const { map, store } = view;
  if (action === "cell") return selectCell(view, unit);
  if (action === "pin") return pin(view, unit);
  const now = store.traits.direction.peek();
  const turned = now === "row" ? "column" : "row";
  // The place after the prompt has a prediction but no state.
  const direction = unit.start >= map.rows.peek().nTokens ? "column" : action === "read" ? now : turned;
  return read(view, unit, direction, since);
}

function read({ map, store, timePainting }: View, unit: Span, direction: Direction, since: number): string {
  const position = representative(unit, direction);
  if (direction === "column" && position === 0) return "Nothing predicts the first token.";
  const same = direction === store.traits.direction.peek() && within(unit, anchorOf(map.reading.peek()));
  const known = isKnown(map, position, direction);
  if (same) store.selection.clear();
  else store.selection.selectToken(position, direction);
  if (known && !same) timePainting(since);
  return "";
}

function isKnown(map: InfluenceMap, position: number, direction: Direction): boolean {
  const source = direction === "row" ? position : position - 1;
  return map.rows.peek().row(map.layer.peek(), source) !== undefined;
}

function selectCell({ map, store }: View, unit: Span): string {
  const cell = cellOf(map.reading.peek(), map.rows.peek(), map.layer.peek(), unit);
  if (cell === null) return "There is no cell to select here: read a token first.";
  const selected = map.cell.peek();
  if (selected?.source === cell.source && selected.target === cell.target) {
    store.selection.releaseCell();
    return "Cell released.";
  }
  store.selection.selectCell(cell);
  return "Cell selected.";
}

function pin({ map, store }: View, unit: Span): string {
  const position = representative(unit, "row");
  if (position >= map.rows.peek().nTokens) return "There is no state to pin after the prompt.";
  const before = store.traits.pinned_sources.peek();
  if (store.selection.togglePin(position)) return `Token ${position} pinned.`;
  if (before.includes(position)) return `Token ${position} no longer pinned.`;
  return `No more than ${MOST_PINNED} tokens can be pinned.`;
}

/** Escape releases the cell, then all that is selected; returns whether there was anything to release. */
export function release({ map, store }: View): boolean {
  if (map.cell.peek() !== null) store.selection.releaseCell();
  else if (map.reading.peek().kind !== "statistic") store.selection.clear();
  else return false;
  return true;
}

/** A shift-click would select text. */
export function keepTextUnselected(element: HTMLElement): () => void {
  return listen(element, "mousedown", (event) => {
    if (event.shiftKey) event.preventDefault();
  });
}

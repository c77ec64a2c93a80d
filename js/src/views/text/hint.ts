/** One line that says what clicks and keys do now. */

import { computed, type ReadonlySignal } from "@preact/signals-core";
import { h, setAttribute, setText } from "../../page/dom";
import type { Cell, Reading } from "../../state/reading";
import type { View } from "../shared";
import type { Pointed } from "./tooltip";

/** The words for the last action, with the selection they belong to. */
export interface Said {
  readonly words: string;
  readonly reading: Reading;
  readonly cell: Cell | null;
}

export class Hint {
  readonly element = h("p", { class: "hint" });

  /** `said` replaces the hint. */
  constructor(view: View, pointed: ReadonlySignal<Pointed | null>, said: ReadonlySignal<Said | null>) {
    const { frames, map } = view;
    const { tokens } = map.traits;
    const { direction } = map.controls;
    const byKeys = computed(() => pointed.value?.by === "keyboard");
    frames.watch(() => {
      const kind = map.reading.value.kind;
      const read = kind === "row" || kind === "column";
      const words = byKeys.value
        ? keysHint(read)
        : pointerHint(read, direction.value, map.cell.value !== null);
      const last = said.value;
      const isNews = last?.reading === map.reading.value && last.cell === map.cell.value;
      const news = isNews ? last.words : "";
      setText(this.element, tokens.value.length === 0 ? "" : news || words);
      setAttribute(this.element, "data-said", news !== "");
    });
  }
}

const QUESTIONS = {
  row: "what is its state used for later?",
  column: "what carries its prediction?",
} as const;

function pointerHint(read: boolean, direction: "row" | "column", cell: boolean): string {
  const other = direction === "row" ? "column" : "row";
  const pinKey = /Mac|iP(hone|ad|od)/u.test(navigator.platform) ? "⌘" : "Ctrl";
  if (!read)
    return `Click a token: ${QUESTIONS[direction]} Shift+click: ${QUESTIONS[other]} ${pinKey}+click pins it.`;
  const select = cell
    ? "Alt+click it again to release the cell"
    : `Alt+click ${direction === "row" ? "a later" : "an earlier"} token for that one cell`;
  return `${select} · Shift+click: ${QUESTIONS[other]} · ${pinKey}+click pins · Esc goes back`;
}

function keysHint(read: boolean): string {
  return `Arrows move · Enter reads a token, C the other way · ${read ? "S selects the cell · " : ""}P pins · Esc goes back`;
}

/** A bar for each row, beside the grid: the sum of the row. */

import { h, listen, setAttribute } from "../../page/dom";
import type { Frames } from "../../page/frames";
import type { Sum } from "./picture";

interface Choices {
  readonly onPointRow?: (row: number | null) => void;
  readonly onSelectRow?: (row: number) => void;
}

export class RowSums {
  /** Screen readers get the same sums with each cell and in the table. */
  readonly element = h("div", { class: "row-sums", "aria-hidden": "true", hidden: true });
  #bars: HTMLElement[] = [];
  #marked: HTMLElement | undefined;

  constructor(frames: Frames, { onPointRow, onSelectRow }: Choices) {
    frames.onDispose(
      listen(this.element, "click", (event) => {
        const row = this.#rowOf(event.target);
        if (row !== null) onSelectRow?.(row);
      }),
    );
    frames.onDispose(listen(this.element, "pointerover", (event) => onPointRow?.(this.#rowOf(event.target))));
    frames.onDispose(listen(this.element, "pointerleave", () => onPointRow?.(null)));
  }

  /** Shows the sums by row, from the bottom; each bar is `height` CSS pixels high. */
  show(sums: readonly Sum[], height: number): void {
    if (this.#bars.length !== sums.length) {
      this.#bars = sums.map((_, row) => h("div", { class: "row-sum", "data-row": row }, h("i")));
      this.element.replaceChildren(...[...this.#bars].reverse());
      this.#marked = undefined;
    }
    for (const [row, sum] of sums.entries()) {
      const bar = this.#bars[row];
      if (bar === undefined) continue;
      setAttribute(bar, "style", `height: ${height}px; --share: ${sum.share.toFixed(4)}`);
      setAttribute(bar, "title", sum.words);
      setAttribute(bar, "data-hatched", sum.hatched);
    }
  }

  mark(row: number | null): void {
    const bar = row === null ? undefined : this.#bars[row];
    if (bar === this.#marked) return;
    this.#marked?.removeAttribute("data-here");
    bar?.setAttribute("data-here", "");
    this.#marked = bar;
  }

  #rowOf(target: EventTarget | null): number | null {
    const row = target instanceof Element ? target.closest("[data-row]")?.getAttribute("data-row") : null;
    return row === null || row === undefined ? null : Number(row);
  }
}

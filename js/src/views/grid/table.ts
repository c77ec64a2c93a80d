/** The values of a grid as a table, made when it is opened, some columns at a time. */

import { h, listen, setAttribute, setText } from "../../page/dom";
import type { Frames } from "../../page/frames";
import type { Place } from "./geometry";
import type { Picture } from "./picture";

/** Columns shown at once; a prompt may have a thousand. */
export const COLUMNS_AT_ONCE = 12;

export class GridTable {
  readonly #toggle = h(
    "button",
    { type: "button", class: "plain quiet", "aria-expanded": "false" },
    "As a table",
  );
  readonly #before = h("button", { type: "button", class: "plain" }, "Previous columns");
  readonly #after = h("button", { type: "button", class: "plain" }, "Next columns");
  readonly #range = h("span", { class: "quiet", role: "status" });
  readonly #pages = h("div", { class: "grid-table-pages" }, this.#range, this.#before, this.#after);
  readonly #caption = h("caption");
  readonly #head = h("tr");
  readonly #body = h("tbody");
  readonly #table = h("table", {}, this.#caption, h("thead", {}, this.#head), this.#body);
  /** It scrolls sideways, so it takes the focus. */
  readonly #scroll = h("div", { class: "grid-table-scroll", role: "region", tabindex: 0 }, this.#table);
  readonly #opened = h("div", { hidden: true }, this.#pages, this.#scroll);
  readonly element = h("div", { class: "grid-table" }, this.#toggle, this.#opened);

  #picture: Picture | null = null;
  #chosen: Place | null = null;
  #first = 0;
  #built = "";

  constructor(frames: Frames) {
    frames.onDispose(listen(this.#toggle, "click", () => this.#open(this.#opened.hidden === true)));
    frames.onDispose(listen(this.#before, "click", () => this.#turn(-COLUMNS_AT_ONCE)));
    frames.onDispose(listen(this.#after, "click", () => this.#turn(COLUMNS_AT_ONCE)));
  }

  show(picture: Picture): void {
    this.#picture = picture;
    if (!this.#opened.hidden) this.#fill();
  }

  /** The cell whose columns are shown first when the table is opened. */
  choose(cell: Place | null): void {
    this.#chosen = cell;
  }

  #open(open: boolean): void {
    this.#opened.hidden = !open;
    setAttribute(this.#toggle, "aria-expanded", String(open));
    setText(this.#toggle, open ? "Close the table" : "As a table");
    const column = this.#chosen?.column ?? 0;
    this.#first = column - (column % COLUMNS_AT_ONCE);
    if (open) this.#fill();
    // A closed table is not updated.
    else {
      this.#head.replaceChildren();
      this.#body.replaceChildren();
      this.#built = "";
    }
  }

  #turn(by: number): void {
    this.#first += by;
    this.#fill();
  }

  #fill(): void {
    const picture = this.#picture;
    if (picture === null) return;
    const { rows, columns } = picture;
    if (this.#first >= columns.count || this.#first < 0) this.#first = 0;
    const stop = Math.min(columns.count, this.#first + COLUMNS_AT_ONCE);
    const shown = Array.from({ length: Math.max(0, stop - this.#first) }, (_, i) => this.#first + i);
    this.#pages.hidden = columns.count <= COLUMNS_AT_ONCE;
    setText(this.#range, `Columns ${this.#first + 1} to ${stop} of ${columns.count}`);
    this.#before.disabled = this.#first === 0;
    this.#after.disabled = stop >= columns.count;
    setText(this.#caption, picture.caption);
    setAttribute(this.#scroll, "aria-label", picture.caption);
    this.#build(rows.count, shown.length + (picture.sums === undefined ? 1 : 2));
    const heads = [picture.corner, ...shown.map((column) => columns.name(column)), picture.sumsName ?? ""];
    fill(this.#head, heads);
    for (let row = 0; row < rows.count; row += 1) {
      const line = this.#body.children[rows.count - 1 - row];
      const values = shown.map((column) => picture.value({ row, column }));
      if (line !== undefined) fill(line, [rows.name(row), ...values, picture.sums?.[row]?.text ?? ""]);
    }
  }

  /** Makes new cells only where their number changes. */
  #build(nRows: number, nCells: number): void {
    const built = `${nRows} ${nCells}`;
    if (built === this.#built) return;
    this.#built = built;
    const rest = Array.from({ length: Math.max(0, nCells - 1) });
    this.#head.replaceChildren(h("td"), ...rest.map(() => h("th", { scope: "col" })));
    this.#body.replaceChildren(
      ...Array.from({ length: nRows }, () =>
        h("tr", {}, h("th", { scope: "row" }), ...rest.map(() => h("td"))),
      ),
    );
  }
}

function fill(line: Element, texts: readonly string[]): void {
  for (const [i, text] of texts.entries()) {
    const cell = line.children[i];
    if (cell !== undefined) setText(cell, text);
  }
}

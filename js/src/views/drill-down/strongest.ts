/** The strongest links of the row or column at the layer on the screen, each a click away. */

import { alphaOf } from "../../page/colour";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { quote, signed } from "../../page/format";
import { AFTER_THE_PROMPT } from "../../page/sentences";
import { type Cell, type Link, positionOf } from "../../state/reading";
import { contextOf, type View } from "../shared";
import { drill, strongestOf } from "./layers-of";

const N_STRONGEST = 8;
const LONGEST_TOKEN = 16;

export class StrongestView {
  readonly #title = h("h4", { class: "strongest-title" });
  readonly #items = Array.from({ length: N_STRONGEST }, () => new StrongLink());
  readonly #list = h("ol", { class: "strongest" }, ...this.#items.map(({ element }) => element));
  readonly element = h("div", { class: "strongest-links" }, this.#title, this.#list);
  readonly #view: View;
  #links: readonly Link[] = [];

  constructor(view: View) {
    this.#view = view;
    const { store, frames, cursor } = view;
    frames.keep(
      listen(this.#list, "click", (event) => {
        const cell = this.#cellOf(event.target);
        if (cell !== null) store.selectCell(cell);
      }),
    );
    const point = (cell: Cell | null): void => {
      cursor.value = cell;
    };
    frames.keep(listen(this.#list, "pointerover", (event) => point(this.#cellOf(event.target))));
    frames.keep(listen(this.#list, "focusin", (event) => point(this.#cellOf(event.target))));
    frames.keep(listen(this.#list, "pointerleave", () => point(null)));
    frames.keep(listen(this.#list, "focusout", () => point(null)));
    frames.watch(() => this.#paint());
  }

  #paint(): void {
    const { store } = this.#view;
    // Hidden behind the card of a fixed cell.
    if (store.cell.value !== null) return;
    const drilled = drill(store.rows.value, store.reading.value);
    if (drilled === null) return;
    const layer = store.layer.value;
    const { tokens, layers } = contextOf(store);
    const { values } = drilled.strips[layer] ?? { values: [] };
    const some = values.some((value) => !Number.isNaN(value));
    this.#links = strongestOf(drilled, layer, layers, N_STRONGEST);
    const whose = drilled.reading.kind === "row" ? "used by, most of all," : "carried by, most of all,";
    setText(
      this.#title,
      !some
        ? `Layer ${layer} is not computed yet`
        : this.#links.length === 0
          ? `Nothing above the noise floor at layer ${layer}`
          : `${whose.charAt(0).toUpperCase()}${whose.slice(1)} at layer ${layer}`,
    );
    const scale = store.scale.value;
    for (const [rank, item] of this.#items.entries()) {
      const link = this.#links[rank];
      item.element.hidden = link === undefined;
      if (link === undefined) continue;
      const { value } = link;
      const position = positionOf(drilled.reading, link);
      const token = tokens[position];
      setAttribute(item.button, "data-strong", rank);
      setAttribute(item.swatch, "data-sign", value > 0 ? "needed" : "hindering");
      item.swatch.style.opacity = (alphaOf(value, scale) / 255).toFixed(3);
      setText(item.value, signed(value));
      setText(item.token, token === undefined ? AFTER_THE_PROMPT : quote(token, LONGEST_TOKEN));
      const offset = link.target - link.source;
      setText(item.offset, offset === 1 ? "next token" : `${offset} ahead`);
    }
  }

  #cellOf(node: EventTarget | null): Cell | null {
    const rank = node instanceof Element ? node.closest("[data-strong]")?.getAttribute("data-strong") : null;
    return this.#links[Number(rank ?? Number.NaN)] ?? null;
  }
}

/** One of the strongest links. Kept while values arrive, so that the focus stays where it is. */
class StrongLink {
  /** The colour of the value, as in the heat map. */
  readonly swatch = h("span", { class: "swatch" });
  readonly value = h("span", { class: "strong-value" });
  readonly token = h("span", { class: "strong-token" });
  readonly offset = h("span", { class: "strong-offset" });
  readonly button = h("button", { type: "button" }, this.swatch, this.value, this.token, this.offset);
  readonly element = h("li", { hidden: true }, this.button);
}

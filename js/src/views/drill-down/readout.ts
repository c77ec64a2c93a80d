/** The number under the pointer or of the selected cell, what it means, and the strongest links of the layer. */

import { alphaOf, tells } from "../../page/colour";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { oneLine, signed } from "../../page/format";
import { ahead, cellMeaning, cellPlace, cellValue, HONESTY } from "../../page/sentences";
import { type Cell, contextOf, type View } from "../shared";

const N_STRONGEST = 5;

export class ReadoutView {
  readonly #value = h("strong", { class: "readout-value" });
  readonly #place = h("span", { class: "readout-place" });
  readonly #meaning = h("p", { class: "readout-meaning" });
  readonly #listTitle = h("h4", { class: "strongest-title" });
  readonly #strongest = Array.from({ length: N_STRONGEST }, () => new StrongLink());
  readonly #list = h("ol", { class: "strongest" }, ...this.#strongest.map(({ element }) => element));
  readonly element = h(
    "div",
    { class: "readout" },
    h(
      "div",
      { class: "readout-cell" },
      h("p", { class: "readout-head" }, this.#value, h("span", { class: "unseen" }, " · "), this.#place),
      this.#meaning,
    ),
    this.#listTitle,
    this.#list,
    h("p", { class: "honesty" }, HONESTY),
  );
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { store, frames, cursor } = view;
    const { traits } = store;
    const values = [
      store.rows,
      store.arrived,
      store.source,
      store.layer,
      traits.tokens,
      traits.layers,
      traits.query,
    ];
    frames.keep(listen(this.#list, "click", (event) => this.#choose(targetOf(event.target))));
    frames.keep(listen(this.#list, "pointerover", (event) => this.#point(targetOf(event.target))));
    frames.keep(listen(this.#list, "pointerleave", () => this.#point(null)));
    frames.watch([...values, store.target, cursor], () => this.#paintCell());
    frames.watch([...values, store.scale, store.target], () => this.#paintStrongest());
  }

  #paintCell(): void {
    const { store, cursor } = this.#view;
    const source = store.source.value;
    if (source === null) return;
    const target = store.target.value;
    const selected: Cell | null = target === null ? null : { layer: store.layer.value, target };
    const cell = cursor.value ?? selected;
    setAttribute(
      this.element,
      "data-cell",
      cell === null ? "none" : cursor.value === null ? "selected" : "pointed",
    );
    if (cell === null) {
      setText(this.#value, "");
      setText(this.#place, "");
      setText(this.#meaning, "Point at a cell to read it; click to keep it.");
      return;
    }
    const context = contextOf(store);
    const value = store.rows.value.influence(cell.layer, source, cell.target);
    setText(this.#value, cellValue(value, context.query));
    setText(this.#place, cellPlace(context.tokens, cell.layer, source, cell.target));
    setText(this.#meaning, cellMeaning(context, cell.layer, cell.target, value));
  }

  #paintStrongest(): void {
    const { store } = this.#view;
    const source = store.source.value;
    if (source === null) return;
    const layer = store.layer.value;
    const { tokens, layers } = contextOf(store);
    const row = store.rows.value.row(layer, source);
    const scale = store.scale.value;
    const floor = layers[layer]?.noise_floor ?? null;
    setText(
      this.#listTitle,
      row === undefined ? `Layer ${layer} is not computed yet` : `Strongest at layer ${layer}`,
    );
    const strongest = Array.from(row ?? [], (value, k) => ({ value, target: source + 1 + k }))
      .filter(({ value }) => tells(value, floor))
      .sort((a, b) => Math.abs(b.value) - Math.abs(a.value))
      .slice(0, N_STRONGEST);
    for (const [rank, item] of this.#strongest.entries()) {
      const link = strongest[rank];
      item.element.hidden = link === undefined;
      if (link === undefined) continue;
      const { value, target } = link;
      const token = tokens[target];
      setAttribute(item.button, "data-strong", target);
      setAttribute(item.button, "aria-pressed", String(target === store.target.value));
      setAttribute(item.swatch, "data-sign", value > 0 ? "needed" : "hindering");
      item.swatch.style.opacity = (alphaOf(value, scale) / 255).toFixed(3);
      setText(item.value, signed(value));
      setText(item.token, token === undefined ? "" : `“${oneLine(token, 16)}”`);
      setText(item.offset, ahead(source, target));
    }
  }

  #choose(target: number | null): void {
    const { store } = this.#view;
    if (target === null) return;
    store.selectCell(store.layer.value, target === store.target.value ? null : target);
  }

  #point(target: number | null): void {
    const { store, cursor } = this.#view;
    cursor.value = target === null ? null : { layer: store.layer.value, target };
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

function targetOf(node: EventTarget | null): number | null {
  const target = node instanceof Element ? node.closest("[data-strong]")?.getAttribute("data-strong") : null;
  return target === null || target === undefined ? null : Number(target);
}

/** The number under the pointer or of the selected cell, what it means, and the strongest links of the layer. */

import { alphaOf, tells } from "../colour";
import { h, listen, setAttribute, setText } from "../dom";
import { oneLine, signed } from "../format";
import { ahead, cellMeaning, cellPlace, cellValue, HONESTY } from "../sentences";
import { type Cell, contextOf, type View } from "./shared";

const N_STRONGEST = 5;

export class ReadoutView {
  readonly #value = h("strong", { class: "readout-value" });
  readonly #place = h("span", { class: "readout-place" });
  readonly #meaning = h("p", { class: "readout-meaning" });
  readonly #listTitle = h("h4", { class: "strongest-title" });
  readonly #list = h("ol", { class: "strongest" });
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
    this.#list.replaceChildren(
      ...strongest.map(({ value, target }) => {
        const token = tokens[target];
        const chosen = target === store.target.value;
        return h(
          "li",
          {},
          h(
            "button",
            { type: "button", "data-strong": target, "aria-pressed": String(chosen) },
            swatch(value, scale),
            h("span", { class: "strong-value" }, signed(value)),
            h("span", { class: "strong-token" }, token === undefined ? "" : `“${oneLine(token, 16)}”`),
            h("span", { class: "strong-offset" }, ahead(source, target)),
          ),
        );
      }),
    );
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

/** The colour of a value, as in the heat map. */
function swatch(value: number, scale: number): HTMLElement {
  const element = h("span", { class: "swatch", "data-sign": value > 0 ? "needed" : "hindering" });
  element.style.opacity = (alphaOf(value, scale) / 255).toFixed(3);
  return element;
}

function targetOf(node: EventTarget | null): number | null {
  const target = node instanceof Element ? node.closest("[data-strong]")?.getAttribute("data-strong") : null;
  return target === null || target === undefined ? null : Number(target);
}

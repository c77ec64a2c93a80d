/** The layer on the screen, and how much of each is computed. */

import { h, listen, setAttribute, setText } from "../../page/dom";
import type { View } from "../shared";

export class LayerView {
  readonly #number = h("output", { class: "layer-number" });
  readonly #total = h("span");
  readonly #slider = h("input", {
    type: "range",
    class: "layer-slider",
    min: 0,
    step: 1,
    "aria-label": "Layer",
    "aria-keyshortcuts": "[ ]",
    title: "Layer: also by the keys [ and ]",
  });
  /** How much of each layer is computed, under the slider. */
  readonly #strip = h("div", { class: "layer-strip", "aria-hidden": "true" });
  readonly element = h(
    "div",
    { class: "layers" },
    h("span", { class: "layer-label" }, "layer ", this.#number, this.#total),
    h("div", { class: "layer-control" }, this.#strip, this.#slider),
  );
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { frames, store } = view;
    frames.onDispose(
      listen(this.#slider, "input", () => store.selection.selectLayer(this.#slider.valueAsNumber)),
    );
    frames.watch(() => this.#paint());
    frames.watch(() => this.#paintStrip());
  }

  #paint(): void {
    const { layer, traits } = this.#view.map;
    const nLayers = traits.n_layers.value;
    setAttribute(this.#slider, "max", Math.max(0, nLayers - 1));
    if (this.#slider.valueAsNumber !== layer.value) this.#slider.value = String(layer.value);
    this.#slider.disabled = nLayers === 0;
    setAttribute(this.#slider, "aria-valuetext", `layer ${layer.value} of ${nLayers}`);
    setText(this.#number, nLayers === 0 ? "" : String(layer.value));
    setText(this.#total, nLayers === 0 ? "" : ` of ${nLayers}`);
  }

  #paintStrip(): void {
    const { traits } = this.#view.map;
    const nTokens = traits.tokens.value.length;
    const nLayers = traits.n_layers.value;
    const asked = traits.layers.value;
    if (this.#strip.childElementCount !== nLayers)
      this.#strip.replaceChildren(...Array.from({ length: nLayers }, () => h("i")));
    for (const [layer, cell] of [...this.#strip.children].entries()) {
      const share = Math.min(1, (traits.layer_info.value[layer]?.n_done ?? 0) / Math.max(1, nTokens));
      setAttribute(cell, "style", `--share: ${share.toFixed(2)}`);
      setAttribute(cell, "data-unasked", asked !== null && !asked.includes(layer));
    }
  }
}

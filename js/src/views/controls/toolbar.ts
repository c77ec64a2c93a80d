/** What is asked: the model, the method, what the tokens are coloured by, and the layer. */

import { h, listen, setAttribute, setText } from "../../page/dom";
import { baselineLabel, queryLabels } from "../../page/sentences";
import type { View } from "../shared";

let groups = 0;

export class ToolbarView {
  readonly #model = h("strong", { class: "model" });
  readonly #labels = h("span", { class: "labels" });
  readonly #statistics = h("fieldset", { class: "statistics" });
  readonly #layerNumber = h("output", { class: "layer-number" });
  readonly #layerTotal = h("span");
  readonly #slider = h("input", {
    type: "range",
    class: "layer-slider",
    min: 0,
    step: 1,
    "aria-label": "Layer",
  });
  /** How much of each layer is computed, under the slider. */
  readonly #strip = h("div", { class: "layer-strip", "aria-hidden": "true" });
  readonly element = h(
    "header",
    { class: "toolbar" },
    h("div", { class: "about" }, this.#model, this.#labels),
    h(
      "div",
      { class: "choices" },
      this.#statistics,
      h(
        "div",
        { class: "layers" },
        h("span", { class: "layer-label" }, "layer ", this.#layerNumber, this.#layerTotal),
        h("div", { class: "layer-control" }, this.#slider, this.#strip),
      ),
    ),
  );
  readonly #view: View;
  readonly #group: string;

  constructor(view: View) {
    this.#view = view;
    const { store, frames } = view;
    const { traits } = store;
    groups += 1;
    this.#group = `horizon-widget-statistic-${groups}`;
    frames.keep(listen(this.#slider, "input", () => store.selectLayer(this.#slider.valueAsNumber)));
    // A click also comes from the arrow keys, and from the choice that is already made: back to the whole text.
    frames.keep(
      listen(this.#statistics, "click", (event) => {
        if (!(event.target instanceof HTMLInputElement)) return;
        store.selectStatistic(event.target.value);
      }),
    );
    frames.watch([traits.model_name, traits.query, store.layerInfo], () => this.#paintAbout());
    frames.watch([traits.statistics], () => this.#buildStatistics());
    frames.watch([traits.statistics, store.statistic, store.reading], () => this.#paintStatistics());
    frames.watch([traits.n_layers, store.layer], () => this.#paintLayer());
    frames.watch([traits.layer_info, traits.tokens, traits.n_layers], () => this.#paintStrip());
  }

  #paintAbout(): void {
    const { traits, layerInfo } = this.#view.store;
    setText(this.#model, traits.model_name.value);
    const labels = [...queryLabels(traits.query.value), baselineLabel(layerInfo.value)];
    this.#labels.replaceChildren(...labels.map((label) => h("span", {}, label)));
  }

  #buildStatistics(): void {
    const statistics = this.#view.store.traits.statistics.value;
    this.#statistics.hidden = statistics.length === 0;
    this.#statistics.replaceChildren(
      h("legend", { class: "unseen" }, "Colour the tokens by"),
      ...statistics.map(({ name, label, description }) =>
        h(
          "label",
          { title: description },
          h("input", { type: "radio", name: this.#group, value: name, class: "unseen" }),
          h("span", {}, label),
        ),
      ),
    );
  }

  #paintStatistics(): void {
    const { statistic, reading } = this.#view.store;
    setAttribute(this.#statistics, "data-inactive", reading.value.kind !== "statistic");
    for (const input of this.#statistics.querySelectorAll("input"))
      input.checked = input.value === statistic.value?.name;
  }

  #paintLayer(): void {
    const { traits, layer } = this.#view.store;
    const nLayers = traits.n_layers.value;
    setAttribute(this.#slider, "max", Math.max(0, nLayers - 1));
    if (this.#slider.valueAsNumber !== layer.value) this.#slider.value = String(layer.value);
    this.#slider.disabled = nLayers === 0;
    setAttribute(this.#slider, "aria-valuetext", `layer ${layer.value} of ${nLayers}`);
    setText(this.#layerNumber, nLayers === 0 ? "" : String(layer.value));
    setText(this.#layerTotal, nLayers === 0 ? "" : ` of ${nLayers}`);
  }

  #paintStrip(): void {
    const { traits } = this.#view.store;
    const nTokens = traits.tokens.value.length;
    const nLayers = traits.n_layers.value;
    if (this.#strip.childElementCount !== nLayers)
      this.#strip.replaceChildren(...Array.from({ length: nLayers }, () => h("i")));
    for (const [layer, cell] of [...this.#strip.children].entries()) {
      const share = Math.min(1, (traits.layer_info.value[layer]?.n_done ?? 0) / Math.max(1, nTokens));
      (cell as HTMLElement).style.setProperty("--share", share.toFixed(2));
    }
  }
}

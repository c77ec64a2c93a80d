/** Where each layer's influence goes, how myopic each layer is, and the strongest links of the whole map. */

import { h, listen, setAttribute, setText } from "../../page/dom";
import { sumNote } from "../../page/overview-sentences";
import type { View } from "../shared";
import { LinksView } from "./links";
import { OwnShareView } from "./own-share";
import { ProfileView } from "./profile";
import { SummaryOfView } from "./summary";

export class OverviewView {
  readonly #note = h("span", { class: "quiet" });
  readonly #sinks = h(
    "button",
    {
      type: "button",
      class: "tool toggle",
      title:
        "Attention sinks have huge states that much of the model uses; summaries leave them out by default",
    },
    "count sinks",
  );
  readonly element = h("section", { class: "overview", "aria-label": "The whole map" });
  readonly #view: View;
  readonly #summary: SummaryOfView;

  constructor(view: View) {
    this.#view = view;
    const { frames, store } = view;
    const { traits } = store;
    this.#summary = new SummaryOfView(view, this.element);
    this.element.append(
      h("header", { class: "overview-title" }, h("h3", {}, "The whole map"), this.#sinks, this.#note),
      h(
        "div",
        { class: "overview-parts" },
        new ProfileView(view, this.#summary).element,
        new OwnShareView(view, this.#summary).element,
        new LinksView(view, this.#summary).element,
      ),
    );
    frames.onDispose(
      listen(this.#sinks, "click", () => store.kernel.set({ include_sinks: !traits.include_sinks.value })),
    );
    frames.watch(() => this.#paint());
  }

  #paint(): void {
    const { map, store } = this.#view;
    const { traits } = store;
    const { nLayers, nTokens } = map.rows.value;
    const { now } = this.#summary;
    const nSinks = map.traits.sinks.value.length;
    const layers = Array.from({ length: nLayers }, (_, layer) => layer);
    const nBegun = layers.filter((layer) => now.nSources(layer) > 0).length;
    const nEnough = layers.filter((layer) => now.isEnough(layer)).length;
    this.element.hidden = nTokens === 0;
    this.#sinks.hidden = nSinks === 0;
    setAttribute(this.#sinks, "aria-pressed", String(traits.include_sinks.value));
    setText(this.#note, sumNote(nEnough, nBegun, nLayers, nSinks, traits.include_sinks.value));
  }
}

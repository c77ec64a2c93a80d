/** Opens below the text when a token is selected: its heat map and its readout. */

import { h, listen, setText } from "../../page/dom";
import { quote } from "../../page/format";
import { rowMeaning } from "../../page/sentences";
import { HeatMapView } from "./heat-map";
import { ReadoutView } from "./readout";
import type { View } from "../shared";

export class DrillDownView {
  readonly #token = h("strong", { class: "drill-token" });
  readonly #explained = h("span", { class: "quiet" });
  readonly #close = h("button", { type: "button", class: "plain close" }, "Clear selection");
  readonly #last = h(
    "p",
    { class: "quiet", hidden: true },
    "This is the last token: nothing lies behind it.",
  );
  readonly #body: HTMLElement;
  readonly element: HTMLElement;
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { store, frames } = view;
    const { traits } = store;
    // First, so that the panel has its size when the heat map lays itself out.
    frames.watch([store.source, traits.tokens, traits.query], () => this.#paint());
    this.#body = h(
      "div",
      { class: "drill-body" },
      new HeatMapView(view).element,
      new ReadoutView(view).element,
    );
    this.element = h(
      "section",
      { class: "drill-down", hidden: true, "aria-label": "The selected token at every layer" },
      h("header", { class: "drill-head" }, h("h3", {}, this.#token, this.#explained), this.#close),
      this.#last,
      this.#body,
    );
    frames.keep(listen(this.#close, "click", () => store.selectSource(null)));
  }

  #paint(): void {
    const { store } = this.#view;
    const source = store.source.value;
    this.element.hidden = source === null;
    if (source === null) return;
    const tokens = store.traits.tokens.value;
    const last = source === tokens.length - 1;
    setText(this.#token, `${quote(tokens[source])} at every layer`);
    setText(this.#explained, ` → every later token · each cell: ${rowMeaning(store.traits.query.value)}`);
    this.#last.hidden = !last;
    this.#body.hidden = last;
  }
}

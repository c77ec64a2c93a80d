/** The panel below the text for the token that is read: its heat map, and the card of one cell. */

import { h, listen, setText } from "../../page/dom";
import { meaningOf, named } from "../../page/sentences";
import { focusText, type View } from "../shared";
import { CellCard } from "./cell-card";
import { HeatMapView } from "./heat-map";
import { PinsView } from "./pins";

export class DrillDownView {
  readonly #token = h("strong", { class: "drill-token" });
  readonly #explained = h("span", { class: "quiet" });
  readonly #close = h("button", { type: "button", class: "plain close" }, "Clear selection");
  readonly #last = h(
    "p",
    { class: "quiet", hidden: true },
    "This is the last token: nothing comes after it.",
  );
  readonly #body: HTMLElement;
  readonly #opened: HTMLElement;
  readonly element: HTMLElement;
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { frames, store } = view;
    // First, so that the panel has its size before the heat map is laid out.
    frames.watch(() => this.#paint());
    const heatMap = new HeatMapView(view);
    const card = new CellCard(view, () => heatMap.focus());
    this.#body = h("div", { class: "drill-body" }, heatMap.element, card.element, card.found);
    this.#opened = h(
      "section",
      { class: "drill-down", hidden: true, "aria-label": "The selected token at every layer" },
      h("header", { class: "drill-head" }, h("h3", {}, this.#token, this.#explained), this.#close),
      this.#last,
      this.#body,
    );
    this.element = h("div", { class: "drilling" }, this.#opened, new PinsView(view).element);
    frames.onDispose(
      listen(this.#close, "click", ({ detail }) => {
        store.selection.clear();
        // The button is hidden now, so a press by key moves the focus to the text.
        if (detail === 0) focusText(view);
      }),
    );
  }

  #paint(): void {
    const { map } = this.#view;
    const reading = map.reading.value;
    this.#opened.hidden = reading.kind !== "row" && reading.kind !== "column";
    const { tokens, n_targets: nTargets, query } = map.traits;
    if (reading.kind === "row") {
      setText(this.#token, `${named(tokens.value, reading.source)} at every layer`);
      setText(this.#explained, ` → every later token · each cell: ${meaningOf("row", query.value)}`);
    } else if (reading.kind === "column") {
      setText(this.#token, named(tokens.value, reading.target));
      setText(
        this.#explained,
        ` ← every earlier token at every layer · each cell: ${meaningOf("column", query.value)}`,
      );
    }
    const last = reading.kind === "row" && reading.source >= nTargets.value;
    this.#last.hidden = !last;
    this.#body.hidden = last;
  }
}

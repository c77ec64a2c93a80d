/** The strongest links of the whole map, by distance; each is a click away. */

import { computed, type ReadonlySignal } from "@preact/signals-core";
import { LEAST_OFFSETS } from "../../kernel/protocol";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { quote, signed, withUnit } from "../../page/format";
import { linksNote } from "../../page/overview-sentences";
import { ahead, HONESTY, named } from "../../page/sentences";
import { MOST_LINKS } from "../../state/overview";
import type { Link } from "../../state/reading";
import type { View } from "../shared";
import type { SummaryOfView } from "./summary";

export class LinksView {
  readonly #distances = h("fieldset", { class: "choice segmented" });
  readonly #note = h("p", { class: "overview-sub quiet" });
  readonly #rows = Array.from({ length: MOST_LINKS }, () => new LinkRow());
  readonly #list = h("ol", { class: "links" }, ...this.#rows.map(({ element }) => element));
  readonly element: HTMLElement;
  readonly #view: View;
  readonly #summary: SummaryOfView;
  readonly #links: ReadonlySignal<readonly Link[]>;

  constructor(view: View, summary: SummaryOfView) {
    this.#view = view;
    this.#summary = summary;
    const { store, frames } = view;
    this.#distances.append(
      h("legend", { class: "unseen" }, "At least so many tokens ahead"),
      ...LEAST_OFFSETS.map((least) =>
        h(
          "label",
          { "data-least": least, title: least === 1 ? "at any distance" : `at least ${least} tokens ahead` },
          h("input", { type: "radio", name: "least-offset", value: least, class: "unseen" }),
          h("span", {}, least === 1 ? "all" : `${least}+`),
        ),
      ),
    );
    this.element = h(
      "div",
      { class: "overview-part" },
      h(
        "div",
        { class: "overview-head" },
        h("h4", {}, "Strongest links"),
        h("span", { class: "distances" }, this.#distances, h("span", { class: "quiet" }, "tokens ahead")),
      ),
      this.#note,
      this.#list,
      h("p", { class: "quiet overview-honesty" }, HONESTY),
    );
    frames.keep(
      listen(this.#distances, "click", (event) => {
        if (!(event.target instanceof HTMLInputElement)) return;
        const chosen = Number(event.target.value);
        const least = LEAST_OFFSETS.find((one) => one === chosen);
        if (least !== undefined) store.set({ least_offset: least });
      }),
    );
    frames.keep(listen(this.#list, "click", (event) => this.#click(event)));
    this.#links = computed(() => summary.now.strongest(store.traits.least_offset.value));
    frames.watch(() => this.#paint());
    frames.watch(() => this.#paintSelected());
  }

  #paint(): void {
    const { traits } = this.#view.store;
    const least = traits.least_offset.value;
    for (const input of this.#distances.querySelectorAll("input"))
      input.checked = Number(input.value) === least;
    const { now } = this.#summary;
    const links = this.#links.value;
    const tokens = traits.tokens.value;
    const { unit } = traits.query.value;
    const furthest = this.#summary.furthest;
    // A distance that no link of this prompt has is not offered.
    for (const label of this.#distances.querySelectorAll("label"))
      label.hidden = Number(label.dataset["least"]) > Math.max(furthest, least);
    const layers = traits.layer_info.value;
    const asked = traits.layers.value ?? layers.map((_, layer) => layer);
    const toCome = asked.filter((layer) => layers[layer]?.shock !== true && !now.isComplete(layer));
    const nCounted = layers.filter((_, layer) => now.hasLinks(layer)).length;
    const nFound = links.length;
    const complete = toCome.length === 0;
    setText(this.#note, linksNote({ leastOffset: least, furthest, nFound, layers, nCounted, complete }));
    for (const [i, row] of this.#rows.entries()) {
      const link = links[i];
      if (link === undefined) row.clear();
      else {
        const { layer, source, target, value } = link;
        const after = target >= tokens.length;
        row.show(
          value > 0 ? "needed" : "hindering",
          withUnit(signed(value), unit),
          `${quote(tokens[source], 14)} → ${after ? "after the prompt" : quote(tokens[target], 14)}`,
          `${target - source} ahead · layer ${layer}`,
          `${layer}-${source}-${target}`,
          `layer ${layer}, ${named(tokens, source)} → ${after ? "after the prompt" : named(tokens, target)}, ${ahead(source, target)}`,
        );
      }
    }
  }

  #paintSelected(): void {
    const cell = this.#view.store.cell.value;
    for (const [i, row] of this.#rows.entries()) {
      const link = this.#links.value[i];
      row.press(
        link !== undefined &&
          cell !== null &&
          link.layer === cell.layer &&
          link.source === cell.source &&
          link.target === cell.target,
      );
    }
  }

  #click(event: MouseEvent): void {
    const { store, timePainting } = this.#view;
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    const link = this.#links.value[this.#rows.findIndex((row) => row.element === button?.parentElement)];
    if (link === undefined) return;
    timePainting(event.timeStamp);
    store.set({
      direction: "row",
      selected_layer: link.layer,
      selected_source: link.source,
      selected_target: link.target,
      selected_offset: null,
    });
  }
}

class LinkRow {
  readonly #swatch = h("i", { class: "swatch" });
  readonly #value = h("span", { class: "link-value" });
  readonly #ends = h("span", { class: "link-ends" });
  readonly #place = h("span", { class: "link-place quiet" });
  readonly #button: HTMLButtonElement;
  readonly element: HTMLLIElement;

  constructor() {
    this.#button = h("button", { type: "button" }, this.#swatch, this.#value, this.#ends, this.#place);
    this.element = h("li", {}, this.#button);
  }

  /** Keeps its room. */
  clear(): void {
    this.#button.hidden = true;
  }

  show(sign: string, value: string, ends: string, place: string, key: string, title: string): void {
    this.#button.hidden = false;
    setAttribute(this.#swatch, "data-sign", sign);
    setText(this.#value, value);
    setText(this.#ends, ends);
    setText(this.#place, place);
    setAttribute(this.#button, "data-link", key);
    setAttribute(this.#button, "title", `${value}: ${title}`);
  }

  press(pressed: boolean): void {
    setAttribute(this.#button, "aria-pressed", String(pressed));
  }
}

/** The strongest links of the whole map, filtered by distance. */

import { computed, type ReadonlySignal } from "@preact/signals-core";
import { LEAST_OFFSETS } from "../../kernel/protocol";
import { h, listen, setText } from "../../page/dom";
import { quote } from "../../page/format";
import { linksNote } from "../../page/overview-sentences";
import { AFTER_THE_PROMPT, ahead, CAVEAT, named } from "../../page/sentences";
import { MOST_LINKS } from "../../state/overview";
import type { Link } from "../../state/reading";
import { LinkList } from "../links/link-list";
import type { View } from "../shared";
import type { SummaryOfView } from "./summary";

const LONGEST_TOKEN = 14;

export class LinksView {
  readonly #distances = h("fieldset", { class: "choice segmented" });
  readonly #note = h("p", { class: "overview-sub quiet" });
  readonly #list: LinkList;
  readonly element: HTMLElement;
  readonly #view: View;
  readonly #summary: SummaryOfView;
  readonly #links: ReadonlySignal<readonly Link[]>;

  constructor(view: View, summary: SummaryOfView) {
    this.#view = view;
    this.#summary = summary;
    const { frames, map, store, timePainting } = view;
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
    this.#list = new LinkList(frames, MOST_LINKS, "all-links", (link, event) => {
      timePainting(event.timeStamp);
      store.selection.selectCell(link, "row");
    });
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
      this.#list.element,
      h("p", { class: "quiet overview-caveat" }, CAVEAT),
    );
    frames.onDispose(
      listen(this.#distances, "click", (event) => {
        if (!(event.target instanceof HTMLInputElement)) return;
        const chosen = Number(event.target.value);
        const least = LEAST_OFFSETS.find((one) => one === chosen);
        if (least !== undefined) store.kernel.set({ least_offset: least });
      }),
    );
    this.#links = computed(() => summary.now.strongest(store.traits.least_offset.value));
    frames.watch(() => this.#paint());
    frames.watch(() => {
      this.#links.value; // other links may be on the lines
      this.#list.press(map.cell.value);
    });
  }

  #paint(): void {
    const { map, store } = this.#view;
    const { traits } = map;
    const least = store.traits.least_offset.value;
    for (const input of this.#distances.querySelectorAll("input"))
      input.checked = Number(input.value) === least;
    const { now } = this.#summary;
    const links = this.#links.value;
    const tokens = traits.tokens.value;
    const { unit } = traits.query.value;
    const furthest = this.#summary.furthest;
    // Distances longer than the prompt are not offered.
    for (const label of this.#distances.querySelectorAll("label"))
      label.hidden = Number(label.dataset["least"]) > Math.max(furthest, least);
    const layers = traits.layer_info.value;
    const asked = traits.layers.value ?? layers.map((_, layer) => layer);
    const toCome = asked.filter((layer) => layers[layer]?.shock !== true && !now.isComplete(layer));
    const nCounted = layers.filter((_, layer) => now.hasLinks(layer)).length;
    const nFound = links.length;
    const complete = toCome.length === 0;
    setText(this.#note, linksNote({ leastOffset: least, furthest, nFound, layers, nCounted, complete }));
    const nameOf = (position: number, name: (position: number) => string): string =>
      position >= tokens.length ? AFTER_THE_PROMPT : name(position);
    this.#list.show(links, ({ layer, source, target }) => {
      const short = nameOf(target, (position) => quote(tokens[position], LONGEST_TOKEN));
      const full = nameOf(target, (position) => named(tokens, position));
      return {
        unit,
        ends: `${quote(tokens[source], LONGEST_TOKEN)} → ${short}`,
        place: `${target - source} ahead · layer ${layer}`,
        title: `layer ${layer}, ${named(tokens, source)} → ${full}, ${ahead(source, target)}`,
        opacity: 1,
      };
    });
  }
}

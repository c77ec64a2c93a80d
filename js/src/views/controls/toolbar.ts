/** The toolbar: model and metric, actions, direction, statistic, layer, progress, find, words, arcs. */

import type { Direction } from "../../kernel/traits";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { baselineLabel, queryLabels } from "../../page/sentences";
import type { View } from "../shared";
import { ActionsView } from "./actions";
import { Choices } from "./choices";
import { FindView } from "./find";
import { listenToKeys } from "./keys";
import { LayerView } from "./layer";
import { ProgressView } from "./progress";

const DIRECTIONS = [
  { value: "row", label: "used later", title: "Click a token: what is its state used for later?" },
  { value: "column", label: "comes from", title: "Click a token: which states carry its prediction?" },
];
const SWITCHES = [
  { name: "show_words", label: "words", title: "Read the tokens of a word as one" },
  { name: "show_arcs", label: "arcs", title: "Draw the strongest links of the selected token as arcs" },
] as const;

export class ToolbarView {
  readonly #model = h("strong", { class: "model" });
  readonly #labels = h("span", { class: "labels" });
  readonly #direction: Choices;
  readonly #statistics: Choices;
  /** The same choice for narrow pages. */
  readonly #select = h("select", {
    class: "field-text statistic-select",
    "aria-label": "Colour the tokens by",
  });
  readonly element: HTMLElement;
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { frames, store } = view;
    this.#direction = new Choices(frames, "direction", "What a click on a token asks", "segmented", (value) =>
      store.selection.turn(value as Direction),
    );
    this.#direction.offer(DIRECTIONS);
    this.#statistics = new Choices(frames, "statistic", "Colour the tokens by", "tabs statistics", (value) =>
      store.selection.selectStatistic(value),
    );
    frames.onDispose(
      listen(this.#select, "change", () => store.selection.selectStatistic(this.#select.value)),
    );
    const actions = new ActionsView(view);
    this.element = h(
      // Not a `header`: that names the header of the whole page.
      "div",
      { class: "toolbar" },
      h("div", { class: "about" }, this.#model, this.#labels),
      actions.element,
      h(
        "div",
        { class: "choices" },
        this.#direction.element,
        this.#statistics.element,
        this.#select,
        new LayerView(view).element,
      ),
      actions.fallback,
      h(
        "div",
        { class: "below" },
        new ProgressView(view).element,
        h("div", { class: "seeing" }, new FindView(view).element, ...this.#switches()),
      ),
    );
    listenToKeys(view);
    frames.watch(() => this.#paintAbout());
    frames.watch(() => this.#direction.check(store.traits.direction.value));
    frames.watch(() => this.#offerStatistics());
    frames.watch(() => this.#paintStatistics());
  }

  #switches(): HTMLElement[] {
    const { frames, store } = this.#view;
    return SWITCHES.map(({ name, label, title }) => {
      const button = h("button", { type: "button", class: "tool toggle", title }, label);
      frames.onDispose(
        listen(button, "click", () => store.kernel.set({ [name]: !store.traits[name].value })),
      );
      frames.watch(() => setAttribute(button, "aria-pressed", String(store.traits[name].value)));
      return button;
    });
  }

  #paintAbout(): void {
    const { map } = this.#view;
    const { traits } = map;
    setText(this.#model, traits.model_name.value);
    setAttribute(this.#model, "title", traits.model_name.value);
    const labels = [...queryLabels(traits.query.value), baselineLabel(map.layerInfo.value)];
    if (this.#labels.childElementCount !== labels.length)
      this.#labels.replaceChildren(...labels.map(() => h("span")));
    for (const [i, label] of labels.entries()) setText(this.#labels.children[i] as HTMLElement, label);
  }

  #offerStatistics(): void {
    const statistics = this.#view.map.traits.statistics.value;
    this.#statistics.offer(
      statistics.map(({ name, label, description }) => ({ value: name, label, title: description })),
    );
    this.#select.disabled = statistics.length === 0;
    this.#select.replaceChildren(
      h("option", { value: "", hidden: true }, "colour by …"),
      ...statistics.map(({ name, label }) => h("option", { value: name }, label)),
    );
  }

  #paintStatistics(): void {
    const { statistic, reading } = this.#view.map;
    const name = statistic.value?.name;
    const inactive = reading.value.kind !== "statistic";
    this.#statistics.check(name, inactive);
    this.#select.value = inactive ? "" : (name ?? "");
  }
}

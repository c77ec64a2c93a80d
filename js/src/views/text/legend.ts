/** What the colours mean, with units, and the token under the pointer in words. */

import { css, type Palette, type Rgb } from "../../page/colour";
import { h, setAttribute, setText } from "../../page/dom";
import { mark, quote, withUnit } from "../../page/format";
import { baselineNote, SINK, scaleEnds, scaleNote, statisticValue, windowNote } from "../../page/sentences";
import { anchorOf } from "../../state/reading";
import { contextOf, type View } from "../shared";
import { statisticRange } from "./token-look";

export class LegendView {
  readonly #title = h("span", { class: "legend-title" });
  readonly #low = h("span", { class: "legend-low" });
  readonly #bar = h("span", { class: "legend-bar", "aria-hidden": "true" });
  readonly #high = h("span", { class: "legend-high" });
  readonly #scale = h("span", { class: "legend-scale" });
  readonly #notes = h("p", { class: "legend-notes" });
  readonly #pointed = h("p", { class: "pointed" });
  readonly #key = h(
    "span",
    { class: "legend-key" },
    h("span", { class: "no-value-sample" }, "abc"),
    " no value",
  );
  readonly element = h(
    "div",
    { class: "legend" },
    h(
      "div",
      { class: "legend-line" },
      this.#title,
      h("span", { class: "legend-ramp" }, this.#low, this.#bar, this.#high),
      this.#scale,
      this.#key,
    ),
    this.#pointed,
    this.#notes,
  );
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { store, frames } = view;
    const { traits } = store;
    frames.watch(
      [
        store.reading,
        store.layer,
        store.layerInfo,
        store.scale,
        store.statistic,
        traits.window,
        traits.query,
        view.surroundings,
      ],
      () => this.#paint(),
    );
    frames.watch(
      [view.pointed, store.reading, store.statistic, store.layer, store.arrived, store.rows, traits.tokens],
      () => this.#paintPointed(),
    );
  }

  #paint(): void {
    const { store, surroundings } = this.#view;
    const { palette } = surroundings.value;
    const layer = store.layer.value;
    const source = anchorOf(store.reading.value);
    const statistic = store.statistic.value;
    const baseline = baselineNote(layer, store.layerInfo.value);
    const { unit } = store.traits.query.value;
    this.#key.hidden = source !== null;
    setAttribute(this.element, "data-shock", store.layerInfo.value.shock);
    if (source !== null) {
      setText(this.#title, `Layer ${layer}, token ${source}`);
      const [low, high] = scaleEnds(store.traits.query.value);
      setText(this.#low, low);
      setText(this.#high, high);
      setText(this.#scale, scaleNote(store.scale.value, unit) || `± … ${unit}`);
      this.#bar.style.backgroundImage = signedGradient(palette);
      setText(this.#notes, baseline);
      return;
    }
    setText(this.#scale, "");
    if (statistic === null) {
      setText(this.#title, "");
      setText(this.#low, "");
      setText(this.#high, "");
      this.#bar.style.backgroundImage = "none";
      setText(
        this.#notes,
        store.traits.tokens.value.length === 0 ? "" : `${capital(windowNote(null))}. ${baseline}`,
      );
      return;
    }
    setText(this.#title, `Layer ${layer}, ${statistic.label}`);
    setText(this.#low, mark(statistic.low));
    setText(this.#high, withUnit(mark(statisticRange(store, statistic)[1]), statistic.unit));
    this.#bar.style.backgroundImage = `linear-gradient(to right, ${css(palette.amount, 0)}, ${css(palette.amount)})`;
    const description = statistic.description.replace(/[.\s]+$/u, "");
    const { value: window } = store.traits.window;
    const meaning = window === null ? windowNote(null) : `${description}, ${windowNote(window)}`;
    setText(this.#notes, `${capital(meaning)}. ${baseline}`);
  }

  /** Without a selection, the token under the pointer; with one, its readout tells. */
  #paintPointed(): void {
    const { store, pointed } = this.#view;
    const position = pointed.value;
    const statistic = store.statistic.value;
    const tokens = store.traits.tokens.value;
    this.#pointed.hidden = anchorOf(store.reading.value) !== null || tokens.length === 0;
    if (position === null || statistic === null) {
      setText(this.#pointed, "Click a token to see which later tokens its state is used by.");
      return;
    }
    const value = store.rows.value.statistic(store.statisticIndex.value, store.layer.value, position);
    const words = statisticValue(contextOf(store), statistic, position, value);
    const sink = position === 0 ? ` · ${SINK}` : "";
    setText(this.#pointed, `${quote(tokens[position])} (${position}) · ${words}${sink}`);
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The scale as it is used: linear in the value, the root in the opacity. */
function signedGradient({ hindering, needed }: Palette): string {
  const stop = (colour: Rgb, share: number, at: number): string =>
    `${css(colour, Math.round(255 * Math.sqrt(share)))} ${at.toFixed(1)}%`;
  const shares = [1, 0.8, 0.6, 0.4, 0.25, 0.12, 0.05, 0.01, 0];
  const left = shares.map((share) => stop(hindering, share, 50 - 50 * share));
  const right = [...shares].reverse().map((share) => stop(needed, share, 50 + 50 * share));
  return `linear-gradient(to right, ${[...left, ...right].join(", ")})`;
}

/** What the colours mean, with their units, layer and window. */

import { css, type Palette, type Rgb } from "../../page/colour";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { mark, withUnit } from "../../page/format";
import { baselineNote, scaleEnds, scaleNote } from "../../page/sentences";
import { contextOf, type View } from "../shared";
import { Keys } from "./keys";
import { legendTitle, readingNote, statisticNote, wordsNote } from "./legend-words";
import { statisticRange } from "./token-look";

/** Notes on the upper end of a statistic without a fixed one. */
const GREATEST = {
  all: "or more: the layer’s greatest, rounded up",
  rest: "or more: the layer’s greatest without sinks, rounded up",
} as const;

export class LegendView {
  readonly #title = h("span", { class: "legend-title" });
  readonly #low = h("span", { class: "legend-low" });
  readonly #bar = h("span", { class: "legend-bar", "aria-hidden": "true" });
  readonly #high = h("span", { class: "legend-high" });
  readonly #scale = h("span", { class: "legend-scale" });
  readonly #keep = h("input", { type: "checkbox", name: "keep-scale" });
  readonly #keeping = h("label", { class: "legend-keep" }, this.#keep, "keep this scale");
  readonly #notes = h("p", { class: "legend-notes" });
  readonly element = h("div", { class: "legend" });
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { frames } = view;
    const line = h(
      "div",
      { class: "legend-line" },
      this.#title,
      h("span", { class: "legend-ramp" }, this.#low, this.#bar, this.#high),
      this.#scale,
      this.#keeping,
    );
    this.element.append(line, new Keys(view).element, this.#notes);
    frames.onDispose(listen(this.#keep, "change", () => this.#keepScale()));
    frames.watch(() => this.#paint());
  }

  #keepScale(): void {
    const { map, store } = this.#view;
    const scale = map.scale.peek();
    store.kernel.set({ fixed_scale: this.#keep.checked && !Number.isNaN(scale) ? scale : null });
  }

  #paint(): void {
    const { map } = this.#view;
    const { controls, traits } = map;
    const empty = traits.tokens.value.length === 0;
    this.element.hidden = empty;
    setAttribute(this.element, "data-shock", map.layerInfo.value.shock);
    const reading = map.reading.value;
    const isStatistic = reading.kind === "statistic";
    // Hidden in place, so that the line keeps its length.
    setAttribute(this.#keeping, "data-off", isStatistic || Number.isNaN(map.scale.value));
    this.#keep.disabled = isStatistic || Number.isNaN(map.scale.value);
    this.#keep.checked = controls.fixed_scale.value !== null;
    const statistic = map.statistic.value;
    setText(this.#title, legendTitle(contextOf(map), map.layer.value, reading, statistic));
    if (isStatistic) this.#paintStatistic();
    else this.#paintInfluence();
    const notes = [
      isStatistic ? statisticNote(statistic, traits.window.value) : readingNote(reading),
      controls.show_words.value ? wordsNote(reading) : "",
      baselineNote(map.layer.value, map.layerInfo.value, traits.offered.value),
    ];
    setText(this.#notes, notes.filter(Boolean).join(" "));
  }

  #paintStatistic(): void {
    const { map, store, surroundings } = this.#view;
    const statistic = map.statistic.value;
    if (statistic === null) {
      for (const part of [this.#low, this.#high, this.#scale]) setText(part, "");
      this.#bar.style.backgroundImage = "none";
      return;
    }
    const [low, high] = statisticRange(map, statistic);
    const { amount } = surroundings.value.palette;
    setText(this.#low, mark(low));
    setText(this.#high, withUnit(Number.isNaN(high) ? "…" : mark(high), statistic.unit));
    setText(
      this.#scale,
      statistic.high === null ? GREATEST[store.traits.include_sinks.value ? "all" : "rest"] : "",
    );
    this.#bar.style.backgroundImage = `linear-gradient(to right, ${css(amount, 0)}, ${css(amount)})`;
  }

  #paintInfluence(): void {
    const { map, store, surroundings } = this.#view;
    const query = map.traits.query.value;
    const { kind } = map.reading.value;
    const [low, high] = scaleEnds(query, kind === "row" ? "targets" : "sources");
    const kept = store.traits.fixed_scale.value === null ? "" : ", kept";
    setText(this.#low, low);
    setText(this.#high, high);
    setText(this.#scale, (scaleNote(map.scale.value, query) || `… ${query.unit}`) + kept);
    const { palette } = surroundings.value;
    const gradient = query.divergence ? halfGradient(palette.needed) : signedGradient(palette);
    this.#bar.style.backgroundImage = gradient;
  }
}

/** The scale of influence: linear in the value, with the square root as opacity. */
function signedGradient({ hindering, needed }: Palette): string {
  const left = SHARES.map((share) => stop(hindering, share, 50 - 50 * share));
  const right = [...SHARES].reverse().map((share) => stop(needed, share, 50 + 50 * share));
  return `linear-gradient(to right, ${[...left, ...right].join(", ")})`;
}

function halfGradient(colour: Rgb): string {
  const stops = [...SHARES].reverse().map((share) => stop(colour, share, 100 * share));
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

const SHARES = [1, 0.8, 0.6, 0.4, 0.25, 0.12, 0.05, 0.01, 0];

function stop(colour: Rgb, share: number, at: number): string {
  return `${css(colour, Math.round(255 * Math.sqrt(share)))} ${at.toFixed(1)}%`;
}

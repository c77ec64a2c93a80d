/** Where each layer's influence goes: layers × offsets, as a heat map. */

import { computed, type ReadonlySignal } from "@preact/signals-core";
import { css } from "../../page/colour";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { mark, number, withUnit } from "../../page/format";
import {
  binLabel,
  binName,
  layerCaution,
  meanWords,
  offsetName,
  otherBaseline,
  percent,
  shareWords,
} from "../../page/overview-sentences";
import type { Bin } from "../../state/overview";
import type { Place } from "../grid/geometry";
import { GridView } from "../grid/grid";
import type { Picture } from "../grid/picture";
import type { View } from "../shared";
import { type Profile, paintProfile, profileOf } from "./profile-picture";
import type { SummaryOfView } from "./summary";

const NAME = "Mean magnitude of influence by layer and by how many tokens ahead the predicted token lies.";
const HINT = "A click colours the tokens that a cell averages.";

export class ProfileView {
  readonly #unit = h("div");
  readonly #share = h("button", { type: "button", class: "tool toggle" }, "as share");
  readonly #grid: GridView;
  readonly #bar = h("span", { class: "legend-bar", "aria-hidden": "true" });
  readonly #high = h("span");
  readonly #words = h("p", { class: "overview-words" });
  readonly element: HTMLElement;
  readonly #view: View;
  readonly #summary: SummaryOfView;
  #pointed: Place | null = null;
  readonly #profile: ReadonlySignal<Profile>;
  /** The offset that colours the tokens. A signal of its own, so that other readings repaint nothing here. */
  readonly #offset: ReadonlySignal<number | null>;

  constructor(view: View, summary: SummaryOfView) {
    this.#view = view;
    this.#summary = summary;
    const { frames, map, store } = view;
    const { traits } = store;
    this.#grid = new GridView({
      frames,
      canvas: "profile-map",
      upright: false,
      sizes: { narrowest: 3, widest: 64 },
      onPoint: (place) => {
        this.#pointed = place;
        // At once, since the next key moves on from here.
        this.#paintMarks();
      },
      onSelect: (place) => this.#select(place),
      onLeave: () => {
        if (map.reading.value.kind === "offset") store.selection.clear();
      },
    });
    this.element = h(
      "div",
      { class: "overview-part offset-profile" },
      h("div", { class: "overview-head" }, h("h4", {}, "Where each layer’s influence goes"), this.#share),
      h(
        "div",
        { class: "overview-sub quiet" },
        this.#unit,
        h("div", { class: "overview-scale" }, "0", this.#bar, this.#high),
      ),
      this.#grid.element,
      this.#words,
    );
    frames.onDispose(
      listen(this.#share, "click", () => {
        store.kernel.set({ profile_as_share: !traits.profile_as_share.value });
      }),
    );
    this.#profile = computed(() => {
      const { nTargets, nLayers } = map.rows.value;
      const { now } = summary;
      return profileOf(now, nLayers, nTargets, this.#window, (layer) => now.layers[layer]?.shock === true);
    });
    this.#offset = computed(() => (map.reading.value.kind === "offset" ? map.reading.value.offset : null));
    frames.watch(() => this.#paint());
    frames.watch(() => this.#paintMarks());
  }

  get #window(): number | null {
    const { traits, controls } = this.#view.map;
    return controls.profile_as_share.value ? traits.window.value : null;
  }

  #paint(): void {
    const { map, store, surroundings } = this.#view;
    const { traits } = store;
    const { unit } = map.traits.query.value;
    this.#share.hidden = map.traits.window.value === null;
    setAttribute(this.#share, "aria-pressed", String(traits.profile_as_share.value));
    const window = this.#window;
    const { palette } = surroundings.value;
    this.#grid.show(this.#picture());
    setText(
      this.#unit,
      window === null
        ? `mean magnitude${unit === "" ? "" : ` in ${unit}`}, by tokens ahead`
        : `share of the mean magnitudes within a window of ${window} tokens, by tokens ahead`,
    );
    const { scale } = this.#profile.value;
    const end = window === null ? withUnit(mark(scale), unit) : percent(scale);
    setText(this.#high, Number.isNaN(scale) ? "…" : `${end} or more`);
    const stops = [0, 0.02, 0.1, 0.3, 0.6, 1].map(
      (at) => `${css(palette.amount, Math.round(255 * Math.sqrt(at)))} ${100 * at}%`,
    );
    this.#bar.style.backgroundImage = `linear-gradient(to right, ${stops.join(", ")})`;
  }

  #picture(): Picture {
    const { layers } = this.#summary.now;
    const { bins, nLayers } = this.#profile.value;
    const { palette, paper } = this.#view.surroundings.value;
    return {
      name: NAME,
      caption: NAME,
      corner: "layer",
      rows: { count: nLayers, label: String, name: (row) => layerName(row, otherBaseline(layers[row])) },
      columns: {
        count: bins.length,
        label: (column) => this.#label(column),
        name: (column) => binName(bins[column]?.first ?? 0, bins[column]?.last ?? 0),
        strengths: labelStrengths(bins),
      },
      ...paintProfile(this.#profile.value, palette.amount, this.#summary.furthest),
      paper,
      hatched: (row) => layers[row]?.shock === true,
      value: (place) => this.#value(place),
      words: (place) => this.#wordsOf(place),
    };
  }

  #label(column: number): string {
    const bin = this.#profile.value.bins[column];
    return bin === undefined ? "" : binLabel(bin.first, bin.last);
  }

  /** The value of a cell, and the number of pairs it averages. */
  #value({ row, column }: Place): string {
    const { bins, values } = this.#profile.value;
    const bin = bins[column];
    const value = values[row * bins.length + column] ?? Number.NaN;
    if (bin === undefined || Number.isNaN(value)) return "";
    const { n } = this.#summary.now.mean(row, bin);
    const { unit } = this.#view.map.traits.query.value;
    const shown = this.#window === null ? withUnit(number(value), unit) : percent(value);
    return `${shown} (n = ${n})`;
  }

  /** Describes a whole cell, or the one offset in it that colours the tokens. */
  #wordsOf({ row, column }: Place, offset: number | null = null): string {
    const { map } = this.#view;
    const cell = this.#profile.value.bins[column];
    if (cell === undefined) return "";
    const bin = offset === null ? cell : { first: offset, last: offset };
    const single = bin.first === bin.last;
    const { now } = this.#summary;
    const { mean, n } = now.isEnough(row) ? now.mean(row, bin) : { mean: Number.NaN, n: 0 };
    const caution = layerCaution(now.layers[row], now.nSources(row), now.nCounted);
    const window = this.#window;
    const share = window === null ? Number.NaN : mean / now.total(row, window);
    return [
      `layer ${row}`,
      offset === null ? binName(bin.first, bin.last) : offsetName(offset, cell.first, cell.last),
      ...(window === null || n === 0 ? [] : [shareWords(share, window, single)]),
      meanWords(mean, n, map.traits.query.value.unit, single, bin.first <= this.#summary.furthest),
      caution,
    ]
      .filter((words) => words !== "")
      .join(" · ");
  }

  #paintMarks(): void {
    const { map } = this.#view;
    const layer = map.layer.value;
    const { bins } = this.#profile.value;
    const offset = this.#offset.value;
    const column = bins.findIndex(({ first, last }) => offset !== null && offset >= first && offset <= last);
    const cell = column < 0 ? null : { row: layer, column };
    const cursor = this.#pointed;
    this.#grid.mark({ row: layer, cell, cursor });
    const isCell = cursor === null || (cursor.row === cell?.row && cursor.column === cell.column);
    const told = cursor ?? cell;
    setText(this.#words, told === null ? HINT : this.#wordsOf(told, isCell ? offset : null));
  }

  /** Selects the strongest offset of a cell; a second click releases it. */
  #select({ row, column }: Place): void {
    const { map, store } = this.#view;
    const bin = this.#profile.value.bins[column];
    if (bin === undefined) return;
    const offset = this.#summary.now.highest(row, bin);
    const again = this.#offset.value === offset && map.layer.value === row;
    store.selection.selectOffset(row, again ? null : offset);
  }
}

function layerName(layer: number, baseline: string): string {
  return baseline === "" ? `layer ${layer}` : `layer ${layer}, ${baseline}`;
}

/** Ranges have long labels, so they get fewer, and none at the end, where there is no room. */
function labelStrengths(bins: readonly Bin[]): readonly number[] {
  return bins.map(({ first, last }, column) => {
    if (column > bins.length - 3 && first !== last) return 0;
    if (column === 0) return 3;
    return first === last ? (first % 5 === 0 ? 2 : 0) : column % 5 === 0 ? 1 : 0;
  });
}

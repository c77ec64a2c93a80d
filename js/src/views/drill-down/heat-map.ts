/** The heat map of one token: its influence on later tokens, or that of earlier ones on it, at every layer. */

import { computed, type ReadonlySignal } from "@preact/signals-core";
import type { Token } from "../../kernel/protocol";
import { isMostlyShock } from "../../kernel/traits";
import { h, setAttribute, setText } from "../../page/dom";
import { number, shortLabel, signed, withUnit } from "../../page/format";
import { AFTER_THE_PROMPT, cellMeaning, cellPlace, cellValue, named } from "../../page/sentences";
import { anchorOf, type Cell, type Reading } from "../../state/reading";
import type { Place } from "../grid/geometry";
import { GridView } from "../grid/grid";
import type { Picture, Sum } from "../grid/picture";
import { contextOf, type View } from "../shared";
import {
  cellOf,
  columnStrengths,
  type Drilled,
  drill,
  knownOf,
  type LayerSum,
  layerSums,
  pixelsOf,
  placeOf,
  valueAt,
} from "./layers-of";

/** Columns weaker than this share of the scale get no label. */
const LABEL_LEAST = 0.12;
const LONGEST_LABEL = 12;

export class HeatMapView {
  /** A line about the cell or the layer under the pointer; its room is reserved. */
  readonly #quick = h("p", { class: "quick" });
  readonly #grid: GridView;
  readonly element: HTMLElement;
  readonly #view: View;
  readonly #drilled: ReadonlySignal<Drilled | null>;
  #sums: readonly LayerSum[] = [];
  /** The layer whose sum was spoken last. */
  #spoken: number | null = null;
  /** The reading that was painted last. */
  #reading: Reading | null = null;

  constructor(view: View) {
    this.#view = view;
    const { frames, map, store } = view;
    this.#grid = new GridView({
      frames,
      canvas: "heat-map",
      upright: true,
      onPoint: (place) => this.#point(place),
      onSelect: (place, event) => this.#select(place, event),
      onPointRow: (row) => this.#paintQuick(row),
      onSelectRow: (row) => store.selection.selectLayer(row),
      onLeave: () => this.#leave(),
    });
    this.element = h("div", { class: "map-room" }, this.#quick, this.#grid.element);
    // Selecting a cell in the same row repaints nothing.
    let last = map.reading.peek();
    const reading = computed(() => {
      const now = map.reading.value;
      if (now.kind !== last.kind || anchorOf(now) !== anchorOf(last)) last = now;
      return last;
    });
    this.#drilled = computed(() => drill(map.rows.value, reading.value));
    frames.watch(() => this.#paint());
    frames.watch(() => this.#paintMarks());
  }

  focus(): void {
    this.#grid.focus();
  }

  #paint(): void {
    const { map } = this.#view;
    const drilled = this.#drilled.value;
    const turned = drilled?.reading !== this.#reading;
    this.#reading = drilled?.reading ?? null;
    if (drilled === null) return;
    const { reading } = drilled;
    const { canvas } = this.#grid;
    const scale = map.scale.value;
    this.#sums = layerSums(drilled, map.traits.layer_info.value);
    this.#grid.show(this.#picture(drilled, scale));
    // Another row or column is shown from the token's own end.
    const column = reading.kind === "row" ? 0 : drilled.nColumns - 1;
    if (turned && map.cell.peek() === null) this.#grid.reveal({ row: 0, column });
    setAttribute(canvas, "data-source", reading.kind === "row" ? reading.source : false);
    setAttribute(canvas, "data-target", reading.kind === "column" ? reading.target : false);
    setAttribute(canvas, "data-scale", Number.isNaN(scale) ? "" : scale);
    setAttribute(canvas, "data-rows", this.#sums.filter(({ complete }) => complete).length);
  }

  #picture(drilled: Drilled, scale: number): Picture {
    const { map, surroundings } = this.#view;
    const { tokens, query, layers } = contextOf(map);
    const { palette, paper } = surroundings.value;
    const { reading, nLayers, nColumns, first } = drilled;
    const inRow = reading.kind === "row";
    const anchor = named(tokens, anchorOf(reading) ?? 0);
    const unit = query.unit === "" ? query.metric : query.unit;
    return {
      name: inRow
        ? `Influence of ${anchor} at ${nLayers} layers on ${nColumns} later tokens.`
        : `Influence on ${anchor} of ${nColumns} earlier tokens at ${nLayers} layers.`,
      caption: inRow
        ? `Influence of ${anchor} on later tokens, by layer, in ${unit}`
        : `Influence of earlier tokens on ${anchor}, by layer, in ${unit}`,
      corner: "layer",
      rows: { count: nLayers, label: String, name: String },
      columns: {
        count: nColumns,
        label: (column) => columnLabel(tokens, first + column),
        name: (column) => named(tokens, first + column),
        strengths: columnStrengths(drilled, layers, LABEL_LEAST * scale),
      },
      pixels: pixelsOf(drilled, scale, layers, palette),
      known: knownOf(drilled),
      paper,
      hatched: (layer) => layers[layer]?.shock === true,
      sums: this.#sums.map((sum, layer) => this.#sumOf(sum, layer)),
      sumsName: "sum of magnitudes",
      value: (place) => {
        const value = valueAt(drilled, place);
        return Number.isNaN(value) ? "…" : signed(value);
      },
      words: (place) => this.#words(drilled, place),
    };
  }

  #sumOf({ sum, share, shocked }: LayerSum, layer: number): Sum {
    return {
      share,
      hatched: shocked,
      text: Number.isNaN(sum) ? "…" : number(sum),
      words: this.#sumWords(layer),
    };
  }

  /** `layer 12 · sum of magnitudes 31.8 nats · …` */
  #sumWords(layer: number): string {
    const { query, layers } = contextOf(this.#view.map);
    const { sum = Number.NaN, nKnown = 0 } = this.#sums[layer] ?? {};
    if (Number.isNaN(sum)) return `layer ${layer} · not computed yet`;
    const nColumns = this.#drilled.value?.nColumns ?? 0;
    const some = nKnown < nColumns ? ` · ${nKnown} of ${nColumns} cells are here` : "";
    const shock = isMostlyShock(layers[layer]) ? " · mostly the shock of its baseline" : "";
    return `layer ${layer} · sum of magnitudes ${withUnit(number(sum), query.unit)}${some}${shock}`;
  }

  #paintMarks(): void {
    const { cursor, map } = this.#view;
    const drilled = this.#drilled.value;
    if (drilled === null) return;
    this.#grid.mark({
      row: map.layer.value,
      cell: placeOf(drilled, map.cell.value),
      cursor: placeOf(drilled, cursor.value),
    });
    this.#paintQuick(null);
  }

  /** Describes what is under the pointer: a layer's bar, or a cell. */
  #paintQuick(row: number | null): void {
    const { cursor, map } = this.#view;
    const cell = cursor.value;
    const { tokens, query } = contextOf(map);
    if (row !== null) setText(this.#quick, this.#sumWords(row));
    else if (cell !== null)
      setText(
        this.#quick,
        `${cellValue(this.#valueOf(cell), query)} · ${cellPlace(tokens, cell.layer, cell.source, cell.target)}`,
      );
    else
      setText(
        this.#quick,
        `Layers from the bottom up; ${this.#drilled.value?.reading.kind === "column" ? "earlier" : "later"} tokens from left to right; bars: sum of magnitudes`,
      );
    setAttribute(this.#quick, "data-quiet", row === null && cell === null);
  }

  #valueOf({ layer, source, target }: Cell): number | undefined {
    return this.#view.map.rows.value.influence(layer, source, target);
  }

  #point(place: Place | null): void {
    const drilled = this.#drilled.value;
    this.#view.cursor.value = place === null || drilled === null ? null : cellOf(drilled, place);
  }

  /** Selects a cell; a second click releases it. */
  #select(place: Place, event: Event): void {
    const drilled = this.#drilled.value;
    if (drilled === null) return;
    const { map, store, timePainting } = this.#view;
    const cell = cellOf(drilled, place);
    if (cell === null) return;
    const fixed = placeOf(drilled, map.cell.peek());
    if (fixed?.row === place.row && fixed.column === place.column) store.selection.releaseCell();
    else store.selection.selectCell(cell);
    timePainting(event.timeStamp);
  }

  /** Moves the focus back to the selected token in the text. */
  #leave(): void {
    const root = this.element.getRootNode();
    const anchor = anchorOf(this.#view.map.reading.peek());
    if (root instanceof ShadowRoot || root instanceof Document)
      root.querySelector<HTMLElement>(`.text [data-position="${anchor}"]`)?.focus();
  }

  #words(drilled: Drilled, place: Place): string {
    const cell = cellOf(drilled, place);
    if (cell === null) return "";
    const context = contextOf(this.#view.map);
    const value = valueAt(drilled, place);
    const where = cellPlace(context.tokens, cell.layer, cell.source, cell.target);
    const meaning = cellMeaning(context, cell.layer, cell.target, value);
    const sum = place.row === this.#spoken ? "" : ` All of ${this.#sumWords(place.row)}.`;
    this.#spoken = place.row;
    return `${cellValue(value, context.query)}, ${where}. ${meaning}${sum}`;
  }
}

function columnLabel(tokens: readonly Token[], position: number): string {
  const token = tokens[position];
  return token === undefined ? AFTER_THE_PROMPT : shortLabel(token, LONGEST_LABEL);
}

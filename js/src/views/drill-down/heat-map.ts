/** The state of one token at every layer, and every later token it is used by: one cell for each pair. */

import { type Signal, signal } from "@preact/signals-core";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { oneLine, quote } from "../../page/format";
import { cellMeaning, cellPlace, cellValue } from "../../page/sentences";
import {
  cellAt,
  columnStrengths,
  cornerOf,
  type Grid,
  gridOf,
  labelled,
  paintCells,
  within,
} from "./heat-map-geometry";
import { type Cell, contextOf, type View } from "../shared";

/** Room for the labels of the rows, in CSS pixels: as in the style sheet. */
const AXIS = 34;
/** Closest distance of two labels, in CSS pixels. */
const LABEL_GAP = 13;
/** Columns weaker than this share of the scale get no label. */
const LABEL_LEAST = 0.12;

export class HeatMapView {
  readonly #ground = h("div", { class: "ground" });
  readonly #canvas = h("canvas", { class: "heat-map" });
  readonly #rowFrame = h("div", { class: "row-frame" });
  readonly #cellFrame = h("div", { class: "cell-frame" });
  readonly #cursorFrame = h("div", { class: "cursor-frame" });
  readonly #rowLabels = h("div", { class: "row-labels", "aria-hidden": "true" });
  readonly #columnLabels = h("div", { class: "column-labels", "aria-hidden": "true" });
  /** Takes the focus; arrows move its cursor. */
  readonly #plot = h(
    "div",
    { class: "plot", role: "application", tabindex: 0, "aria-roledescription": "heat map" },
    this.#ground,
    this.#canvas,
    this.#rowFrame,
    this.#cellFrame,
    this.#cursorFrame,
  );
  /** Tells what the keyboard's cursor is on. */
  readonly #spoken = h("div", { class: "unseen", "aria-live": "polite" });
  readonly element = h(
    "div",
    { class: "map-room" },
    h(
      "div",
      { class: "map" },
      this.#rowLabels,
      h("div", { class: "map-body" }, this.#plot, this.#columnLabels),
    ),
    this.#spoken,
  );

  readonly #view: View;
  readonly #room: Signal<number> = signal(0);
  #grid: Grid = gridOf(0, 0, 0, 0);

  constructor(view: View) {
    this.#view = view;
    const { store, frames, cursor } = view;
    const { traits } = store;
    if (typeof ResizeObserver !== "undefined") {
      const observer = new ResizeObserver(() => {
        const room = this.#measure();
        if (room > 0) this.#room.value = room;
      });
      observer.observe(this.element);
      frames.keep(() => observer.disconnect());
    }
    frames.keep(listen(this.#plot, "pointermove", (event) => this.#point(this.#cellUnder(event))));
    frames.keep(listen(this.#plot, "pointerleave", () => this.#point(null)));
    frames.keep(listen(this.#plot, "blur", () => this.#point(null)));
    frames.keep(listen(this.#plot, "click", (event) => this.#select(this.#cellUnder(event))));
    frames.keep(listen(this.#plot, "keydown", (event) => this.#key(event)));
    const shape = [traits.tokens, traits.n_layers, store.source, this.#room];
    const values = [...shape, store.rows, store.arrived, store.scale, traits.layers, view.surroundings];
    frames.watch(values, () => {
      this.#layOut();
      this.#paint();
    });
    frames.watch([...values, store.layer, store.target, cursor], () => this.#paintLabels());
    frames.watch([...shape, store.layer, store.target, cursor], () => this.#paintFrames());
  }

  /** Width for cells, beside the labels of the rows; 0 while the panel is closed. */
  #measure(): number {
    return Math.max(0, Math.floor(this.element.clientWidth - AXIS));
  }

  #layOut(): void {
    const { store } = this.#view;
    const source = store.source.value;
    if (source === null) return;
    const { nTokens, nLayers } = store.rows.value;
    // Out of the page there is nothing to measure: the last room is the best guess of the next.
    this.#grid = gridOf(source, nTokens, nLayers, this.#measure() || this.#room.value);
    const { nTargets, width, height } = this.#grid;
    this.#plot.style.width = `${nTargets * width}px`;
    this.#plot.style.height = `${nLayers * height}px`;
    this.#rowLabels.style.height = `${nLayers * height}px`;
    // Setting its size clears a canvas: only ever together with painting it.
    if (this.#canvas.width !== nTargets) this.#canvas.width = nTargets;
    if (this.#canvas.height !== nLayers) this.#canvas.height = nLayers;
    if (this.#ground.childElementCount !== nLayers)
      this.#ground.replaceChildren(...Array.from({ length: nLayers }, () => h("div")));
    setAttribute(this.#canvas, "data-source", source);
    const token = quote(store.traits.tokens.value[source]);
    setAttribute(
      this.#plot,
      "aria-label",
      `Influence of ${token}, token ${source}, at ${nLayers} layers on ${nTargets} later tokens. ` +
        "Arrow keys move, Enter selects, Escape returns to the text.",
    );
  }

  #paint(): void {
    const { store, surroundings } = this.#view;
    const source = store.source.value;
    if (source === null) return;
    const layers = store.traits.layers.value;
    const rows = store.rows.value;
    const { nTargets, nLayers } = this.#grid;
    const pixels = new Uint8ClampedArray(4 * nTargets * nLayers);
    const scale = store.scale.value;
    const painted = paintCells(pixels, rows, source, scale, layers, surroundings.value.palette);
    if (pixels.length > 0)
      this.#canvas.getContext("2d")?.putImageData(new ImageData(pixels, nTargets, nLayers), 0, 0);
    setAttribute(this.#canvas, "data-scale", Number.isNaN(scale) ? "" : scale);
    setAttribute(this.#canvas, "data-rows", painted);
    for (let layer = 0; layer < nLayers; layer += 1) {
      const row = this.#ground.children[nLayers - 1 - layer];
      const kind =
        rows.row(layer, source) === undefined ? "pending" : layers[layer]?.shock ? "shock" : "done";
      if (row !== undefined) setAttribute(row, "class", kind);
    }
  }

  #paintLabels(): void {
    const { store, cursor } = this.#view;
    const source = store.source.value;
    if (source === null) return;
    const { nLayers, nTargets, width, height } = this.#grid;
    const tokens = store.traits.tokens.value;
    const layers = store.traits.layers.value;

    const atLayer = cursor.value?.layer ?? store.layer.value;
    const step = [1, 2, 5, 10, 20, 50].find((candidate) => candidate * height >= 22) ?? 100;
    const even = Array.from({ length: nLayers }, (_, layer) =>
      layer === nLayers - 1 ? 3 : layer % step === 0 ? 2 : 0,
    );
    this.#rowLabels.replaceChildren(
      ...labelled(even, height, LABEL_GAP, 1, [atLayer]).map((layer) => {
        const label = h("span", { class: layer === atLayer ? "here" : "" }, String(layer));
        label.style.top = `${(nLayers - 0.5 - layer) * height}px`;
        return label;
      }),
    );

    const target = cursor.value?.target ?? store.target.value;
    const wanted = [target, store.target.value].flatMap((t) => (t === null ? [] : [t - source - 1]));
    const strengths = columnStrengths(store.rows.value, source, layers);
    this.#columnLabels.style.width = `${nTargets * width}px`;
    this.#columnLabels.replaceChildren(
      ...labelled(strengths, width, LABEL_GAP, LABEL_LEAST * store.scale.value, wanted).map((column) => {
        const position = source + 1 + column;
        const token = tokens[position];
        const text = token === undefined ? "" : oneLine(token, 12).trim() || "␣";
        const label = h("span", { class: position === target ? "here" : "" }, text);
        label.style.left = `${(column + 0.5) * width}px`;
        return label;
      }),
    );
  }

  #paintFrames(): void {
    const { store, cursor } = this.#view;
    if (store.source.value === null) return;
    const grid = this.#grid;
    const layer = store.layer.value;
    place(
      this.#rowFrame,
      cornerOf(grid, { layer, target: grid.source + 1 }),
      grid.nTargets * grid.width,
      grid.height,
    );
    const selected = store.target.value;
    this.#cellFrame.hidden = selected === null;
    if (selected !== null)
      place(this.#cellFrame, cornerOf(grid, { layer, target: selected }), grid.width, grid.height);
    this.#cursorFrame.hidden = cursor.value === null;
    if (cursor.value !== null)
      place(this.#cursorFrame, cornerOf(grid, cursor.value), grid.width, grid.height);
  }

  #cellUnder(event: MouseEvent): Cell | null {
    const box = this.#plot.getBoundingClientRect();
    return cellAt(this.#grid, event.clientX - box.left, event.clientY - box.top);
  }

  #point(cell: Cell | null): void {
    const current = this.#view.cursor.peek();
    if (current?.layer !== cell?.layer || current?.target !== cell?.target) this.#view.cursor.value = cell;
  }

  #select(cell: Cell | null): void {
    if (cell === null) return;
    const { store } = this.#view;
    const again = cell.layer === store.layer.value && cell.target === store.target.value;
    store.selectCell(cell.layer, again ? null : cell.target);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { store, cursor } = this.#view;
    const grid = this.#grid;
    if (grid.nTargets === 0) return;
    const fresh = cursor.value === null;
    const from = cursor.value ?? {
      layer: store.layer.value,
      target: store.target.value ?? grid.source + 1,
    };
    const move = (layers: number, targets: number): void => {
      // The first key shows the cursor where it is.
      const cell = fresh ? from : { layer: from.layer + layers, target: from.target + targets };
      this.#point(within(grid, cell));
      this.#speak();
    };
    switch (event.key) {
      case "ArrowUp":
        move(1, 0);
        break;
      case "ArrowDown":
        move(-1, 0);
        break;
      case "ArrowRight":
        move(0, 1);
        break;
      case "ArrowLeft":
        move(0, -1);
        break;
      case "Home":
        move(0, -grid.nTargets);
        break;
      case "End":
        move(0, grid.nTargets);
        break;
      case "Enter":
      case " ":
        this.#select(from);
        this.#point(from);
        this.#speak();
        break;
      case "Escape":
        this.#leave();
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** Back to the selected token in the text. */
  #leave(): void {
    this.#point(null);
    const root = this.element.getRootNode();
    if (root instanceof ShadowRoot || root instanceof Document)
      root.querySelector<HTMLElement>(`[data-position="${this.#grid.source}"]`)?.focus();
  }

  #speak(): void {
    const { store, cursor } = this.#view;
    const cell = cursor.value;
    if (cell === null) return;
    const context = contextOf(store);
    const { source } = this.#grid;
    const value = store.rows.value.influence(cell.layer, source, cell.target);
    const place = cellPlace(context.tokens, cell.layer, source, cell.target);
    setText(
      this.#spoken,
      `${cellValue(value, context.query)}, ${place}. ${cellMeaning(context, cell.layer, cell.target, value)}`,
    );
  }
}

function place(frame: HTMLElement, corner: { x: number; y: number }, width: number, height: number): void {
  frame.style.left = `${corner.x}px`;
  frame.style.top = `${corner.y}px`;
  frame.style.width = `${width}px`;
  frame.style.height = `${height}px`;
}

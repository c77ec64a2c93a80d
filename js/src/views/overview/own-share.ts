/** The own share by layer: the median of the tokens, and their middle half; layers run from the bottom up. */

import { type Signal, signal } from "@preact/signals-core";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { number } from "../../page/format";
import { layerCaution, spreadWords } from "../../page/overview-sentences";
import { svg } from "../../page/svg";
import type { Spread } from "../../state/overview";
import { layOut } from "../grid/geometry";
import type { View } from "../shared";
import { bandOf, linesOf } from "./spread-geometry";
import type { SummaryOfView } from "./summary";

export class OwnShareView {
  readonly #bands = svg("g", { class: "spread-bands" });
  readonly #lines = svg("g", { class: "spread-lines" });
  readonly #drawing = svg(
    "svg",
    { class: "spread-drawing", preserveAspectRatio: "none", "aria-hidden": "true" },
    this.#bands,
    this.#lines,
  );
  readonly #dots = h("div", { class: "spread-dots" });
  readonly #frame = h("div", { class: "spread-frame" });
  readonly #plot = h(
    "div",
    { class: "spread-plot", role: "slider", tabindex: 0, "aria-orientation": "vertical", "aria-valuemin": 0 },
    this.#dots,
    this.#drawing,
    this.#frame,
  );
  readonly #labels = h("div", { class: "row-labels", "aria-hidden": "true" });
  readonly #words = h("p", { class: "overview-words" });
  readonly #toggle = h(
    "button",
    { type: "button", class: "plain quiet", "aria-expanded": "false" },
    "As a table",
  );
  readonly #table = h("table", { class: "spread-table", hidden: true });
  readonly element: HTMLElement;
  readonly #view: View;
  readonly #summary: SummaryOfView;
  readonly #pointed: Signal<number | null> = signal(null);

  constructor(view: View, summary: SummaryOfView) {
    this.#view = view;
    this.#summary = summary;
    this.element = h(
      "div",
      { class: "overview-part own-share" },
      h("div", { class: "overview-head" }, h("h4", {}, "Own share by layer")),
      h(
        "p",
        { class: "overview-sub quiet" },
        "share of influence on the next token: median, and middle half of the tokens",
      ),
      h("div", { class: "spread" }, this.#labels, this.#plot),
      h(
        "div",
        { class: "spread-axis quiet", "aria-hidden": "true" },
        ...["0", "0.5", "1"].map((label) => h("span", {}, label)),
      ),
      this.#toggle,
      this.#table,
      this.#words,
    );
    setAttribute(this.#plot, "aria-label", "Layer, with the own share of its tokens");
    this.#listen();
    view.frames.watch(() => this.#paint());
    view.frames.watch(() => this.#paintMarks());
  }

  #listen(): void {
    const { frames, store } = this.#view;
    frames.onDispose(
      listen(this.#plot, "pointermove", (event) => {
        this.#pointed.value = this.#layerAt(event);
      }),
    );
    frames.onDispose(
      listen(this.#plot, "pointerleave", () => {
        this.#pointed.value = null;
      }),
    );
    frames.onDispose(
      listen(this.#plot, "click", (event) => {
        const layer = this.#layerAt(event);
        if (layer !== null) store.selection.selectLayer(layer);
      }),
    );
    frames.onDispose(listen(this.#plot, "keydown", (event) => this.#key(event)));
    frames.onDispose(
      listen(this.#toggle, "click", () => {
        this.#table.hidden = !this.#table.hidden;
        setAttribute(this.#toggle, "aria-expanded", String(!this.#table.hidden));
        setText(this.#toggle, this.#table.hidden ? "As a table" : "Close the table");
        this.#paintTable();
      }),
    );
  }

  get #nLayers(): number {
    return this.#view.map.rows.value.nLayers;
  }

  #paint(): void {
    const { map } = this.#view;
    const layers = map.traits.layer_info.value;
    const nLayers = this.#nLayers;
    const { height } = layOut(nLayers, 1, 1);
    this.#plot.style.blockSize = `${nLayers * height}px`;
    setAttribute(this.#drawing, "viewBox", `0 0 1 ${Math.max(1, nLayers)}`);
    const spreads = Array.from({ length: nLayers }, (_, layer) => this.#summary.now.spread(layer));
    // The line leaves out layers where the mean is a shock, whatever replaces it.
    const counted = spreads.map((spread, layer) => (layers[layer]?.shock === true ? null : spread));
    draw(this.#bands, "polygon", bandOf(counted));
    draw(this.#lines, "polyline", linesOf(counted));
    this.#paintDots(spreads);
    this.#paintLabels(height);
    this.#paintTable();
  }

  #paintDots(spreads: readonly (Spread | null)[]): void {
    const layers = this.#view.map.traits.layer_info.value;
    const n = spreads.length;
    if (this.#dots.childElementCount !== n)
      this.#dots.replaceChildren(...Array.from({ length: n }, () => h("div", {}, h("i"))));
    for (const [layer, spread] of spreads.entries()) {
      const row = this.#dots.children[n - 1 - layer];
      const dot = row?.firstElementChild;
      if (row === undefined || !(dot instanceof HTMLElement)) continue;
      const partial = !this.#summary.now.isComplete(layer);
      const shock = layers[layer]?.shock === true;
      const known = spread !== null || (!partial && this.#summary.now.nSources(layer) > 0);
      setAttribute(row, "class", known ? (shock ? "shock" : "done") : "pending");
      setAttribute(dot, "data-hollow", partial || shock);
      dot.hidden = spread === null;
      setAttribute(dot, "style", `left: ${(100 * (spread?.median ?? 0)).toFixed(2)}%`);
    }
  }

  #paintLabels(height: number): void {
    const n = this.#nLayers;
    const every = [1, 2, 5, 10, 20, 50].find((step) => step * height >= 22) ?? 100;
    const shown = Array.from({ length: n }, (_, layer) => layer).filter(
      (layer) => layer % every === 0 || layer === n - 1,
    );
    const free = shown.filter((layer) => layer === n - 1 || (n - 1 - layer) * height >= 13);
    const key = `${n} ${height}`;
    if (this.#labels.dataset["key"] === key) return;
    this.#labels.dataset["key"] = key;
    this.#labels.replaceChildren(
      ...free.map((layer) => h("span", { style: `top: ${(n - 0.5 - layer) * height}px` }, String(layer))),
    );
  }

  #paintMarks(): void {
    const { map } = this.#view;
    const n = this.#nLayers;
    const layer = map.layer.value;
    const { height } = layOut(n, 1, 1);
    this.#frame.hidden = n === 0;
    setAttribute(this.#frame, "style", `top: ${(n - 1 - layer) * height}px; height: ${height}px`);
    setText(this.#words, this.#wordsOf(this.#pointed.value ?? layer));
    setAttribute(this.#plot, "aria-valuemax", Math.max(0, n - 1));
    setAttribute(this.#plot, "aria-valuenow", layer);
    setAttribute(this.#plot, "aria-valuetext", this.#wordsOf(layer));
  }

  #wordsOf(layer: number): string {
    const { traits } = this.#view.map;
    const { now } = this.#summary;
    const caution = layerCaution(traits.layer_info.value[layer], now.nSources(layer), now.nCounted);
    const words = spreadWords(now.spread(layer), traits.window.value, now.isComplete(layer));
    return [`layer ${layer}`, words, ...(caution === "" ? [] : [caution])].join(" · ");
  }

  #paintTable(): void {
    if (this.#table.hidden) {
      this.#table.replaceChildren();
      return;
    }
    const names = ["layer", "median", "lower quartile", "upper quartile", "tokens", "remark"];
    const layers = this.#view.map.traits.layer_info.value;
    const rows = Array.from({ length: this.#nLayers }, (_, i) => this.#nLayers - 1 - i).map((layer) => {
      const spread = this.#summary.now.spread(layer);
      const caution = layerCaution(
        layers[layer],
        this.#summary.now.nSources(layer),
        this.#summary.now.nCounted,
      );
      const numbers = spread === null ? ["", "", ""] : [spread.median, spread.low, spread.high].map(number);
      const cells = [...numbers, String(spread?.n ?? 0), caution].map((text) => h("td", {}, text));
      return h("tr", {}, h("th", { scope: "row" }, String(layer)), ...cells);
    });
    this.#table.replaceChildren(
      h("caption", { class: "unseen" }, "Own share by layer"),
      h("thead", {}, h("tr", {}, ...names.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...rows),
    );
  }

  #layerAt(event: MouseEvent): number | null {
    const box = this.#plot.getBoundingClientRect();
    const layer = this.#nLayers - 1 - Math.floor(((event.clientY - box.top) / box.height) * this.#nLayers);
    return layer >= 0 && layer < this.#nLayers ? layer : null;
  }

  #key(event: KeyboardEvent): void {
    const { map, store } = this.#view;
    const moves: Readonly<Record<string, number>> = {
      ArrowUp: map.layer.value + 1,
      ArrowRight: map.layer.value + 1,
      ArrowDown: map.layer.value - 1,
      ArrowLeft: map.layer.value - 1,
      PageUp: map.layer.value + 5,
      PageDown: map.layer.value - 5,
      Home: 0,
      End: this.#nLayers - 1,
    };
    const to = Object.hasOwn(moves, event.key) ? moves[event.key] : undefined;
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    store.selection.selectLayer(Math.max(0, Math.min(this.#nLayers - 1, to)));
  }
}

/** Draws one shape for each run of layers without a gap. */
function draw(group: SVGGElement, kind: "polygon" | "polyline", shapes: readonly string[]): void {
  while (group.childElementCount > shapes.length) group.lastElementChild?.remove();
  while (group.childElementCount < shapes.length) group.append(svg(kind));
  for (const [i, points] of shapes.entries()) {
    const shape = group.children[i];
    if (shape !== undefined) setAttribute(shape, "points", points);
  }
}

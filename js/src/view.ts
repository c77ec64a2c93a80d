/** One view of a store: an element in the page, with a shadow root of its own, and all that has to go with it. */

import { signal } from "@preact/signals-core";
import { css } from "./colour";
import { h, setAttribute } from "./dom";
import { Frames } from "./frames";
import type { Store } from "./store";
import controlsStyle from "./style/controls.css";
import drillDownStyle from "./style/drill-down.css";
import pageStyle from "./style/page.css";
import surroundingsStyle from "./style/surroundings.css";
import textStyle from "./style/text.css";
import { watchSurroundings } from "./theme";
import { DrillDownView } from "./views/drill-down";
import { LegendView } from "./views/legend";
import { ProgressView } from "./views/progress";
import type { Cell, View } from "./views/shared";
import { StatusView } from "./views/status";
import { TextView } from "./views/text";
import { ToolbarView } from "./views/toolbar";

/** Puts a view into `container`; returns the way to take it out again. */
export function mount(store: Store, container: HTMLElement): () => void {
  const root = h("div", {
    class: "horizon-widget",
    "data-state": "empty",
    // JupyterLab sees keys of a shadow root as keys of its host, and takes the arrows for itself.
    "data-lm-suppress-shortcuts": "true",
  });
  const shadow = root.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync([pageStyle, controlsStyle, textStyle, drillDownStyle, surroundingsStyle].join("\n"));
  shadow.adoptedStyleSheets = [sheet];
  container.append(root);

  const frames = new Frames();
  const [surroundings, stopWatching] = watchSurroundings(root);
  frames.keep(stopWatching);
  const timer = new PaintTimer(root);
  frames.keep(() => timer.stop());
  const view: View = {
    store,
    frames,
    surroundings,
    cursor: signal<Cell | null>(null),
    pointed: signal<number | null>(null),
    timePainting: (since) => timer.start(since),
  };

  // In the order in which they are painted.
  frames.watch([surroundings], () => {
    const { theme, paper, ink, palette } = surroundings.value;
    setAttribute(root, "data-theme", theme);
    const colours = {
      paper,
      ink,
      needed: palette.needed,
      hindering: palette.hindering,
      amount: palette.amount,
    };
    for (const [name, colour] of Object.entries(colours)) page.style.setProperty(`--${name}`, css(colour));
  });
  const toolbar = new ToolbarView(view);
  const progress = new ProgressView(view);
  const status = new StatusView(view);
  const text = new TextView(view);
  const legend = new LegendView(view);
  const drillDown = new DrillDownView(view);
  const page = h(
    "div",
    { class: "page" },
    toolbar.element,
    progress.element,
    status.element,
    text.element,
    legend.element,
    drillDown.element,
  );
  shadow.append(page);

  const { traits } = store;
  // Another source has other cells.
  frames.watch([store.source, store.rows], () => {
    const source = store.source.value;
    const cell = view.cursor.value;
    if (cell !== null && (source === null || cell.target <= source)) view.cursor.value = null;
  });
  // Last, so that `ready` is only said of what has been painted.
  frames.watch([traits.state, store.complete, store.connection, store.arrived, traits.error], () => {
    setAttribute(root, "data-state", stateOf(store));
  });
  frames.flush();

  return () => {
    frames.dispose();
    root.remove();
  };
}

function stateOf(store: Store): string {
  const state = store.traits.state.value;
  if (store.connection.value === "refused") return "error";
  return state === "ready" && !store.complete.value ? "computing" : state;
}

/** Notes as `data-painted-ms` how long a click took until its picture was on the screen. */
class PaintTimer {
  readonly #root: HTMLElement;
  #request: number | null = null;

  constructor(root: HTMLElement) {
    this.#root = root;
  }

  start(since: number): void {
    this.stop();
    // The first frame paints; when the second begins, that has been shown.
    this.#request = requestAnimationFrame(() => {
      this.#request = requestAnimationFrame(() => {
        this.#request = null;
        this.#root.dataset["paintedMs"] = (performance.now() - since).toFixed(1);
      });
    });
  }

  stop(): void {
    if (this.#request !== null) cancelAnimationFrame(this.#request);
    this.#request = null;
  }
}

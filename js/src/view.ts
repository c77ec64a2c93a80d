/** One view of a store: an element in the page, with a shadow root of its own, and all that has to go with it. */

import { signal } from "@preact/signals-core";
import { css } from "./page/colour";
import { h, setAttribute, setText } from "./page/dom";
import { Frames } from "./page/frames";
import { watchSurroundings } from "./page/theme";
import { type Cell, cellAt, positionOf } from "./state/reading";
import type { Store } from "./state/store";
import cellStyle from "./style/cell.css";
import controlsStyle from "./style/controls.css";
import drillDownStyle from "./style/drill-down.css";
import editorStyle from "./style/editor.css";
import gridStyle from "./style/grid.css";
import legendStyle from "./style/legend.css";
import overviewStyle from "./style/overview.css";
import pageStyle from "./style/page.css";
import statusStyle from "./style/status.css";
import surroundingsStyle from "./style/surroundings.css";
import textStyle from "./style/text.css";
import { EditorView } from "./views/controls/editor";
import { StatusView } from "./views/controls/status";
import { ToolbarView } from "./views/controls/toolbar";
import { DrillDownView } from "./views/drill-down/drill-down";
import { OverviewView } from "./views/overview/overview";
import type { View } from "./views/shared";
import { LegendView } from "./views/text/legend";
import { TextView } from "./views/text/text";

const STYLES = [
  pageStyle,
  controlsStyle,
  editorStyle,
  statusStyle,
  textStyle,
  legendStyle,
  gridStyle,
  drillDownStyle,
  cellStyle,
  overviewStyle,
  surroundingsStyle,
].join("\n");

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
  sheet.replaceSync(STYLES);
  shadow.adoptedStyleSheets = [sheet];
  container.append(root);

  const frames = new Frames();
  const [surroundings, stopWatching] = watchSurroundings(root);
  frames.keep(stopWatching);
  const timer = new PaintTimer(root);
  frames.keep(() => timer.stop());
  const spoken = h("div", { class: "unseen", "aria-live": "polite" });
  const view: View = {
    store,
    frames,
    surroundings,
    root,
    cursor: signal<Cell | null>(null),
    pointed: signal<number | null>(null),
    editing: signal(false),
    announce: (words) => setText(spoken, words),
    timePainting: (since) => timer.start(since),
  };

  // In the order in which they are painted.
  frames.watch(() => {
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
  const parts = [
    new ToolbarView(view),
    new StatusView(view),
    new EditorView(view),
    new TextView(view),
    new LegendView(view),
    new DrillDownView(view),
    new OverviewView(view),
  ];
  const page = h("div", { class: "page" }, ...parts.map(({ element }) => element), spoken);
  shadow.append(page);

  // Another reading has other cells.
  frames.watch(() => {
    const cell = view.cursor.value;
    if (cell !== null && !isShown(store, cell)) view.cursor.value = null;
  });
  // Last, so that `ready` is only said of what has been painted.
  frames.watch(() => {
    setAttribute(root, "data-state", stateOf(store));
    setAttribute(root, "data-connection", store.connection.state.value);
  });
  frames.flush();

  return () => {
    frames.dispose();
    root.remove();
  };
}

function isShown({ reading, rows }: Store, cell: Cell): boolean {
  const { nTokens, nTargets } = rows.value;
  const there = positionOf(reading.value, cell);
  const shown = cellAt(reading.value, cell.layer, there, nTokens, nTargets);
  return shown?.source === cell.source && shown.target === cell.target;
}

function stateOf(store: Store): string {
  const state = store.traits.state.value;
  if (store.connection.state.value === "refused") return "error";
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

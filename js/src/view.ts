/** One view of a map: an element with its own shadow root, its parts, and its clean-up. */

import { signal } from "@preact/signals-core";
import { css } from "./page/colour";
import { h, setAttribute, setText } from "./page/dom";
import { Frames } from "./page/frames";
import pageStyle from "./page/page.css";
import surroundingsStyle from "./page/surroundings.css";
import { watchSurroundings } from "./page/theme";
import type { InfluenceMap } from "./state/map";
import { type Cell, cellAt, positionOf } from "./state/reading";
import type { Store } from "./state/store";
import controlsStyle from "./views/controls/controls.css";
import { EditorView } from "./views/controls/editor";
import editorStyle from "./views/controls/editor.css";
import { StatusView } from "./views/controls/status";
import statusStyle from "./views/controls/status.css";
import { ToolbarView } from "./views/controls/toolbar";
import cellStyle from "./views/drill-down/cell.css";
import { DrillDownView } from "./views/drill-down/drill-down";
import drillDownStyle from "./views/drill-down/drill-down.css";
import gridStyle from "./views/grid/grid.css";
import linksStyle from "./views/links/link-list.css";
import { OverviewView } from "./views/overview/overview";
import overviewStyle from "./views/overview/overview.css";
import type { View } from "./views/shared";
import { LegendView } from "./views/text/legend";
import legendStyle from "./views/text/legend.css";
import { TextView } from "./views/text/text";
import textStyle from "./views/text/text.css";

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
  linksStyle,
  overviewStyle,
  surroundingsStyle,
].join("\n");

/** Puts a view of a map into `container`; returns a function that removes it. */
export function mount(store: Store, container: HTMLElement, map = store.maps.main): () => void {
  const root = h("div", {
    class: "horizon-widget",
    "data-state": "empty",
    // JupyterLab would otherwise handle the arrow keys itself.
    "data-lm-suppress-shortcuts": "true",
  });
  const shadow = root.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLES);
  shadow.adoptedStyleSheets = [sheet];
  container.append(root);

  const frames = new Frames();
  const [surroundings, unsubscribe] = watchSurroundings(root);
  frames.onDispose(unsubscribe);
  const timer = new PaintTimer(root);
  frames.onDispose(() => timer.stop());
  const spoken = h("div", { class: "unseen", "aria-live": "polite" });
  const view: View = {
    store,
    map,
    frames,
    surroundings,
    root,
    cursor: signal<Cell | null>(null),
    pointed: signal<number | null>(null),
    editing: signal(false),
    announce: (words) => setText(spoken, words),
    timePainting: (since) => timer.start(since),
  };

  // Parts are painted in this order.
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

  // A cursor on a cell of another reading is removed.
  frames.watch(() => {
    const cell = view.cursor.value;
    if (cell !== null && !isShown(map, cell)) view.cursor.value = null;
  });
  // Last, so that `ready` is set only after the paint.
  frames.watch(() => {
    setAttribute(root, "data-state", stateOf(store, map));
    setAttribute(root, "data-connection", store.kernel.connection.state.value);
  });
  frames.flush();

  return () => {
    frames.dispose();
    root.remove();
  };
}

function isShown({ reading, rows }: InfluenceMap, cell: Cell): boolean {
  const { nTokens, nTargets } = rows.value;
  const there = positionOf(reading.value, cell);
  const shown = cellAt(reading.value, cell.layer, there, nTokens, nTargets);
  return shown?.source === cell.source && shown.target === cell.target;
}

function stateOf(store: Store, map: InfluenceMap): string {
  const state = map.traits.state.value;
  if (store.kernel.connection.state.value === "refused") return "error";
  return state === "ready" && !map.complete.value ? "computing" : state;
}

/** Records in `data-painted-ms` the time from a click until its picture was on the screen. */
class PaintTimer {
  readonly #root: HTMLElement;
  #request: number | null = null;

  constructor(root: HTMLElement) {
    this.#root = root;
  }

  start(since: number): void {
    this.stop();
    // The first frame paints; its picture is on the screen when the second begins.
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

import { signal } from "@preact/signals-core";
import { afterEach, describe, expect, it } from "vitest";
import { PALETTES } from "../src/page/colour";
import { Frames } from "../src/page/frames";
import type { Cell } from "../src/state/reading";
import { sharedScale } from "../src/state/scale";
import type { Store } from "../src/state/store";
import { DrillDownView } from "../src/views/drill-down/drill-down";
import { barsAlong, farLink } from "../src/views/drill-down/pin-strip";
import type { View } from "../src/views/shared";
import {
  type FakeModel,
  finding,
  influence,
  openStore,
  queryOf,
  tellLayer,
  tellMap,
  traits,
  WORDS,
  welcome,
} from "./fake";

const open: (() => void)[] = [];

afterEach(() => {
  for (const close of open.splice(0)) close();
  document.body.replaceChildren();
});

interface Opened {
  readonly model: FakeModel;
  readonly store: Store;
  readonly view: View;
  readonly find: (selector: string) => HTMLElement;
  readonly all: (selector: string) => HTMLElement[];
  readonly texts: (selector: string) => (string | null)[];
  /** Paints what is waiting. */
  readonly paint: () => void;
}

/** The drill-down alone, over a store that a stand-in feeds. */
function opened(changes = {}): Opened {
  const { model, store } = openStore(changes);
  const frames = new Frames();
  const root = document.createElement("div");
  const view: View = {
    store,
    map: store.maps.main,
    frames,
    surroundings: signal({
      theme: "light" as const,
      paper: [255, 255, 255] as const,
      ink: [0, 0, 0] as const,
      palette: PALETTES.light,
    }),
    root,
    cursor: signal<Cell | null>(null),
    pointed: signal(null),
    editing: signal(false),
    announce: () => undefined,
    timePainting: () => undefined,
  };
  const { element } = new DrillDownView(view);
  root.append(element);
  document.body.append(root);
  store.kernel.greet();
  welcome(model);
  open.push(() => {
    frames.dispose();
    store.dispose();
  });
  const all = (selector: string): HTMLElement[] => [...element.querySelectorAll<HTMLElement>(selector)];
  const find = (selector: string): HTMLElement => {
    const [found] = all(selector);
    if (found === undefined) throw new Error(`no ${selector}`);
    return found;
  };
  frames.flush();
  return {
    model,
    store,
    view,
    find,
    all,
    texts: (selector) => all(selector).map(({ textContent }) => textContent),
    paint: () => frames.flush(),
  };
}

const CELL = { selected_layer: 1, selected_source: 3, selected_target: 7 };

describe("the drill-down", () => {
  it("is closed until a token is read, and names that token", () => {
    const { store, find, paint } = opened();
    expect(find(".drill-down").hidden).toBe(true);
    store.selection.selectToken(3);
    paint();
    expect(find(".drill-down").hidden).toBe(false);
    expect(find(".drill-head").textContent).toContain("“ key” (3) at every layer → every later token");
    store.selection.selectToken(7, "column");
    paint();
    expect(find(".drill-head").textContent).toContain("“ key” (7) ← every earlier token at every layer");
    store.selection.clear();
    paint();
    expect(find(".drill-down").hidden).toBe(true);
  });

  it("has a column for each later token of a source, and for each earlier one of a target", () => {
    const { model, store, find, paint } = opened({ selected_source: 3 });
    tellMap(model);
    paint();
    expect(find(".heat-map")).toMatchObject({ width: 4, height: 4 });
    expect(find(".heat-map").dataset).toMatchObject({ source: "3", scale: "4", rows: "4" });
    store.selection.selectToken(7, "column");
    paint();
    expect(find(".heat-map")).toMatchObject({ width: 7, height: 4 });
    expect(find(".heat-map").dataset["source"]).toBeUndefined();
    expect(find(".heat-map").dataset["target"]).toBe("7");
  });

  it("shows the prediction after the prompt if the metric has one", () => {
    const { model, find, texts, paint } = opened({ selected_source: 7, n_targets: 8 });
    tellMap(model, 8);
    paint();
    expect(find(".drill-body").hidden).toBe(false);
    expect(find(".heat-map")).toMatchObject({ width: 1 });
    expect(texts(".strongest .link-ends")[0]).toBe("after the prompt");
  });

  it("says that nothing comes after the last token", () => {
    const { find } = opened({ selected_source: 7 });
    expect(find(".drill-body").hidden).toBe(true);
    expect(find(".drill-down").textContent).toContain("nothing comes after it");
  });

  it("fills a column cell by cell as sources arrive", () => {
    const { model, store, find, all, texts, paint } = opened({ direction: "column", selected_target: 7 });
    expect(all(".ground > .pending")).toHaveLength(4);
    tellLayer(model, 1, [3]);
    paint();
    expect(find(".heat-map").dataset["rows"]).toBe("0");
    expect(find(".grid-veil").hidden).toBe(false);
    expect(texts(".strongest button:not([hidden]) .link-value")).toEqual(["+3.76"]);
    expect(all(".row-sum")[2]?.title).toBe("layer 1 · sum of magnitudes 3.76 nats · 1 of 7 cells are here");
    tellLayer(model, 1);
    paint();
    expect(find(".heat-map").dataset["rows"]).toBe("1");
    expect(store.maps.main.cell.value).toBeNull();
  });

  it("selects a cell by a click on the list, and releases it", () => {
    const { model, store, find, all, paint } = opened({ selected_source: 3 });
    tellMap(model);
    paint();
    all(".strongest button")[0]?.focus();
    all(".strongest button")[0]?.click();
    paint();
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 3, target: 7 });
    expect(find(".strongest-links").hidden).toBe(true);
    expect(find(".cell-frame").hidden).toBe(false);
    // The list that had the focus is gone.
    expect(document.activeElement).toBe(find(".card-actions button"));
    find(".card-actions button").click();
    paint();
    expect(document.activeElement).toBe(find(".plot"));
    expect(store.maps.main.cell.value).toBeNull();
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
    expect(find(".strongest-links").hidden).toBe(false);
  });

  it("links its cursor with the text, and releases a selected cell by a second Enter", () => {
    const { model, store, view, find, paint } = opened({ selected_source: 3 });
    tellMap(model);
    paint();
    const press = (key: string): void => {
      find(".plot").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
      paint();
    };
    press("End");
    expect(view.cursor.value).toEqual({ layer: 1, source: 3, target: 7 });
    expect(find(".quick").textContent).toBe(
      "+3.76 nats · layer 1 · “ key” (3) → “ key” (7) · 4 tokens ahead",
    );
    const spoken = find(".grid [aria-live]");
    expect(spoken.textContent).toContain("All of layer 1 · sum of magnitudes 4.84 nats.");
    press("ArrowLeft");
    expect(spoken.textContent).toMatch(/^−?\+?0\.25 nats, layer 1 · “ key” \(3\) → “ old” \(6\)/u);
    expect(spoken.textContent).not.toContain("sum of magnitudes");
    press("End");
    press("Enter");
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 3, target: 7 });
    press("Enter");
    expect(store.maps.main.cell.value).toBeNull();
  });
});

describe("the card of a cell", () => {
  it("says the value, its unit, place and meaning, whether it is exact, and what it does not show", () => {
    const { model, find, paint } = opened(CELL);
    tellMap(model);
    paint();
    expect(find(".readout-head").textContent).toBe(
      "+3.76 natsexact · baseline mean · layer 1 · “ key” (3) → “ key” (7) · 4 tokens ahead",
    );
    expect(find(".readout-meaning").textContent).toBe(
      "Removing this state makes “ key” less likely by 3.76 nats.",
    );
    expect(find(".caveat").textContent).toBe("Used later; this does not show that it was planned.");
  });

  it("calls an estimate an estimate", () => {
    const query = { ...traits().query, method: "gradient", exact: false };
    const { model, find, paint } = opened({ ...CELL, query });
    tellMap(model);
    paint();
    expect(find(".readout-kind").textContent).toBe("an estimate · baseline mean");
  });

  it("says if a number is mostly the shock of its baseline", () => {
    const layer = { baseline: "mean", shock: true, replaced: false, noise_floor: 0.001, n_done: 8 };
    const { model, find, paint } = opened({ ...CELL, layer_info: [layer, layer, layer, layer] });
    tellMap(model);
    paint();
    expect(find(".readout-kind").textContent).toBe("exact, but mostly the shock of its baseline (mean)");
  });

  it("keeps the selected cell while the pointer is on others, which have a line of their own", () => {
    const { model, view, find, paint } = opened(CELL);
    tellMap(model);
    view.cursor.value = { layer: 0, source: 3, target: 5 };
    paint();
    expect(find(".readout-value").textContent).toBe("+3.76 nats");
    expect(find(".quick").textContent).toContain("layer 0 · “ key” (3) → “ the” (5)");
    expect(influence(0, 3, 5)).toBeLessThan(0);
    expect(find(".quick").textContent).toContain("−0.33 nats");
  });

  it("waits for the aspects always asked, and shows each as it arrives", () => {
    const { model, find, all, texts, paint } = opened(CELL);
    expect(find("[data-aspect=direct] .aspect-note").textContent).toBe("Waits for the value itself.");
    tellMap(model);
    paint();
    expect(find("[data-aspect=direct] .aspect-note").textContent).toContain(
      "every other token at its clean state",
    );
    const status = (): (string | undefined)[] => all(".aspect").map(({ dataset }) => dataset["status"]);
    expect(status()).toEqual(["pending", "pending", "unasked", "pending", "unasked"]);
    for (const aspect of ["predictions", "direct", "baseline_sensitivity"] as const)
      model.tell(finding(aspect));
    paint();
    expect(status()).toEqual(["found", "found", "unasked", "found", "unasked"]);
    expect(texts(".predictions tbody tr")).toEqual(["“ key” in the prompt90 %2 %", "“ lamp”1 %20 %"]);
    const [direct, indirect] = texts("[data-aspect=direct] .bar-text");
    expect(direct).toMatch(/^\+3\S* nats$/u);
    expect(indirect).toBe("+0.76 nats");
    expect(find("[data-aspect=baseline_sensitivity] p").textContent).toBe(
      "+3.76 to +4.10 nats under 2 baselines.",
    );
  });

  it("has no indirect part if no token lies between", () => {
    const { model, find, texts, paint } = opened({ ...CELL, selected_target: 5 });
    tellMap(model);
    const cell = { layer: 1, source: 3, target: 5 };
    model.tell(finding("direct", cell, { total: 7, direct: 7, indirect: 3.8e-6 }));
    paint();
    expect(texts("[data-aspect=direct] .bar-text")).toEqual(["+7 nats", "0 nats"]);
    expect(find("[data-aspect=direct] p").textContent).toBe("Indirect is 0: no token lies between.");
  });

  it("asks for heads and for a second pass on request", () => {
    const { model, store, find, texts, paint } = opened(CELL);
    tellMap(model);
    paint();
    find("[data-aspect=carriers] .ask").click();
    find("[data-aspect=verification] .ask").click();
    paint();
    expect(find("[data-aspect=carriers]").dataset["status"]).toBe("pending");
    const cell = { layer: 1, source: 3, target: 7 };
    expect(store.maps.main.findings.isWanted(cell, "verification")).toBe(true);
    model.tell(finding("carriers"));
    model.tell(finding("verification"));
    paint();
    expect(texts("[data-aspect=carriers] .bar-name")).toEqual(["layer 2, head 1, values"]);
    expect(find("[data-aspect=verification] .agrees").textContent).toBe(
      "2 full, separate forward passes gave +3.76 nats: the same within 1.0e−6 nats.",
    );
  });

  it("warns if a second pass does not agree", () => {
    const { model, find, paint } = opened(CELL);
    tellMap(model);
    find("[data-aspect=verification] .ask").click();
    const found = { value: 3.76, reference: 3.7, difference: 0.06, passes: 2 };
    model.tell(finding("verification", undefined, found));
    paint();
    expect(find("[data-aspect=verification] .warning").textContent).toContain("Do not rely on this number");
  });

  it("says why something failed, and asks again", () => {
    const { model, find, paint } = opened(CELL);
    tellMap(model);
    model.tell(finding("direct", undefined, null));
    paint();
    expect(find("[data-aspect=direct]").dataset["status"]).toBe("failed");
    expect(find("[data-aspect=direct] .aspect-note").textContent).toBe("No memory Use less.");
    find("[data-aspect=direct] .plain").click();
    paint();
    expect(find("[data-aspect=direct]").dataset["status"]).toBe("pending");
  });

  it("pins the source, and switches to the other reading of the same cell", () => {
    const { model, store, all, find, paint } = opened(CELL);
    tellMap(model);
    paint();
    const [, pin, turn] = all(".card-actions button");
    pin?.click();
    paint();
    expect(store.traits.pinned_sources.value).toEqual([3]);
    expect(pin?.textContent).toBe("Unpin “ key” (3)");
    expect(turn?.textContent).toBe("What else carries “ key” (7)?");
    turn?.click();
    paint();
    expect(store.maps.main.reading.value).toEqual({ kind: "column", target: 7 });
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 3, target: 7 });
    expect(find(".heat-map").dataset["target"]).toBe("7");
  });

  it("shows different predictions differently, whatever their length", () => {
    const { model, texts, paint } = opened(CELL);
    tellMap(model);
    const long = " internationalization";
    const tokens = [long, `${long}s`, " internationally", "A #68", "A #263"];
    const found = tokens.map((token) => ({ token, kept: 0.5, removed: 0.25, actual: false }));
    model.tell(finding("predictions", undefined, found));
    paint();
    expect(texts(".predictions tbody th")).toEqual([
      "“ internationalization”",
      "“ internationalizations”",
      "“ internationally”",
      "“A #68”",
      "“A #263”",
    ]);
  });

  it("shows tokens of the model as text, whatever they contain", () => {
    const { model, find, all, paint } = opened(CELL);
    tellMap(model);
    const token = "<img src=x onerror=alert(1)>\u202e";
    model.tell(finding("predictions", undefined, [{ token, kept: 0.5, removed: 0.25, actual: false }]));
    paint();
    expect(all(".predictions img")).toEqual([]);
    expect(find(".predictions tbody th").textContent).toMatch(/^“<img src=x onerro/u);
    expect(find(".predictions tbody th").textContent).not.toContain("\u202e");
  });
});

describe("pins compared", () => {
  it("share one scale, which leaves out the effect on the next token", () => {
    const rows = [Float32Array.from([90, 1, -2.9]), undefined, Float32Array.from([1])];
    expect(sharedScale(rows)).toBe(3);
    expect(sharedScale([undefined])).toBe(0);
    expect(farLink(rows[0], 4, 0.1)).toEqual({ target: 7, value: Math.fround(-2.9) });
    expect(farLink(rows[2], 4, 0.1)).toBeNull();
  });

  it("show bars along the text, up or down, without noise", () => {
    expect(barsAlong(Float32Array.from([90, 0.01, -1.5]), 4, 3, 0.1)).toEqual([
      { position: 5, height: 1 },
      { position: 7, height: -0.5 },
    ]);
    expect(barsAlong(undefined, 4, 3, 0.1)).toEqual([]);
  });

  it("are listed side by side, each with its numbers and its strongest far link, and can be removed", () => {
    const { model, store, find, all, texts, paint } = opened({ pinned_sources: [3, 1], selected_layer: 1 });
    expect(find(".pins").hidden).toBe(false);
    tellMap(model);
    paint();
    expect(texts(".pin-token")).toEqual(["“ key”", "“ kept”"]);
    expect(find(".pins h3").textContent).toContain("all strips ± 4 nats or more");
    expect(texts(".pin-numbers")[1]).toBe("own share 0.30 · expected horizon 1.30 tokens");
    expect(texts(".pin-far")[0]).toBe("+3.76 nats → “ key” (7), 4 tokens ahead");
    all(".pin-far")[0]?.click();
    paint();
    expect(store.maps.main.cell.value).toEqual({ layer: 1, source: 3, target: 7 });
    all(".pin-choose")[1]?.click();
    paint();
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 1 });
    expect(all(".pin-choose").map((one) => one.getAttribute("aria-pressed"))).toEqual(["false", "true"]);
    all(".pin-remove")[0]?.click();
    paint();
    expect(store.traits.pinned_sources.value).toEqual([1]);
    expect(texts(".pin-token")).toEqual(["“ kept”"]);
    all(".pin-remove")[0]?.click();
    paint();
    expect(find(".pins").hidden).toBe(true);
  });

  it.each([
    ["logprob", "up: needed here, down: removal would help"],
    ["entropy", "up: lowered by removal, down: raised by removal"],
    ["kl", "up: moved by removal"],
  ] as const)("say for %s what up and down mean, as the legend does", (kind, sides) => {
    const { find } = opened({ pinned_sources: [3], query: queryOf(kind) });
    expect(find(".pins h3").textContent).toMatch(new RegExp(`· ${sides}$`, "u"));
  });

  it("ignore a pin that does not lie in the prompt", () => {
    const { texts } = opened({ pinned_sources: [WORDS.length + 5, 3] });
    expect(texts(".pin-token")).toEqual(["“ key”"]);
    // As in the text, a pin keeps its number.
    expect(texts(".pin-badge")).toEqual(["2"]);
  });
});

import { afterEach, describe, expect, it, vi } from "vitest";
import widget from "../src/widget";
import { FakeModel, frame, influence, proxy, tellLayer, traits, WORDS } from "./fake";

const open: (() => void)[] = [];

afterEach(() => {
  for (const close of open.splice(0)) close();
  document.body.replaceChildren();
});

/** The prototype that every element has its listeners from. */
const listening = ((): EventTarget => {
  let prototype: EventTarget = HTMLElement.prototype;
  while (!Object.hasOwn(prototype, "addEventListener")) prototype = Object.getPrototypeOf(prototype);
  return prototype;
})();

interface Opened {
  readonly model: FakeModel;
  readonly instance: ReturnType<typeof widget>;
  readonly root: HTMLElement;
  readonly close: () => void;
  readonly find: (selector: string) => HTMLElement;
  readonly token: (position: number) => HTMLElement;
}

function view(model: FakeModel, instance: ReturnType<typeof widget>): Opened {
  const el = document.createElement("div");
  document.body.append(el);
  const close = instance.render({ model: proxy(model), el });
  open.push(close);
  const root = el.querySelector<HTMLElement>(".horizon-widget");
  if (root === null) throw new Error("no root");
  const find = (selector: string): HTMLElement => {
    const found = root.shadowRoot?.querySelector<HTMLElement>(selector);
    if (found === null || found === undefined) throw new Error(`no ${selector}`);
    return found;
  };
  return { model, instance, root, close, find, token: (position) => find(`[data-position="${position}"]`) };
}

function opened(changes = {}): Opened {
  const model = new FakeModel(traits(changes));
  const instance = widget();
  open.push(instance.initialize({ model: proxy(model) }));
  return view(model, instance);
}

function press(element: HTMLElement, key: string): void {
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}

describe("text", () => {
  it("shows every token as text, whatever it says", async () => {
    const evil = ["<img src=x onerror=alert(1)>", " a\u202eb", "\n"].map((text) => ({ text, piece: null }));
    const { find, token } = opened({ tokens: evil });
    expect(find(".text").textContent).toBe("<img src=x onerror=alert(1)> a⟨U+202E⟩b↵\n");
    expect(find(".text").querySelector("img")).toBeNull();
    expect(token(1).textContent).toBe("a⟨U+202E⟩b");
    expect(token(0).title).toContain("attention sink");
  });

  it("is coloured by the statistic, and says where there is no value", async () => {
    const { model, root, token } = opened();
    expect(root.dataset["state"]).toBe("computing");
    expect(token(1).dataset["kind"]).toBe("pending");
    tellLayer(model, 1);
    await frame();
    expect(root.dataset["state"]).toBe("ready");
    expect(token(1).style.backgroundColor).toMatch(/^rgba\(57, 155, 149, 0\.3/);
    expect(token(1).getAttribute("aria-label")).toBe("“ kept”, token 1: own share 0.30");
    expect(token(6).dataset["kind"]).toBe("none");
    expect(token(6).title).toContain("only 1 token behind it");
  });

  it("is coloured by influence once a token is selected, without the kernel", async () => {
    const { model, find, token } = opened();
    tellLayer(model, 1);
    await frame();
    token(3).click();
    await frame();
    expect(model.saved).toEqual([{ selected_source: 3, selected_target: null }]);
    expect(token(2).dataset["kind"]).toBe("before");
    expect(token(3).getAttribute("aria-selected")).toBe("true");
    expect(token(7).style.backgroundColor).toMatch(/^rgba\(46, 105, 178/);
    expect(token(7).getAttribute("aria-label")).toBe("“ key”, token 7: +3.76 nats");
    expect(influence(1, 3, 6)).toBeLessThan(0);
    expect(token(6).style.backgroundColor).toMatch(/^rgba\(162, 78, 16/);
    expect(find(".heat-map").dataset).toMatchObject({ source: "3", scale: "4", rows: "1" });
    expect(find(".heat-map")).toMatchObject({ width: 4, height: 4 });
    expect(find(".drill-down").hidden).toBe(false);
    expect(find(".strongest").textContent).toContain("+3.76");
  });

  it("times the painting of a known row", async () => {
    const { model, root, token } = opened();
    token(3).click();
    await frame();
    expect(root.dataset["paintedMs"]).toBeUndefined();
    tellLayer(model, 1);
    token(4).click();
    await frame();
    await frame();
    expect(Number(root.dataset["paintedMs"])).toBeGreaterThanOrEqual(0);
  });

  it("clears the selection by a second click and by Escape", () => {
    const { model, token } = opened();
    token(3).click();
    token(3).click();
    token(5).click();
    press(token(5), "Escape");
    expect(model.saved.map((changes) => changes["selected_source"])).toEqual([3, null, 5, null]);
  });

  it("is one stop of the Tab key, and arrows move within it", () => {
    const { model, root, find, token } = opened();
    const stops = (): number => find(".text").querySelectorAll('[tabindex="0"]').length;
    expect(stops()).toBe(1);
    token(0).focus();
    press(token(0), "ArrowRight");
    press(token(1), "ArrowRight");
    expect(root.shadowRoot?.activeElement).toBe(token(2));
    press(token(2), "ArrowLeft");
    expect(root.shadowRoot?.activeElement).toBe(token(1));
    press(token(1), "End");
    expect(root.shadowRoot?.activeElement).toBe(token(7));
    press(token(7), "ArrowRight");
    expect(root.shadowRoot?.activeElement).toBe(token(7));
    press(token(7), "Home");
    press(token(0), "Enter");
    expect(stops()).toBe(1);
    expect(model.saved).toEqual([{ selected_source: 0, selected_target: null }]);
  });

  it("goes to the nearest token on the line below and above", () => {
    const { root, token } = opened();
    // Two lines of four tokens.
    for (const [position] of WORDS.entries())
      vi.spyOn(token(position), "getBoundingClientRect").mockReturnValue(
        new DOMRect(50 * (position % 4), 30 * Math.floor(position / 4), 40, 20),
      );
    token(2).focus();
    press(token(2), "ArrowDown");
    expect(root.shadowRoot?.activeElement).toBe(token(6));
    press(token(6), "ArrowDown");
    expect(root.shadowRoot?.activeElement).toBe(token(6));
    press(token(6), "ArrowUp");
    expect(root.shadowRoot?.activeElement).toBe(token(2));
  });

  it("follows Python", async () => {
    const { model, find, token } = opened();
    model.fromKernel({ selected_source: 2 });
    await frame();
    expect(token(2).dataset["kind"]).toBe("source");
    model.fromKernel({ map_id: 2, tokens: [{ text: "New", piece: null }], selected_source: null });
    await frame();
    expect(find(".text").textContent).toBe("New");
    expect(find(".drill-down").hidden).toBe(true);
  });
});

describe("heat map", () => {
  it("is moved through with arrows, and Enter selects", async () => {
    const { model, root, find } = opened({ selected_source: 3 });
    for (const layer of [0, 1, 2, 3]) tellLayer(model, layer);
    await frame();
    const plot = find(".plot");
    plot.focus();
    press(plot, "ArrowRight");
    press(plot, "End");
    press(plot, "ArrowUp");
    await frame();
    expect(find(".readout-head").textContent).toBe(
      "+3.76 nats · layer 2 · “ key” (3) → “ key” (7) · 4 tokens ahead",
    );
    expect(find(".readout-meaning").textContent).toBe(
      "Removing this state makes “ key” less likely by 3.76 nats.",
    );
    expect(find(".readout").textContent).toContain("Used later; this does not show that it was planned.");
    expect(find("[aria-live]").textContent).toContain("+3.76 nats");
    press(plot, "Enter");
    expect(model.saved.at(-1)).toEqual({ selected_layer: 2, selected_target: 7 });
    await frame();
    expect(find('[data-position="7"]').hasAttribute("data-target")).toBe(true);
    press(plot, "Escape");
    expect(root.shadowRoot?.activeElement).toBe(find('[data-position="3"]'));
  });

  it("marks the rows that are not here yet, and those under a shock", async () => {
    const layers = traits().layers.map((layer, i) => ({
      ...layer,
      shock: i === 0,
      baseline: "resample" as const,
    }));
    const { model, find } = opened({ selected_source: 3, layers, selected_layer: 0 });
    tellLayer(model, 0);
    tellLayer(model, 2, [3]);
    await frame();
    expect([...find(".ground").children].map((row) => row.className)).toEqual([
      "pending",
      "done",
      "pending",
      "shock",
    ]);
    expect(find(".heat-map").dataset["rows"]).toBe("2");
    expect(find(".legend-notes").textContent).toContain("At layer 0 the mean state is itself a shock");
  });

  it("lists the strongest links, which keep the focus while values arrive", async () => {
    const { model, root, find } = opened({ selected_source: 3 });
    tellLayer(model, 1);
    await frame();
    const first = find("[data-strong]");
    expect(first.textContent).toBe("+3.76“ key”4 tokens ahead");
    first.focus();
    tellLayer(model, 2);
    await frame();
    expect(root.shadowRoot?.activeElement).toBe(first);
    first.click();
    expect(model.saved).toEqual([{ selected_layer: 1, selected_target: 7 }]);
  });

  it("has nothing to show behind the last token", async () => {
    const { find } = opened({ selected_source: 7 });
    await frame();
    expect(find(".drill-body").hidden).toBe(true);
    expect(find(".drill-down").textContent).toContain("nothing lies behind it");
  });
});

describe("toolbar, progress and status", () => {
  it("name what is asked", () => {
    const { find } = opened();
    expect(find(".toolbar").textContent).toContain("tiny");
    expect(find(".labels").textContent).toBe("exact ablationlog p (nats)baseline: mean");
    expect(find(".layer-label").textContent).toBe("layer 1 of 4");
  });

  it("choose the layer and the statistic", () => {
    const { model, find } = opened({ selected_source: 3 });
    const slider = find(".layer-slider") as HTMLInputElement;
    slider.value = "2";
    slider.dispatchEvent(new Event("input"));
    find('input[value="expected_horizon"]').click();
    expect(model.saved).toEqual([
      { selected_layer: 2 },
      { statistic: "expected_horizon" },
      { selected_source: null, selected_target: null },
    ]);
  });

  it("stop and go on", async () => {
    const progress = { task: "layer 1", done: 0.43, seconds_left: 8, filling: "running" as const };
    const { model, find } = opened({ state: "computing", progress });
    expect(find(".progress-words").textContent).toBe("Computing layer 1 · 43 % · about 8 s left");
    find(".progress button").click();
    model.fromKernel({ progress: { ...progress, filling: "stopped" } });
    await frame();
    expect(find(".progress-words").textContent).toBe("Stopped: layer 1 · 43 %");
    find(".progress button").click();
    expect(model.sent).toEqual([
      { type: "hello", protocol_version: 1 },
      { type: "cancel" },
      { type: "resume" },
    ]);
  });

  it("show an error with its advice and details", () => {
    const error = { title: "No memory", advice: "Use less.", detail: "<b>Traceback</b>" };
    const { root, find } = opened({ state: "error", error });
    expect(root.dataset["state"]).toBe("error");
    expect(find(".notice").textContent).toContain("No memoryUse less.");
    expect(find(".status-detail").textContent).toBe("<b>Traceback</b>");
  });

  it("refuse another version of the protocol in plain words", () => {
    const { root, find } = opened({ protocol_version: 2 });
    expect(root.dataset["state"]).toBe("error");
    expect(find(".notice").textContent).toContain("do not speak the same version");
  });
});

describe("views", () => {
  it("of one model share its values, and say hello once", async () => {
    const first = opened();
    const second = view(first.model, first.instance);
    expect(first.model.sent).toEqual([{ type: "hello", protocol_version: 1 }]);
    tellLayer(first.model, 1);
    first.token(3).click();
    await frame();
    expect(second.token(3).dataset["kind"]).toBe("source");
    first.close();
    second.token(4).click();
    await frame();
    expect(second.token(4).dataset["kind"]).toBe("source");
    expect(first.root.isConnected).toBe(false);
  });

  it("leave no listener behind", async () => {
    const model = new FakeModel(traits());
    const connection = new AbortController();
    const instance = widget();
    instance.initialize({ model: proxy(model), signal: connection.signal });
    const el = document.createElement("div");
    document.body.append(el);
    const rendering = new AbortController();
    const added = vi.spyOn(listening, "addEventListener");
    const removed = vi.spyOn(listening, "removeEventListener");
    const close = instance.render({ model: proxy(model), el, signal: rendering.signal });
    expect(added.mock.calls.length).toBeGreaterThan(10);
    close();
    rendering.abort();
    expect(removed.mock.calls.length).toBe(added.mock.calls.length);
    added.mockRestore();
    removed.mockRestore();
    expect(el.childElementCount).toBe(0);
    expect(model.nListeners).toBeGreaterThan(0);
    connection.abort();
    expect(model.nListeners).toBe(0);
    tellLayer(model, 1);
    await frame();
  });
});

/** The entry: what a host calls, what its views share, and the state that is shown. */

import { afterEach, describe, expect, it } from "vitest";
import { PROTOCOL_VERSION } from "../src/kernel/protocol";
import widget from "../src/widget";
import { FakeModel, frame, proxy, tellLayer, tellMap, traits, WORDS } from "./fake";

const HELLO = { type: "hello", protocol_version: PROTOCOL_VERSION };
const open: (() => void)[] = [];

afterEach(() => {
  for (const close of open.splice(0)) close();
  document.body.replaceChildren();
});

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

describe("a host", () => {
  it("that runs `initialize` for a widget without a view makes the kernel compute nothing", async () => {
    const model = new FakeModel(traits());
    open.push(widget().initialize({ model: proxy(model) }));
    await frame();
    expect(model.sent).toEqual([]);
  });

  it("that leaves `initialize` out also gets a view", async () => {
    const model = new FakeModel(traits());
    const { token } = view(model, widget());
    tellMap(model);
    await frame();
    expect(token(1).textContent).toContain("kept");
    expect(model.sent).toEqual([HELLO]);
  });

  it("may close a view twice, and then abort it", () => {
    const model = new FakeModel(traits());
    const instance = widget();
    const all = new AbortController();
    const one = new AbortController();
    const end = instance.initialize({ model: proxy(model), signal: all.signal });
    const el = document.createElement("div");
    const close = instance.render({ model: proxy(model), el, signal: one.signal });
    close();
    close();
    one.abort();
    end();
    all.abort();
    expect([el.childElementCount, model.nListeners]).toEqual([0, 0]);
  });
});

describe("views of one model", () => {
  it("share its values and its selection, and say hello once", async () => {
    const first = opened();
    const second = view(first.model, first.instance);
    expect(first.model.asked).toEqual([HELLO]);
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

  it("opened later show at once what has arrived", async () => {
    const first = opened();
    tellLayer(first.model, 1);
    first.token(3).click();
    const second = view(first.model, first.instance);
    expect(second.token(3).dataset["kind"]).toBe("source");
    expect(second.token(7).getAttribute("aria-label")).toContain("+3.76 nats");
  });
});

describe("Python", () => {
  it("selects a token, and another map replaces the picture", async () => {
    const { model, root, token } = opened();
    model.fromKernel({ selected_source: 2 });
    await frame();
    expect(token(2).dataset["kind"]).toBe("source");
    const tokens = [{ text: "New", piece: null, id: null, word: 0 }];
    model.fromKernel({ map_id: 2, tokens, n_targets: 0, selected_source: null });
    await frame();
    expect(token(0).textContent).toContain("New");
    expect(root.shadowRoot?.querySelectorAll("[data-position]")).toHaveLength(1);
  });
});

describe("the state of the widget", () => {
  it("is visible to the page: ready means that everything asked for is painted", async () => {
    const { model, root, token } = opened();
    expect(root.dataset["state"]).toBe("computing");
    expect(token(1).dataset["kind"]).toBe("pending");
    tellLayer(model, 1);
    expect(root.dataset["state"]).toBe("computing");
    await frame();
    expect(root.dataset["state"]).toBe("ready");
    expect(token(1).dataset["kind"]).toBe("value");
    model.fromKernel({ selected_layer: 2 });
    await frame();
    expect(root.dataset["state"]).toBe("computing");
  });

  it("includes the time to paint a known row", async () => {
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

  it("is an error with its advice and details, as text", async () => {
    const error = { title: "No memory", advice: "Use less.", detail: "<b>Traceback</b>" };
    const { model, root, find } = opened({ state: "error", error });
    expect(root.dataset["state"]).toBe("error");
    expect(find(".notice").hidden).toBe(false);
    expect(find(".notice").textContent).toContain("No memory");
    expect(find(".notice").textContent).toContain("Use less.");
    expect(find(".status-detail").textContent).toBe("<b>Traceback</b>");
    model.fromKernel({ state: "ready", error: null });
    await frame();
    expect(find(".notice").hidden).toBe(true);
  });

  it("is another version of the protocol, in plain words", () => {
    const { root, find } = opened({ protocol_version: PROTOCOL_VERSION + 1 });
    expect(root.dataset["state"]).toBe("error");
    expect(find(".notice").textContent).toContain("use different versions");
  });

  it("shows progress, which can be stopped and resumed", async () => {
    const progress = { task: "layer 1", done: 0.43, seconds_left: 8, filling: "running" as const };
    const { model, find } = opened({ state: "computing", progress });
    expect(find(".progress-words").textContent).toContain("Computing layer 1 · 43 % · about 8 s left");
    find(".progress button").click();
    model.fromKernel({ state: "ready", progress: { ...progress, filling: "stopped" } });
    await frame();
    expect(find(".progress-words").textContent).toContain("Stopped: layer 1 · 43 %");
    find(".progress button").click();
    expect(model.asked).toEqual([HELLO, { type: "cancel" }, { type: "resume" }]);
  });
});

it("a click is painted without the kernel, and sent to it", async () => {
  const { model, token } = opened();
  tellLayer(model, 1);
  await frame();
  token(3).click();
  await frame();
  expect(model.saved).toEqual([{ selected_source: 3 }]);
  expect(token(3).getAttribute("aria-selected")).toBe("true");
  expect(token(7).style.backgroundColor).toMatch(/^rgba\(46, 105, 178/);
  expect(token(7).getAttribute("aria-label")).toContain("+3.76 nats");
  expect(WORDS.map((_, position) => token(position).dataset["kind"])).toEqual([
    "outside",
    "outside",
    "outside",
    "source",
    ...new Array(4).fill("value"),
  ]);
});

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Connection, PATIENCE_MS } from "../src/kernel/connection";
import { PROTOCOL_VERSION } from "../src/kernel/protocol";
import { ASK_AFTER_MS } from "../src/state/inquiry";
import { type FakeModel, finding, openStore, tellLayer, WORDS, welcome } from "./fake";

const HELLO = { type: "hello", protocol_version: PROTOCOL_VERSION };
/** Within this time the page shows that the kernel does not answer. */
const PROMISED_MS = 3000;

function pings(model: FakeModel): number[] {
  return (model.sent as { readonly type: string; readonly number: number }[])
    .filter(({ type }) => type === "ping")
    .map(({ number }) => number);
}

function pong(model: FakeModel): void {
  model.tell({ type: "pong", number: pings(model).at(-1) ?? 0 });
}

function connected(): ReturnType<typeof openStore> {
  const opened = openStore();
  opened.store.kernel.greet();
  welcome(opened.model);
  return opened;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("the greeting", () => {
  it("is sent once for any number of views", () => {
    const { model, store } = openStore();
    expect(store.kernel.connection.state.value).toBe("new");
    store.kernel.greet();
    store.kernel.greet();
    expect(model.sent).toEqual([HELLO]);
    expect(store.kernel.connection.state.value).toBe("greeting");
    welcome(model);
    expect(store.kernel.connection.state.value).toBe("connected");
    store.kernel.greet();
    expect(model.sent).toEqual([HELLO]);
  });

  it("without an answer is a silence", () => {
    const { model, store } = openStore();
    store.kernel.greet();
    vi.advanceTimersByTime(PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("silent");
    welcome(model);
    expect(store.kernel.connection.state.value).toBe("connected");
  });

  it("may be answered at once, as may pings: then no timer is left", () => {
    const { model, store } = openStore();
    const send = model.send.bind(model);
    model.send = (content: { readonly type: string; readonly number?: number }): void => {
      send(content);
      if (content.type === "hello") welcome(model);
      else if (content.type === "ping") model.tell({ type: "pong", number: content.number });
    };
    store.kernel.greet();
    store.selection.selectToken(3);
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(10 * PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("connected");
    expect(model.sent).toEqual([HELLO, { type: "ping", number: 1 }]);
  });

  it("is not sent before a view opens", () => {
    const { model, store } = openStore();
    store.selection.selectToken(3);
    vi.advanceTimersByTime(10 * PROMISED_MS);
    expect(model.sent).toEqual([]);
    expect(store.kernel.connection.state.value).toBe("new");
  });
});

describe("a silence", () => {
  it.each([
    ["a click", (store: ReturnType<typeof openStore>["store"]) => store.selection.selectToken(3)],
    ["cancel", (store: ReturnType<typeof openStore>["store"]) => store.kernel.send({ type: "cancel" })],
    ["resume", (store: ReturnType<typeof openStore>["store"]) => store.kernel.send({ type: "resume" })],
    ["writing on", (store: ReturnType<typeof openStore>["store"]) => store.kernel.writeOn(5)],
    [
      "another prompt",
      (store: ReturnType<typeof openStore>["store"]) =>
        store.kernel.open({ prompt: "x", metric: ["logprob"], baseline: null, layers: null, n_tokens: 0 }),
    ],
  ])("after %s is noticed in time", (_, ask) => {
    const { store } = connected();
    vi.advanceTimersByTime(10 * PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("connected");
    ask(store);
    vi.advanceTimersByTime(PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("silent");
  });

  it("ends when the kernel answers", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    pong(model);
    vi.advanceTimersByTime(10 * PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("connected");
  });

  it("is noticed even if values arrive meanwhile, since they may be older than the question", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    tellLayer(model, 1);
    vi.advanceTimersByTime(PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("silent");
  });

  it("does not begin while values keep arriving", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    for (let second = 0; second < 30; second += 1) {
      vi.advanceTimersByTime(1000);
      tellLayer(model, 1, [second % WORDS.length]);
      expect(store.kernel.connection.state.value).toBe("connected");
    }
  });

  it("is noticed after a question that was asked while the kernel answered another", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    store.selection.selectToken(4);
    pong(model); // the answer to the first
    vi.advanceTimersByTime(PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("silent");
  });

  it("is noticed if the host throws because its kernel is gone", () => {
    const { model, store } = connected();
    model.gone = true;
    store.selection.selectToken(3);
    expect(store.maps.main.reading.value).toEqual({ kind: "row", source: 3 });
    vi.advanceTimersByTime(PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("silent");
    vi.advanceTimersByTime(10 * PROMISED_MS);
    model.gone = false;
    vi.advanceTimersByTime(PROMISED_MS);
    pong(model);
    expect(store.kernel.connection.state.value).toBe("connected");
  });
});

describe("pings", () => {
  it("are sent at once when the reader asks again, but only during a silence", () => {
    const { model, store } = connected();
    store.kernel.connection.askAgain();
    expect(pings(model)).toEqual([]);
    store.selection.selectToken(3);
    vi.advanceTimersByTime(PATIENCE_MS + 1);
    const before = pings(model).length;
    store.kernel.connection.askAgain();
    expect(pings(model)).toHaveLength(before + 1);
    pong(model);
    expect(store.kernel.connection.state.value).toBe("connected");
  });

  it("are sent one at a time, for any number of clicks", () => {
    const { model, store } = connected();
    for (let click = 0; click < 500; click += 1) store.selection.selectToken(click % WORDS.length);
    expect(pings(model)).toEqual([1]);
    pong(model);
    expect(pings(model)).toEqual([1, 2]);
    pong(model);
    vi.advanceTimersByTime(10 * PROMISED_MS);
    expect(pings(model)).toEqual([1, 2]);
    expect(store.kernel.connection.state.value).toBe("connected");
  });

  it("continue slowly while the kernel is silent", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    vi.advanceTimersByTime(10 * PATIENCE_MS + 1);
    expect(pings(model)).toHaveLength(11);
    expect(store.kernel.connection.state.value).toBe("silent");
  });

  it("count as answered when the answer is late, and earlier ones are not waited for", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    vi.advanceTimersByTime(2 * PATIENCE_MS + 1);
    for (const number of pings(model)) model.tell({ type: "pong", number });
    expect(store.kernel.connection.state.value).toBe("connected");
    vi.advanceTimersByTime(10 * PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("connected");
  });

  it("end with the store", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    store.dispose();
    const before = model.sent.length;
    vi.advanceTimersByTime(10 * PROMISED_MS);
    expect(model.sent).toHaveLength(before);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a kernel that answers again", () => {
  it("may do so before the greeting is complete", () => {
    const sent: string[] = [];
    const connection = new Connection(({ type }) => {
      sent.push(type);
      if (type === "hello" && sent.length > 1) connection.answered();
    });
    connection.greet();
    vi.advanceTimersByTime(PROMISED_MS);
    connection.heard();
    expect(connection.state.value).toBe("connected");
    expect(sent).toEqual(["hello", "ping", "hello"]);
  });

  it("is asked for everything again", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    vi.advanceTimersByTime(PROMISED_MS);
    pong(model);
    expect(store.kernel.connection.state.value).toBe("connected");
    expect(model.asked.filter((content) => JSON.stringify(content) === JSON.stringify(HELLO))).toHaveLength(
      2,
    );
  });

  it("is also noticed when a trait changes", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    vi.advanceTimersByTime(PROMISED_MS);
    model.fromKernel({ state: "computing" });
    expect(store.kernel.connection.state.value).toBe("connected");
  });

  it("is asked again about the selected cell", () => {
    const { model, store } = connected();
    tellLayer(model, 1);
    store.selection.selectCell({ layer: 1, source: 3, target: 7 });
    vi.advanceTimersByTime(ASK_AFTER_MS);
    const inspections = (): unknown[] =>
      model.asked.filter((content) => (content as { readonly type: string }).type === "inspect");
    expect(inspections()).toHaveLength(1);
    model.tell(finding("direct"));
    vi.advanceTimersByTime(PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("silent");
    pong(model);
    vi.advanceTimersByTime(ASK_AFTER_MS);
    expect(inspections().at(-1)).toMatchObject({ aspects: ["predictions", "baseline_sensitivity"] });
    expect(inspections()).toHaveLength(2);
  });
});

describe("another version of the protocol", () => {
  it("is refused for good", () => {
    const { model, store } = openStore();
    store.kernel.greet();
    model.tell({ type: "welcome", protocol_version: PROTOCOL_VERSION + 1 });
    expect(store.kernel.connection.state.value).toBe("refused");
    tellLayer(model, 1);
    expect(store.maps.main.rows.value.nSources(1)).toBe(0);
    store.selection.selectToken(3);
    vi.advanceTimersByTime(10 * PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("refused");
    expect(pings(model)).toEqual([]);
  });

  it("is recognised by its trait", () => {
    const { store } = openStore({ protocol_version: PROTOCOL_VERSION - 1 });
    expect(store.kernel.connection.state.value).toBe("refused");
  });
});

it("shows what the kernel could not read", () => {
  const { model, store } = connected();
  model.tell({ type: "rejected", reason: "unknown type" });
  expect(store.kernel.problem.value?.detail).toBe("unknown type");
});

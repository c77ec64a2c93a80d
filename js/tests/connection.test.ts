import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Connection, PATIENCE_MS } from "../src/kernel/connection";
import { PROTOCOL_VERSION } from "../src/kernel/protocol";
import { ASK_AFTER_MS } from "../src/state/inquiry";
import { type FakeModel, finding, openStore, tellLayer, WORDS, welcome } from "./fake";

const HELLO = { type: "hello", protocol_version: PROTOCOL_VERSION };
/** The page shows within this time that the kernel does not answer. */
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

describe("a greeting", () => {
  it("is said once, however many views open", () => {
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

  it("that is not answered is a silence", () => {
    const { model, store } = openStore();
    store.kernel.greet();
    vi.advanceTimersByTime(PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("silent");
    welcome(model);
    expect(store.kernel.connection.state.value).toBe("connected");
  });

  it("may be answered at once, as are pings: then nothing is waited for", () => {
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

  it("goes to nobody before a view opens", () => {
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

  it("is none where the kernel answers", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    pong(model);
    vi.advanceTimersByTime(10 * PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("connected");
  });

  it("is noticed though values came meanwhile, which may be older than the question", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    tellLayer(model, 1);
    vi.advanceTimersByTime(PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("silent");
  });

  it("is none while values keep coming", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    for (let second = 0; second < 30; second += 1) {
      vi.advanceTimersByTime(1000);
      tellLayer(model, 1, [second % WORDS.length]);
      expect(store.kernel.connection.state.value).toBe("connected");
    }
  });

  it("is noticed after a question that was asked while another was being answered", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    store.selection.selectToken(4);
    pong(model); // to the first
    vi.advanceTimersByTime(PROMISED_MS);
    expect(store.kernel.connection.state.value).toBe("silent");
  });

  it("is noticed where the host throws, since its kernel is gone", () => {
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
  it("are sent at once where the reader asks again, but only into a silence", () => {
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

  it("are one at a time, however fast the clicks", () => {
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

  it("go on while the kernel is silent, unhurried", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    vi.advanceTimersByTime(10 * PATIENCE_MS + 1);
    expect(pings(model)).toHaveLength(11);
    expect(store.kernel.connection.state.value).toBe("silent");
  });

  it("answered late are an answer, and those before them no reason to wait", () => {
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
  it("may do so before hello has been said to the end", () => {
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

  it("is asked for everything anew", () => {
    const { model, store } = connected();
    store.selection.selectToken(3);
    vi.advanceTimersByTime(PROMISED_MS);
    pong(model);
    expect(store.kernel.connection.state.value).toBe("connected");
    expect(model.asked.filter((content) => JSON.stringify(content) === JSON.stringify(HELLO))).toHaveLength(
      2,
    );
  });

  it("is heard by a trait that changes too", () => {
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
  it("is refused, and stays so", () => {
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

  it("is refused by its trait", () => {
    const { store } = openStore({ protocol_version: PROTOCOL_VERSION - 1 });
    expect(store.kernel.connection.state.value).toBe("refused");
  });
});

it("shows what the kernel could not read", () => {
  const { model, store } = connected();
  model.tell({ type: "rejected", reason: "unknown type" });
  expect(store.kernel.problem.value?.detail).toBe("unknown type");
});

/** Opens and closes a widget fifty times; nothing is left behind. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../src/widget";
import { FakeModel, proxy, tellMap, traits, welcome } from "./fake";

const ROUNDS = 50;
/** happy-dom is slow. */
const TIMEOUT = { timeout: 120_000 };

/** The prototype that has `addEventListener`. */
const listening = ((): EventTarget => {
  let prototype: EventTarget = HTMLElement.prototype;
  while (!Object.hasOwn(prototype, "addEventListener")) prototype = Object.getPrototypeOf(prototype);
  return prototype;
})();

/** Listeners on objects that outlive a view, not on elements of the widget. */
class Listeners {
  readonly #open = new Map<string, number>();
  readonly #unsubscribe: (() => void)[] = [];

  constructor() {
    for (const target of [listening, window] as EventTarget[]) {
      const { addEventListener: add, removeEventListener: remove } = target;
      const count = (on: EventTarget, type: string, change: number): void => {
        if (on instanceof Element && on !== document.body && on !== document.documentElement) return;
        if (on instanceof AbortSignal || on instanceof ShadowRoot) return;
        const name = `${on.constructor.name} ${type}`;
        this.#open.set(name, (this.#open.get(name) ?? 0) + change);
      };
      target.addEventListener = function (this: EventTarget | undefined, type: string, ...rest: unknown[]) {
        count(this ?? window, type, 1);
        return (add as (...args: unknown[]) => void).call(this ?? window, type, ...rest);
      };
      target.removeEventListener = function (
        this: EventTarget | undefined,
        type: string,
        ...rest: unknown[]
      ) {
        count(this ?? window, type, -1);
        return (remove as (...args: unknown[]) => void).call(this ?? window, type, ...rest);
      };
      this.#unsubscribe.push(() => {
        target.addEventListener = add;
        target.removeEventListener = remove;
      });
    }
  }

  get open(): Record<string, number> {
    return Object.fromEntries([...this.#open].filter(([, n]) => n !== 0));
  }

  restore(): void {
    for (const stop of this.#unsubscribe) stop();
  }
}

/** Counts the observers of a kind that still observe something. */
function countObservers(name: "ResizeObserver" | "MutationObserver" | "IntersectionObserver"): () => number {
  const observing = new Set<object>();
  const Real = globalThis[name] as unknown as new (
    callback: unknown,
    options?: unknown,
  ) => Record<string, unknown>;
  class Counted extends Real {
    observe(...args: unknown[]): void {
      observing.add(this);
      (super["observe"] as (...all: unknown[]) => void).call(this, ...args);
    }

    disconnect(): void {
      observing.delete(this);
      (super["disconnect"] as () => void).call(this);
    }
  }
  vi.stubGlobal(name, Counted);
  return () => observing.size;
}

let listeners: Listeners;
let observers: readonly (() => number)[];

beforeEach(() => {
  vi.useFakeTimers();
  listeners = new Listeners();
  observers = (["ResizeObserver", "MutationObserver", "IntersectionObserver"] as const).map(countObservers);
});

afterEach(() => {
  listeners.restore();
  vi.unstubAllGlobals();
  vi.useRealTimers();
  document.body.replaceChildren();
});

/** Opens a view, uses it a little, and returns what is open meanwhile. */
function use(model: FakeModel, el: HTMLElement): number {
  tellMap(model);
  welcome(model);
  vi.advanceTimersByTime(50);
  const page = el.querySelector(".horizon-widget")?.shadowRoot;
  for (const position of [3, 5]) page?.querySelector<HTMLElement>(`[data-position="${position}"]`)?.click();
  for (const button of page?.querySelectorAll<HTMLElement>("button:not([disabled])") ?? []) button.click();
  vi.advanceTimersByTime(50);
  return observers.reduce((sum, count) => sum + count(), 0);
}

function expectNothingOpen(): void {
  expect(listeners.open).toEqual({});
  expect(observers.map((count) => count())).toEqual([0, 0, 0]);
  expect(vi.getTimerCount()).toBe(0);
}

it("only listeners on the page are counted", () => {
  const nothing = (): void => {};
  for (const target of [window, document, document.body] as EventTarget[]) {
    target.addEventListener("keydown", nothing);
    expect(Object.values(listeners.open)).toEqual([1]);
    target.removeEventListener("keydown", nothing);
    expect(listeners.open).toEqual({});
  }
});

describe("fifty rounds of opening and closing", () => {
  it("of a view leave nothing except the model's listeners", TIMEOUT, () => {
    const model = new FakeModel(traits());
    const instance = widget();
    const end = instance.initialize({ model: proxy(model) });
    const before = model.nListeners;
    const el = document.createElement("div");
    document.body.append(el);
    for (let round = 0; round < ROUNDS; round += 1) {
      const signal = new AbortController();
      const close = instance.render({ model: proxy(model), el, signal: signal.signal });
      expect(use(model, el)).toBeGreaterThan(0);
      close();
      signal.abort();
      expect(el.childElementCount).toBe(0);
      expect(model.nListeners).toBe(before);
      vi.advanceTimersByTime(10_000);
      model.tell({ type: "pong", number: (model.sent.at(-1) as { readonly number?: number }).number ?? 0 });
    }
    end();
    expect(model.nListeners).toBe(0);
    expectNothingOpen();
  });

  it("of a whole widget leave nothing, whether the host calls or aborts", TIMEOUT, () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const model = new FakeModel(traits());
      const connection = new AbortController();
      const rendering = new AbortController();
      const instance = widget();
      instance.initialize({ model: proxy(model), signal: connection.signal });
      const el = document.createElement("div");
      document.body.append(el);
      const close = instance.render({ model: proxy(model), el, signal: rendering.signal });
      use(model, el);
      if (round % 2 === 0) close();
      else rendering.abort();
      connection.abort();
      el.remove();
      expect(model.nListeners).toBe(0);
      expectNothingOpen();
    }
  });

  it("without `initialize`, which some hosts leave out, also leave nothing", TIMEOUT, () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const model = new FakeModel(traits());
      const el = document.createElement("div");
      document.body.append(el);
      const close = widget().render({ model: proxy(model), el });
      use(model, el);
      close();
      expect(model.nListeners).toBe(0);
      expectNothingOpen();
    }
  });
});

it("messages after the end are ignored", () => {
  const model = new FakeModel(traits());
  const instance = widget();
  const end = instance.initialize({ model: proxy(model) });
  const el = document.createElement("div");
  const close = instance.render({ model: proxy(model), el });
  close();
  end();
  const before = model.sent.length;
  tellMap(model);
  model.fromKernel({ map_id: 2, selected_source: 3 });
  vi.advanceTimersByTime(10_000);
  expect(el.childElementCount).toBe(0);
  expect(model.sent).toHaveLength(before);
});

/** Sends thousands of odd messages and traits into a view that is used meanwhile. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ASPECTS, PROTOCOL_VERSION, type Problem, type Traits } from "../src/kernel/protocol";
import { mount } from "../src/view";
import { type FakeModel, finding, N_LAYERS, openStore, traits, unaligned, WORDS } from "./fake";

const N_STEPS = 5000;
const FRAME_MS = 20;

/** Numbers 0..1, the same ones each time (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const MARKUP = [
  "<img src=x onerror=planted()>",
  "<script>planted()</script>",
  '"><x-planted onload="planted()">',
  "<svg><animate onbegin=planted()></svg>",
  "javascript:planted()",
  "</style><iframe srcdoc='<b>'></iframe>",
];
const TEXTS = [
  ...MARKUP,
  "",
  "__proto__",
  "constructor",
  "toString",
  "values",
  "\u202egnol\u202c",
  "\u200b\u200d\ufeff",
  "\u0000\u001b[31m",
  "\ud800",
  "a".repeat(10_000),
  "\n".repeat(300),
];
const INVISIBLE = ["\u0000", "\u001b", "\u00ad", "\u200b", "\u202e", "\u2066", "\ufeff", "\ud800"];
class Fuzz {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = generator(seed);
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  buffers(): unknown[] {
    const one = (): unknown => {
      const length = this.pick([0, 1, 2, 7, 8, 14, 16, 56, 64]);
      const value = this.pick([0.5, Number.NaN, Number.POSITIVE_INFINITY, -1e38]);
      if (this.chance(0.1)) return new ArrayBuffer(this.below(9));
      return unaligned(new Array(length).fill(value));
    };
    return Array.from({ length: this.pick([0, 1, 2, 2, 2, 3]) }, one);
  }

  /** A message about this map or another; its buffers may have a wrong length. */
  message(nTokens: number): unknown {
    const layer = this.below(N_LAYERS);
    const cell = { layer, source: this.below(9), target: this.below(10) };
    const sources = [this.below(Math.max(1, nTokens))];
    return this.pick([
      { type: "pong", number: this.below(5) },
      { type: "values", map_id: this.below(3), layer, sources, n_targets: this.pick([7, 8]) },
      { type: "values", map_id: mapId, layer, sources, n_targets: this.pick([7, nTokens]) },
      { type: "failed", field: this.pick(TEXTS), problem: this.problem() },
      { type: "rejected", reason: this.pick(TEXTS) },
      ...ASPECTS.map((aspect) => ({ ...finding(aspect, cell), map_id: mapId })),
      { ...finding("direct", cell, null), map_id: mapId, problem: this.problem() },
      {
        ...finding("predictions", cell),
        map_id: mapId,
        found: [{ token: this.pick(TEXTS), kept: 1, removed: 0, actual: false }],
      },
      { ...finding("baseline_sensitivity", cell), found: [{ baseline: this.pick(TEXTS), influence: 1e300 }] },
      { type: `unknown ${this.pick(TEXTS)}` },
      null,
      this.pick(TEXTS),
    ]);
  }

  problem(): unknown {
    return { title: this.pick(TEXTS), advice: this.pick(TEXTS), detail: this.pick(TEXTS) };
  }

  /** Other valid values of traits, as unusual as possible. */
  traits(nTokens: number): Partial<Traits> {
    const position = (): number | null => this.pick([null, 0, 1, this.below(9), this.below(20)]);
    const many = Array.from({ length: this.below(20) }, (_, word) => ({
      text: this.pick(TEXTS),
      piece: this.pick([null, [1, 2], [2, 2]]),
      id: this.pick([null, 0, 2 ** 40]),
      word,
    }));
    return this.pick<() => Partial<Traits>>([
      () => ({ tokens: many, n_targets: this.pick([many.length, Math.max(0, many.length - 1)]), prompt: "" }),
      () => ({ n_layers: this.pick([0, 1, 3, 40]) }),
      () => ({ map_id: this.below(3) }),
      () => ({ model_name: this.pick(TEXTS), prompt: this.pick(TEXTS) }),
      () => ({ find: this.pick(["", "e", ...TEXTS]) }),
      () => ({ error: this.chance(0.5) ? (this.problem() as Problem) : null }),
      () => ({ window: position() }),
      () => ({ selected_layer: this.below(9) }),
      () => ({ selected_source: position(), selected_target: position() }),
      () => ({ selected_offset: position() }),
      () => ({ pinned_sources: Array.from({ length: this.below(5) }, () => this.below(20)) }),
      () => ({ sinks: Array.from({ length: this.below(8) }, () => this.below(Math.max(1, nTokens))) }),
      () => ({ layers: this.pick([null, [1], [0, 3]]) }),
      () => ({ written_from: position() }),
      () => ({ fixed_scale: this.pick([null, 1e-300, 1, 1e300]) }),
      () => ({ show_words: this.chance(0.5), show_arcs: this.chance(0.5) }),
      () => ({ include_sinks: this.chance(0.5), profile_as_share: this.chance(0.5) }),
      () => ({ direction: this.pick(["row", "column"]) }),
      () => ({ state: this.pick(["empty", "computing", "ready", "error"]) }),
      () => ({ offered: { metrics: [], baselines: [] }, statistics: [], layer_info: [] }),
      () => ({
        query: {
          method: this.pick(TEXTS),
          exact: this.chance(0.5),
          metric: this.pick(TEXTS),
          short_metric: this.pick(TEXTS),
          unit: this.pick(TEXTS),
          divergence: this.chance(0.5),
          words: { ...traits().query.words, row: this.pick(TEXTS), positive: this.pick(TEXTS) },
          site: this.pick(TEXTS),
        },
      }),
    ])();
  }
}

const errors: unknown[] = [];
const failed = (event: Event): void => void errors.push((event as ErrorEvent).error ?? event);

beforeEach(() => {
  vi.useFakeTimers();
  errors.length = 0;
  window.addEventListener("error", failed);
});

afterEach(() => {
  window.removeEventListener("error", failed);
  vi.useRealTimers();
  document.body.replaceChildren();
});

interface Shown {
  readonly model: FakeModel;
  readonly store: ReturnType<typeof openStore>["store"];
  readonly page: ShadowRoot;
  readonly close: () => void;
}

function show(): Shown {
  const { model, store } = openStore();
  const el = document.createElement("div");
  document.body.append(el);
  const close = mount(store, el);
  store.kernel.greet();
  const page = el.querySelector(".horizon-widget")?.shadowRoot;
  if (!page) throw new Error("nothing is mounted");
  return { model, store, page, close };
}

/** Expects only the widget's own elements, and no code. */
function expectNoMarkup(page: ShadowRoot): void {
  expect(page.querySelector("img, script, iframe, object, embed, link, x-planted, animate, base")).toBeNull();
  for (const element of page.querySelectorAll("*"))
    for (const { name, value } of element.attributes) {
      expect(name).not.toMatch(/^on/);
      if (["src", "href", "srcdoc", "action", "style"].includes(name)) expect(value).not.toContain("planted");
    }
}

/** Does something that a reader could do. */
function use(fuzz: Fuzz, { page, store }: Shown): void {
  const elements = [
    ...page.querySelectorAll<HTMLElement>("button, [data-position], input, select, [tabindex]"),
  ];
  if (elements.length === 0) return;
  const element = fuzz.pick(elements);
  const key = fuzz.pick(["Enter", "Escape", "ArrowRight", "ArrowDown", "Home", "End", "c", "p", "s", " "]);
  fuzz.pick([
    () => element.click(),
    () => element.focus(),
    () => element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })),
    () => element.dispatchEvent(new Event("input", { bubbles: true })),
    () => element.dispatchEvent(new Event("change", { bubbles: true })),
    () => element.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: 9, clientY: 9 })),
    () => store.selection.selectCellAt(fuzz.below(10)),
    () => store.selection.undo(),
    () => store.selection.redo(),
    () => store.maps.main.want(fuzz.pick(ASPECTS)),
  ])();
}

let mapId = 100;

/** The kernel sends another map in the usual form. */
function recover({ model, store, page }: Shown): void {
  mapId += 1;
  model.fromKernel(traits({ map_id: mapId }));
  for (let layer = 0; layer < N_LAYERS; layer += 1) {
    const rows = unaligned(new Array(WORDS.length * 7).fill(0.25));
    const head = { type: "values", map_id: mapId, layer, sources: WORDS.map((_, i) => i), n_targets: 7 };
    model.tell(head, rows, unaligned(new Array(2 * WORDS.length).fill(0.5)));
  }
  vi.advanceTimersByTime(2 * FRAME_MS);
  expect(store.maps.main.rows.value.nSources(N_LAYERS - 1)).toBe(WORDS.length);
  expect(page.querySelector('[data-position="0"]')?.textContent).toContain("Anna");
  expect(page.querySelector('[data-position="1"]')?.getAttribute("aria-label")).toContain("0.50");
}

describe("odd messages and traits", () => {
  it("do not break the view, become markup or pile up", { timeout: 300_000 }, () => {
    const fuzz = new Fuzz(20_250_131);
    const shown = show();
    const { model, store, page } = shown;
    recover(shown);
    const nListeners = model.nListeners;
    const nElements: number[] = [];
    for (let step = 0; step < N_STEPS; step += 1) {
      const { nTokens } = store.maps.main.rows.value;
      if (fuzz.chance(0.5)) model.tell(fuzz.message(nTokens), ...fuzz.buffers());
      else model.fromKernel(fuzz.traits(nTokens));
      if (step % 10 === 0) use(fuzz, shown);
      if (step % 50 === 0) {
        vi.advanceTimersByTime(FRAME_MS);
        expectNoMarkup(page);
        expect(errors).toEqual([]);
      }
      if (step % 500 === 499) {
        recover(shown);
        nElements.push(page.querySelectorAll("*").length);
      }
    }
    expect(store.kernel.connection.state.value).not.toBe("refused");
    expect(model.nListeners).toBe(nListeners);
    expect(Math.max(...nElements.slice(5))).toBeLessThan(1.25 * Math.max(...nElements.slice(0, 5)));
    expect(vi.getTimerCount()).toBeLessThan(20);
    expect(({} as { readonly type?: unknown }).type).toBeUndefined();
    shown.close();
    store.dispose();
  });
});

describe("tokens and names", () => {
  const evil = [
    ...TEXTS,
    "\u2066isolated\u2069",
    "\u00ad",
    "\u{e0041}",
    `e${"\u0301".repeat(200)}`,
    "🙂".repeat(5000),
  ];

  it("are shown as text, invisible characters as marks", () => {
    const shown = show();
    const { model, page } = shown;
    const tokens = evil.map((text, word) => ({ text, piece: null, id: null, word }));
    model.fromKernel({
      ...traits({ map_id: 2, tokens, n_targets: tokens.length - 1, model_name: MARKUP[0] ?? "" }),
      prompt: evil.join(""),
      find: "planted",
    });
    vi.advanceTimersByTime(2 * FRAME_MS);
    for (const [position, text] of evil.entries()) {
      const token = page.querySelector<HTMLElement>(`[data-position="${position}"]`);
      if (token === null) throw new Error(`no token ${position}`);
      token.click();
      token.focus();
      vi.advanceTimersByTime(2 * FRAME_MS);
      expectNoMarkup(page);
      if (MARKUP.includes(text)) expect(token.textContent).toBe(text);
      const seen = `${token.textContent} ${token.getAttribute("aria-label")} ${token.title}`;
      expect(INVISIBLE.filter((character) => seen.includes(character))).toEqual([]);
      expect(token.getAttribute("aria-label")?.length ?? 0).toBeLessThan(1000);
    }
    expect(page.textContent).toContain(MARKUP[0]);
    expect(errors).toEqual([]);
    shown.close();
    shown.store.dispose();
  });
});

it("a kernel of another version is refused in words, whatever else it sends", () => {
  const shown = show();
  shown.model.fromKernel({ protocol_version: PROTOCOL_VERSION + 1, model_name: MARKUP[1] });
  const fuzz = new Fuzz(3);
  for (let step = 0; step < 200; step += 1) shown.model.tell(fuzz.message(8), ...fuzz.buffers());
  vi.advanceTimersByTime(2 * FRAME_MS);
  expect(shown.store.kernel.connection.state.value).toBe("refused");
  expectNoMarkup(shown.page);
  shown.close();
  shown.store.dispose();
});

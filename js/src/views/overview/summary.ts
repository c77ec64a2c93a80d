/** The summary of the map for one view: brought up to date a few times a second, and only while it can be seen. */

import { type Signal, signal } from "@preact/signals-core";
import { type MapSummary, summaryOf } from "../../state/overview";
import { leftOut, type View } from "../shared";

/** Values may arrive in every frame; nobody reads so fast. */
const EVERY_MS = 300;

export class SummaryOfView {
  /** Changes when something in it does. */
  readonly changed: Signal<number> = signal(0);
  /** Positions that are left out. */
  without: readonly number[] = [];
  readonly #view: View;
  readonly #visible: Signal<boolean> = signal(true);
  #summary: MapSummary;
  #version = -1;
  #last = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(view: View, element: HTMLElement) {
    this.#view = view;
    const { store, frames } = view;
    const { traits } = store;
    this.#summary = summaryOf(store.rows.peek());
    // Another map, or other sinks: at once. Values: now and then.
    frames.watch([store.rows, traits.include_sinks, traits.sinks, traits.statistics], () => this.#update());
    frames.watch([store.arrived, traits.layer_info, this.#visible], () => this.#updateSoon());
    frames.keep(() => clearTimeout(this.#timer));
    if (typeof IntersectionObserver !== "undefined") {
      const observer = new IntersectionObserver(
        (entries) => {
          this.#visible.value = entries.at(-1)?.isIntersecting ?? true;
        },
        { rootMargin: "200px" },
      );
      observer.observe(element);
      frames.keep(() => observer.disconnect());
    }
  }

  get now(): MapSummary {
    return this.#summary;
  }

  /** How far a source reaches that is counted: the first of them the furthest. */
  get furthest(): number {
    let first = 0;
    while (this.without.includes(first)) first += 1;
    return this.#view.store.rows.value.nTargets - first;
  }

  #updateSoon(): void {
    if (!this.#visible.value || this.#timer !== undefined) return;
    const wait = this.#last + EVERY_MS - performance.now();
    if (wait <= 0) {
      this.#update();
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#update();
    }, wait);
  }

  #update(): void {
    const { store } = this.#view;
    const { traits } = store;
    const rows = store.rows.peek();
    const summary = summaryOf(rows);
    this.without = leftOut(store);
    summary.update({
      layers: traits.layer_info.peek(),
      sinks: traits.sinks.peek(),
      withSinks: traits.include_sinks.peek(),
      ownShare: traits.statistics.peek().findIndex(({ name }) => name === "own_share"),
    });
    this.#last = performance.now();
    if (summary === this.#summary && summary.version === this.#version) return;
    this.#summary = summary;
    this.#version = summary.version;
    this.changed.value += 1;
  }
}

/** The summary of the map for one view, updated a few times a second while it is visible. */

import { computed, type Signal, signal, untracked } from "@preact/signals-core";
import { type MapSummary, summaryOf } from "../../state/overview";
import type { View } from "../shared";

/** Values may arrive in every frame; readers need fewer updates. */
const EVERY_MS = 300;

export class SummaryOfView {
  readonly #view: View;
  /** Changes when something in the summary does. */
  readonly #changed = signal(0);
  readonly #visible: Signal<boolean> = signal(true);
  #summary: MapSummary;
  #version = -1;
  #last = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(view: View, element: HTMLElement) {
    this.#view = view;
    const { frames, map } = view;
    this.#summary = summaryOf(map.rows.peek());
    frames.watch(() => this.#update());
    const news = computed(() => this.#visible.value && [map.rows.value.arrived, map.traits.layer_info.value]);
    frames.on(news, () => this.#updateSoon());
    frames.onDispose(() => clearTimeout(this.#timer));
    if (typeof IntersectionObserver !== "undefined") {
      const observer = new IntersectionObserver(
        (entries) => {
          this.#visible.value = entries.at(-1)?.isIntersecting ?? true;
        },
        { rootMargin: "200px" },
      );
      observer.observe(element);
      frames.onDispose(() => observer.disconnect());
    }
  }

  get now(): MapSummary {
    this.#changed.value;
    return this.#summary;
  }

  /** The largest offset of any counted source: the first of them reaches furthest. */
  get furthest(): number {
    let first = 0;
    const { map } = this.#view;
    const without = map.leftOut;
    while (without.includes(first)) first += 1;
    return map.rows.value.nTargets - first;
  }

  #updateSoon(): void {
    if (!this.#visible.peek() || this.#timer !== undefined) return;
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

  /** Follows another map or other sinks at once, and values and layers at intervals. */
  #update(): void {
    const { controls, rows, traits } = this.#view.map;
    const summary = summaryOf(rows.value);
    const counted = {
      layers: traits.layer_info.peek(),
      sinks: traits.sinks.value,
      withSinks: controls.include_sinks.value,
      ownShare: traits.statistics.value.findIndex(({ name }) => name === "own_share"),
    };
    untracked(() => summary.update(counted));
    this.#last = performance.now();
    if (summary === this.#summary && summary.version === this.#version) return;
    this.#summary = summary;
    this.#version = summary.version;
    this.#changed.value = this.#changed.peek() + 1;
  }
}

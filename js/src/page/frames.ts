/** Paints of one view: at most one per animation frame, however often the signals behind it change. */

import { effect, type ReadonlySignal } from "@preact/signals-core";

export class Frames {
  readonly #paints: (() => void)[] = [];
  readonly #dirty = new Set<() => void>();
  readonly #stops: (() => void)[] = [];
  #request: number | null = null;
  #disposed = false;

  /** Calls `paint` in the next frame after any of `signals` changes. Paints run in the order of their `watch`. */
  watch(signals: readonly ReadonlySignal<unknown>[], paint: () => void): void {
    this.#paints.push(paint);
    this.#stops.push(
      effect(() => {
        for (const signal of signals) signal.value;
        this.#dirty.add(paint);
        this.#schedule();
      }),
    );
  }

  /** Something to undo when the view goes. */
  keep(stop: () => void): void {
    this.#stops.push(stop);
  }

  /** Paints now what is waiting. */
  flush(): void {
    if (this.#request !== null) cancelAnimationFrame(this.#request);
    this.#request = null;
    if (this.#disposed) return;
    for (const paint of this.#paints) if (this.#dirty.delete(paint)) paint();
  }

  dispose(): void {
    this.#disposed = true;
    for (const stop of this.#stops) stop();
    this.#stops.length = 0;
    if (this.#request !== null) cancelAnimationFrame(this.#request);
    this.#request = null;
  }

  #schedule(): void {
    if (this.#disposed || this.#request !== null) return;
    this.#request = requestAnimationFrame(() => {
      this.#request = null;
      this.flush();
    });
  }
}

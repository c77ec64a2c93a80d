/** Paints of one view: at most one per animation frame, however often the signals behind it change. */

import { effect, type ReadonlySignal, untracked } from "@preact/signals-core";

interface Watched {
  readonly act: () => void;
  due: boolean;
  stop: () => void;
}

export class Frames {
  readonly #watched: Watched[] = [];
  readonly #undo: (() => void)[] = [];
  #request: number | null = null;
  #disposed = false;

  /**
   * Runs `act` in the next frame, and again in the next frame after any signal has changed whose value it read when it
   * ran last. What is watched first runs first.
   */
  watch(act: () => void): void {
    this.#watched.push({ act, due: true, stop: () => undefined });
    this.#schedule();
  }

  /** Runs `act` in the next frame after `signal` has changed, whatever else it reads: for events, not for paints. */
  on(signal: ReadonlySignal<unknown>, act: () => void): void {
    let before = signal.peek();
    this.watch(() => {
      const changed = signal.value !== before;
      before = signal.value;
      if (changed) untracked(act);
    });
  }

  /** Something to undo when the view goes. */
  onDispose(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** Runs now what is waiting. */
  flush(): void {
    if (this.#request !== null) cancelAnimationFrame(this.#request);
    this.#request = null;
    for (const watched of this.#watched) if (watched.due && !this.#disposed) this.#run(watched);
  }

  dispose(): void {
    this.#disposed = true;
    for (const undo of this.#undo) undo();
    for (const { stop } of this.#watched) stop();
    this.#undo.length = 0;
    this.#watched.length = 0;
    if (this.#request !== null) cancelAnimationFrame(this.#request);
    this.#request = null;
  }

  #run(watched: Watched): void {
    watched.stop();
    watched.due = false;
    let first = true;
    watched.stop = effect(() => {
      // Called again, it reads nothing, and so follows nothing until the frame comes.
      if (!first) {
        watched.due = true;
        this.#schedule();
        return;
      }
      first = false;
      try {
        watched.act();
      } catch (error) {
        // Told as any error of the page; the other paints go on.
        queueMicrotask(() => {
          throw error;
        });
      }
    });
    if (this.#disposed) watched.stop();
  }

  #schedule(): void {
    if (this.#disposed || this.#request !== null) return;
    this.#request = requestAnimationFrame(() => {
      this.#request = null;
      this.flush();
    });
  }
}

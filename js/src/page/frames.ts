/** Runs the paints of one view, each at most once per animation frame. */

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
   * Runs `act` in the next frame, and again in the next frame after a change of any signal that its last run read.
   * Acts run in the order in which they were added.
   */
  watch(act: () => void): void {
    this.#watched.push({ act, due: true, stop: () => undefined });
    this.#schedule();
  }

  /** Runs `act` in the next frame after a change of `signal`, and of no other signal that it reads. For events, not paints. */
  on(signal: ReadonlySignal<unknown>, act: () => void): void {
    let before = signal.peek();
    this.watch(() => {
      const changed = signal.value !== before;
      before = signal.value;
      if (changed) untracked(act);
    });
  }

  /** Runs `undo` when the view is closed. */
  onDispose(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** Runs what is due now. */
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
      // The second call reads no signal, so that no further change calls it before the frame.
      if (!first) {
        watched.due = true;
        this.#schedule();
        return;
      }
      first = false;
      try {
        watched.act();
      } catch (error) {
        // Reported like any error of the page; the other paints go on.
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

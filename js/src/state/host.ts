/** The state of the request to a remote model's host, in the kernel's words. */

import { type ReadonlySignal, signal } from "@preact/signals-core";

export interface Host {
  readonly words: string;
  /** When the words came, by `Date.now()`. */
  readonly since: number;
}

/** Requests that follow within this time are shown without a gap. */
export const GAP_MS = 400;

export class HostNews {
  readonly #now = signal<Host | null>(null);
  #gap: ReturnType<typeof setTimeout> | undefined;

  /** Null: no request is pending, nor was one a moment ago. */
  get now(): ReadonlySignal<Host | null> {
    return this.#now;
  }

  /** Called whenever the words may have changed; null: no request is pending. */
  hear(words: string | null): void {
    const before = this.#now.peek();
    if (words === null) {
      if (before !== null) this.#gap ??= setTimeout(() => this.#end(), GAP_MS);
    } else if (words !== before?.words || this.#gap !== undefined) {
      this.dispose();
      this.#now.value = { words, since: Date.now() };
    }
  }

  dispose(): void {
    clearTimeout(this.#gap);
    this.#gap = undefined;
  }

  #end(): void {
    this.dispose();
    this.#now.value = null;
  }
}

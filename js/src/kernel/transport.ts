/** How the page reaches the kernel: through anywidget, or a stand-in. */

import type { Controls, FromBrowser } from "./protocol";
import { TRAITS } from "./traits";

export interface Transport {
  get(trait: string): unknown;
  /** Sets traits here and in the kernel. */
  set(changes: Partial<Controls>): void;
  /** Calls back when any trait may have changed; returns a function that unsubscribes. */
  onChange(listener: () => void): () => void;
  send(message: FromBrowser): void;
  /** Calls back with each message, unchecked; returns a function that unsubscribes. */
  onMessage(listener: (content: unknown, buffers: readonly DataView[]) => void): () => void;
}

type Callback = (...args: never[]) => void;

/** The part of anywidget's model that is used. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown, callbacks?: unknown, buffers?: unknown): void;
  on(event: string, callback: Callback): void;
  off(event: string, callback: Callback): void;
}

export class ModelTransport implements Transport {
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
  }

  get(trait: string): unknown {
    return this.#model.get(trait);
  }

  set(changes: Partial<Controls>): void {
    for (const [name, value] of Object.entries(changes)) this.#model.set(name, value);
    attempt(() => this.#model.save_changes());
  }

  onChange(listener: () => void): () => void {
    // A function of its own, so that `off` removes no other listener.
    const changed = (): void => listener();
    for (const name of TRAITS) this.#model.on(`change:${name}`, changed);
    return () => {
      for (const name of TRAITS) this.#model.off(`change:${name}`, changed);
    };
  }

  send(message: FromBrowser): void {
    attempt(() => this.#model.send(message));
  }

  onMessage(listener: (content: unknown, buffers: readonly DataView[]) => void): () => void {
    const received = (content: unknown, buffers: unknown): void => listener(content, views(buffers));
    this.#model.on("msg:custom", received);
    return () => this.#model.off("msg:custom", received);
  }
}

/** Hosts throw if the kernel is gone. The page notices the missing answer. */
function attempt(send: () => void): void {
  try {
    send();
  } catch {
    // The missing answer is noticed by `Connection`.
  }
}

/** Hosts give buffers as `DataView`, `ArrayBuffer` or typed arrays. */
function views(buffers: unknown): DataView[] {
  if (!Array.isArray(buffers)) return [];
  return buffers.flatMap((buffer: unknown) => {
    if (ArrayBuffer.isView(buffer))
      return [new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)];
    return buffer instanceof ArrayBuffer ? [new DataView(buffer)] : [];
  });
}

/**
 * Where the page has its traits and values from, and whom it asks: a kernel through anywidget, or something that answers
 * `hello` and `ping` itself and says in `not_offered` what cannot be asked.
 */

import type { Controls, FromBrowser } from "./protocol";
import { TRAITS } from "./traits";

export type Received = (content: unknown, buffers: readonly DataView[]) => void;

export interface Transport {
  get(trait: string): unknown;
  /** Sets traits here and in the kernel. */
  set(changes: Partial<Controls>): void;
  send(message: FromBrowser): void;
  /** Calls back when traits may have changed, and with each message, unchecked; returns a function that unsubscribes. */
  listen(onTraits: () => void, onMessage: Received): () => void;
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

  send(message: FromBrowser): void {
    attempt(() => this.#model.send(message));
  }

  listen(onTraits: () => void, onMessage: Received): () => void {
    // Functions of its own, so that `off` removes no other listener.
    const changed = (): void => onTraits();
    const received = (content: unknown, buffers: unknown): void => onMessage(content, views(buffers));
    for (const name of TRAITS) this.#model.on(`change:${name}`, changed);
    this.#model.on("msg:custom", received);
    return () => {
      for (const name of TRAITS) this.#model.off(`change:${name}`, changed);
      this.#model.off("msg:custom", received);
    };
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

/** Whether the kernel answers. A ping follows each message, and a missing answer is noticed. */

import { type ReadonlySignal, signal } from "@preact/signals-core";
import { type FromBrowser, PROTOCOL_VERSION } from "./protocol";

/** How long the kernel may take to answer. With the delay of the host, the reader is told within three seconds. */
export const PATIENCE_MS = 2200;

/** `silent`: no answer in time; `refused`: the kernel uses another version of the protocol. */
export type ConnectionState = "new" | "greeting" | "silent" | "connected" | "refused";

export class Connection {
  readonly #state = signal<ConnectionState>("new");
  readonly #send: (message: FromBrowser) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #number = 0;
  /** Whether something was sent after the pending ping. */
  #askedSince = false;

  constructor(send: (message: FromBrowser) => void) {
    this.#send = send;
  }

  get state(): ReadonlySignal<ConnectionState> {
    return this.#state;
  }

  /** Says hello when the first view opens; the kernel may then use idle time. */
  greet(): void {
    if (this.#state.peek() !== "new") return;
    this.#state.value = "greeting";
    this.#wait(); // before hello: its answer may come at once
    this.#hello();
  }

  /** To be called after each message to the kernel. At most one ping is pending at a time. */
  asked(): void {
    if (this.#state.peek() === "new" || this.#state.peek() === "refused") return;
    if (this.#timer !== undefined) {
      this.#askedSince = true;
      return;
    }
    this.#ping();
  }

  /** Pings a silent kernel at once. */
  askAgain(): void {
    if (this.#state.peek() !== "silent") return;
    this.#ping();
  }

  /** To be called after each message from the kernel, whether or not it has read the last one. */
  heard(): void {
    if (this.#state.peek() === "refused" || this.#state.peek() === "new") return;
    // Values may have been sent earlier, so the pending ping still waits for its answer.
    if (this.#timer !== undefined) this.#wait();
    const wasSilent = this.#state.peek() === "silent";
    this.#state.value = "connected"; // before hello: its answer may come at once
    // Values may have been lost meanwhile.
    if (wasSilent) this.#hello();
  }

  /** The answer to `hello`, or to the ping of this number. */
  answered(number: number | null = null): void {
    if (number === null || number === this.#number) this.#stop();
    this.heard();
    if (this.#timer === undefined && this.#askedSince) this.asked();
  }

  refuse(): void {
    this.#stop();
    this.#state.value = "refused";
  }

  dispose(): void {
    this.#stop();
    this.#state.value = "new";
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wait(): void {
    this.#stop();
    this.#timer = setTimeout(() => {
      this.#state.value = "silent";
      this.#ping();
    }, PATIENCE_MS);
  }

  #ping(): void {
    this.#wait();
    this.#askedSince = false;
    this.#number += 1;
    this.#send({ type: "ping", number: this.#number });
  }

  #hello(): void {
    this.#send({ type: "hello", protocol_version: PROTOCOL_VERSION });
  }
}

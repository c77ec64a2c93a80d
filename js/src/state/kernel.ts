/** What the page knows of its kernel: the traits, whether it answers, and what went wrong. Messages go through here. */

import { batch, type Signal, signal } from "@preact/signals-core";
import { Connection } from "../kernel/connection";
import { type Finding, ProtocolError, read, type ToBrowser, type Values } from "../kernel/messages";
import {
  type Controls,
  type Failed,
  type FromBrowser,
  type Open,
  PROTOCOL_VERSION,
  type Problem,
} from "../kernel/protocol";
import type { Transport } from "../kernel/transport";
import { SyncedTraits, type TraitSignals } from "./synced";

export class Kernel {
  readonly #transport: Transport;
  readonly #synced = new SyncedTraits();
  readonly traits: TraitSignals = this.#synced.signals;
  readonly connection: Connection;
  /** Something received could not be read. */
  readonly problem: Signal<Problem | null> = signal(null);
  /** Something asked for could not be done; what is on the screen stays. */
  readonly failed: Signal<Failed | null> = signal(null);
  #unsubscribe = (): void => undefined;
  #onTraits = (): void => undefined;
  /** Whether the page's own changes are on their way into the host's model, which takes them one by one. */
  #setting = false;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.connection = new Connection((message) => transport.send(message));
    this.#readTraits();
  }

  /** Calls back when traits may have changed, and with values and findings; until `dispose`. */
  listen(onTraits: () => void, onMap: (message: Values | Finding) => void): void {
    this.#onTraits = onTraits;
    this.#unsubscribe = this.#transport.listen(
      () => this.#readTraits(),
      (content, buffers) => this.#receive(content, buffers, onMap),
    );
  }

  dispose(): void {
    this.connection.dispose();
    this.#unsubscribe();
  }

  // To the kernel

  /** A view opened: says hello to the kernel, the first time. */
  greet(): void {
    this.connection.greet();
  }

  /** Opens another map; if that is not possible, `failed` says why. */
  open(asked: Omit<Open, "type">): void {
    this.failed.value = null;
    this.send({ type: "open", ...asked });
  }

  writeOn(nTokens: number): void {
    this.failed.value = null;
    this.send({ type: "write_on", n_tokens: nTokens });
  }

  send(message: FromBrowser): void {
    this.#transport.send(message);
    this.connection.asked();
  }

  /** Shows changes at once, and sends them to the kernel. */
  set(changes: Partial<Controls>): void {
    const names = Object.keys(changes) as (keyof Controls)[];
    const changed = names.filter((name) => changes[name] !== this.traits[name].peek());
    if (changed.length === 0) return;
    const news = Object.fromEntries(changed.map((name) => [name, changes[name]])) as Partial<Controls>;
    batch(() => this.#synced.write(news));
    this.#setting = true;
    try {
      this.#transport.set(news);
      this.connection.asked();
    } finally {
      this.#setting = false;
    }
    this.#readTraits();
  }

  // From the kernel

  #readTraits(): void {
    // While changes are being set, the traits do not fit together.
    if (this.#setting) return;
    batch(() => {
      const version = this.#transport.get("protocol_version");
      if (version !== undefined && version !== PROTOCOL_VERSION) {
        this.traits.protocol_version.value = version as number;
        this.connection.refuse();
        return;
      }
      if (this.#synced.read((name) => this.#transport.get(name))) this.connection.heard();
      this.#onTraits();
    });
  }

  #receive(content: unknown, buffers: readonly DataView[], onMap: (message: Values | Finding) => void): void {
    try {
      const message = read(content, buffers);
      batch(() => this.#answer(message, onMap));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.problem.value = {
        title: "This page could not read something that the kernel sent",
        advice:
          "What is shown may be incomplete. Reload the page; if that does not help, restart the kernel.",
        detail: error.message,
      };
    }
  }

  #answer(message: ToBrowser, onMap: (message: Values | Finding) => void): void {
    if (message.type === "welcome" && message.protocol_version !== PROTOCOL_VERSION) this.connection.refuse();
    if (this.connection.state.value === "refused") return;
    if (message.type === "welcome") this.connection.answered();
    else if (message.type === "pong") this.connection.answered(message.number);
    else this.connection.heard();
    if (message.type === "failed") this.failed.value = message;
    else if (message.type === "values" || message.type === "finding") onMap(message);
    else if (message.type === "rejected")
      this.problem.value = {
        title: "The kernel could not read a message from this page",
        advice: "Reload the page; if that does not help, restart the kernel.",
        detail: message.reason,
      };
  }
}

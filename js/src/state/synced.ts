/** The traits as signals: what the kernel sets comes in, and what this page sets is not read again. */

import { type Signal, signal } from "@preact/signals-core";
import type { Controls, Traits } from "../kernel/protocol";
import { INITIAL, TRAITS, type TraitName } from "../kernel/traits";

export type TraitSignals = { readonly [K in TraitName]: Signal<Traits[K]> };

export class SyncedTraits {
  readonly signals: TraitSignals = Object.fromEntries(
    TRAITS.map((name) => [name, signal(INITIAL[name])]),
  ) as unknown as TraitSignals;
  /** As they were last read or written. */
  readonly #raw = new Map<TraitName, unknown>();

  /** Takes in what has changed; returns whether anything has. */
  read(get: (name: TraitName) => unknown): boolean {
    return TRAITS.filter((name) => this.#readOne(name, get(name))).length > 0;
  }

  /** Sets what the browser may set. */
  write(changes: Partial<Controls>): void {
    for (const name of Object.keys(changes) as (keyof Controls)[]) this.#set(name, changes[name]);
  }

  #readOne(name: TraitName, raw: unknown): boolean {
    if (raw === undefined || this.#raw.get(name) === raw) return false;
    this.#set(name, raw);
    return true;
  }

  #set(name: TraitName, raw: unknown): void {
    this.#raw.set(name, raw);
    // Traits are empty objects until the kernel sets them.
    (this.signals[name] as Signal<unknown>).value = isEmptyObject(raw) ? INITIAL[name] : raw;
  }
}

function isEmptyObject(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
  );
}

/** The traits as signals: what the kernel sets is checked on its way in, and what we set is not read again. */

import { type Signal, signal } from "@preact/signals-core";
import { type Controls, checkTrait, INITIAL, TRAITS, type TraitName, type Traits } from "../kernel/traits";

export type TraitSignals = { readonly [K in TraitName]: Signal<Traits[K]> };

/** What came of reading the traits. */
export interface Read {
  /** Whether the kernel has changed any. */
  readonly heard: boolean;
  /** Why some do not fit their description. */
  readonly misfits: readonly string[];
}

export class SyncedTraits {
  readonly signals: TraitSignals = Object.fromEntries(
    TRAITS.map((name) => [name, signal(INITIAL[name])]),
  ) as unknown as TraitSignals;
  /** As they were last read or written. */
  readonly #raw = new Map<TraitName, unknown>();

  /** Takes in what has changed since. */
  read(get: (name: TraitName) => unknown): Read {
    const misfits: string[] = [];
    const heard = TRAITS.filter((name) => this.#readOne(name, get(name), misfits)).length > 0;
    this.#keepTargetsWithinText(misfits);
    return { heard, misfits };
  }

  /** Sets what the browser may set. */
  write(changes: Partial<Controls>): void {
    for (const name of Object.keys(changes) as (keyof Controls)[]) {
      this.#raw.set(name, changes[name]);
      (this.signals[name] as Signal<unknown>).value = changes[name];
    }
  }

  /** Whether the kernel has changed it. */
  #readOne<K extends TraitName>(name: K, raw: unknown, misfits: string[]): boolean {
    if (raw === undefined || (this.#raw.has(name) && this.#raw.get(name) === raw)) return false;
    this.#raw.set(name, raw);
    // Traits are empty objects until the kernel sets them.
    const checked = checkTrait(name, isEmptyObject(raw) ? INITIAL[name] : raw);
    if (checked.ok) (this.signals[name] as Signal<Traits[K]>).value = checked.value;
    else misfits.push(checked.reason);
    return true;
  }

  #keepTargetsWithinText(misfits: string[]): void {
    const { tokens, n_targets: nTargets } = this.signals;
    const most = tokens.value.length;
    if (nTargets.value <= most) return;
    misfits.push(`n_targets should be at most ${most}, the number of tokens, got ${nTargets.value}`);
    nTargets.value = most;
    this.#raw.delete("n_targets"); // its tokens may follow
  }
}

function isEmptyObject(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
  );
}

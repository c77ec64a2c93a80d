/** Findings about single cells of one map. Effects that read them run again on every finding and question. */

import { signal } from "@preact/signals-core";
import type { Finding } from "../kernel/messages";
import type { Aspect } from "../kernel/protocol";
import type { Cell } from "./reading";

const MOST_KEPT = 500;

/** What is known of a cell, aspect by aspect. */
export type Known = { readonly [A in Aspect]?: Extract<Finding, { aspect: A }> };

export class CellFindings {
  readonly #known = new Map<string, Known>();
  /** Aspects that the reader asked for, beyond those always asked, by cell. */
  readonly #wanted = new Map<string, Set<Aspect>>();
  readonly #changed = signal(0);
  #asked: { readonly key: string; readonly aspects: ReadonlySet<Aspect> } | null = null;

  of(cell: Cell): Known {
    this.#changed.value;
    return this.#known.get(keyOf(cell)) ?? {};
  }

  /** Whether an aspect was asked for by the reader. */
  isWanted(cell: Cell, aspect: Aspect): boolean {
    this.#changed.value;
    return this.#wanted.get(keyOf(cell))?.has(aspect) === true;
  }

  want(cell: Cell, aspect: Aspect): void {
    const key = keyOf(cell);
    const { [aspect]: failed, ...others } = this.of(cell);
    // A failed aspect is asked again.
    if (failed !== undefined && failed.found === null) {
      this.#known.set(key, others);
      this.#asked = null;
    }
    this.#wanted.set(key, (this.#wanted.get(key) ?? new Set()).add(aspect));
    forgetOldest(this.#wanted);
    this.#changed.value += 1;
  }

  /**
   * What the kernel is still to be asked: the aspects always asked, then those the reader asked for. The kernel forgets
   * its questions about one cell when it is asked about another, and so does this.
   */
  missing(cell: Cell, always: readonly Aspect[]): readonly Aspect[] {
    const key = keyOf(cell);
    const known = this.of(cell);
    const wanted = new Set([...always, ...(this.#wanted.get(key) ?? [])]);
    const underWay = this.#asked?.key === key ? this.#asked.aspects : new Set<Aspect>();
    return [...wanted].filter((aspect) => known[aspect] === undefined && !underWay.has(aspect));
  }

  /** Notes that the kernel was asked. */
  asked(cell: Cell, aspects: readonly Aspect[]): void {
    const key = keyOf(cell);
    const before = this.#asked?.key === key ? this.#asked.aspects : [];
    this.#asked = { key, aspects: new Set([...before, ...aspects]) };
  }

  /** The kernel may have lost what it was asked. */
  forgetAsked(): void {
    this.#asked = null;
    this.#changed.value += 1;
  }

  receive(finding: Finding): void {
    const key = keyOf(finding);
    const before = this.#known.get(key);
    this.#known.delete(key); // the newest is forgotten last
    this.#known.set(key, { ...before, [finding.aspect]: finding });
    forgetOldest(this.#known);
    this.#changed.value += 1;
  }

  clear(): void {
    this.#known.clear();
    this.#wanted.clear();
    this.#asked = null;
    this.#changed.value += 1;
  }
}

function forgetOldest(map: Map<string, unknown>): void {
  const oldest = map.keys().next().value;
  if (map.size > MOST_KEPT && oldest !== undefined) map.delete(oldest);
}

function keyOf({ layer, source, target }: Cell): string {
  return `${layer} ${source} ${target}`;
}

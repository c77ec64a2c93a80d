/** Undo of selections: what was looked at before, and before that. */

import { type ReadonlySignal, signal } from "@preact/signals-core";
import type { Controls } from "../kernel/traits";

export type Selection = Pick<
  Controls,
  "direction" | "statistic" | "selected_layer" | "selected_source" | "selected_target" | "selected_offset"
>;

export const SELECTION: readonly (keyof Selection)[] = [
  "direction",
  "statistic",
  "selected_layer",
  "selected_source",
  "selected_target",
  "selected_offset",
];

const LONGEST = 200;

export class History {
  readonly #past: Selection[] = [];
  readonly #future: Selection[] = [];
  readonly #canUndo = signal(false);
  readonly #canRedo = signal(false);
  #now: Selection | null = null;

  get canUndo(): ReadonlySignal<boolean> {
    return this.#canUndo;
  }

  get canRedo(): ReadonlySignal<boolean> {
    return this.#canRedo;
  }

  /** Notes what is selected now. Going through the layers counts as one step. */
  note(selection: Selection): void {
    const before = this.#now;
    if (before !== null && same(before, selection)) return;
    this.#now = selection;
    const last = this.#past.at(-1);
    const sliding =
      before !== null && last !== undefined && onlyLayer(last, before) && onlyLayer(before, selection);
    if (before !== null && !sliding) this.#past.push(before);
    if (this.#past.length > LONGEST) this.#past.shift();
    this.#future.length = 0;
    this.#tell();
  }

  /** The selection before this one, or null. */
  undo(): Selection | null {
    return this.#step(this.#past, this.#future);
  }

  redo(): Selection | null {
    return this.#step(this.#future, this.#past);
  }

  /** Another map: its positions are others. */
  clear(): void {
    this.#past.length = 0;
    this.#future.length = 0;
    this.#now = null;
    this.#tell();
  }

  #step(from: Selection[], to: Selection[]): Selection | null {
    const next = from.pop();
    if (next === undefined || this.#now === null) return null;
    to.push(this.#now);
    this.#now = next;
    this.#tell();
    return next;
  }

  #tell(): void {
    this.#canUndo.value = this.#past.length > 0;
    this.#canRedo.value = this.#future.length > 0;
  }
}

function same(a: Selection, b: Selection): boolean {
  return SELECTION.every((name) => a[name] === b[name]);
}

function onlyLayer(a: Selection, b: Selection): boolean {
  return SELECTION.every((name) => name === "selected_layer" || a[name] === b[name]);
}

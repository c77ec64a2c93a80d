/** Undo and redo of selections. */

import { type ReadonlySignal, signal } from "@preact/signals-core";
import type { Controls } from "../kernel/protocol";

export type Selected = Pick<
  Controls,
  "direction" | "statistic" | "selected_layer" | "selected_source" | "selected_target" | "selected_offset"
>;

export const SELECTION: readonly (keyof Selected)[] = [
  "direction",
  "statistic",
  "selected_layer",
  "selected_source",
  "selected_target",
  "selected_offset",
];

const LONGEST = 200;
/** After this time a selection by the kernel counts as complete: its traits may come one by one. */
export const SETTLED_MS = 200;

export class History {
  readonly #past: Selected[] = [];
  readonly #future: Selected[] = [];
  readonly #canUndo = signal(false);
  readonly #canRedo = signal(false);
  #now: Selected | null = null;
  #unsettled: { readonly selection: Selected; readonly timer: ReturnType<typeof setTimeout> } | null = null;

  get canUndo(): ReadonlySignal<boolean> {
    return this.#canUndo;
  }

  get canRedo(): ReadonlySignal<boolean> {
    return this.#canRedo;
  }

  /** Notes the selection before the first step. */
  begin(selection: Selected): void {
    if (this.#now === null) this.note(selection);
  }

  /** Notes a selection by the reader. Moving through layers counts as one step. */
  note(selected: Selected): void {
    this.#settle();
    const selection = sound(selected);
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

  /** Notes a selection by the kernel once it is stable; an echo of the noted one is no step. */
  noteSoon(selected: Selected): void {
    this.#forgetUnsettled();
    const selection = sound(selected);
    if (this.#now !== null && same(this.#now, selection)) return;
    this.#unsettled = { selection, timer: setTimeout(() => this.#settle(), SETTLED_MS) };
  }

  /** The selection before this one, or null. */
  undo(): Selected | null {
    this.#settle();
    return this.#step(this.#past, this.#future);
  }

  redo(): Selected | null {
    this.#settle();
    return this.#step(this.#future, this.#past);
  }

  /** Forgets everything: another map has other positions. */
  clear(): void {
    this.#forgetUnsettled();
    this.#past.length = 0;
    this.#future.length = 0;
    this.#now = null;
    this.#tell();
  }

  #settle(): void {
    const unsettled = this.#unsettled;
    this.#forgetUnsettled();
    if (unsettled !== null) this.note(unsettled.selection);
  }

  #forgetUnsettled(): void {
    if (this.#unsettled !== null) clearTimeout(this.#unsettled.timer);
    this.#unsettled = null;
  }

  #step(from: Selected[], to: Selected[]): Selected | null {
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

/** A target at or before its source is no cell; only the anchor is kept. */
function sound(selection: Selected): Selected {
  const { direction, selected_source: source, selected_target: target } = selection;
  if (source === null || target === null || target > source) return selection;
  return { ...selection, [direction === "row" ? "selected_target" : "selected_source"]: null };
}

function same(a: Selected, b: Selected): boolean {
  return SELECTION.every((name) => a[name] === b[name]);
}

function onlyLayer(a: Selected, b: Selected): boolean {
  return SELECTION.every((name) => name === "selected_layer" || a[name] === b[name]);
}

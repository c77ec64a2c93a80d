/** Marks on units: search results, sinks, and the ends of the selected cell. */

import type { ReadonlySignal } from "@preact/signals-core";
import { anchorOf } from "../../state/reading";
import { occurrences } from "../../state/words";
import type { View } from "../shared";
import type { Units } from "./units";

export class Marks {
  readonly #view: View;
  readonly #units: ReadonlySignal<Units>;
  readonly #marked = new Map<string, ReadonlySet<HTMLElement>>();

  constructor(view: View, units: ReadonlySignal<Units>) {
    this.#view = view;
    this.#units = units;
    const { frames, map } = view;
    frames.watch(() => this.#markFound());
    frames.watch(() => this.#mark("data-sink", map.traits.sinks.value));
    frames.watch(() => this.#markEnds());
  }

  #markFound(): void {
    const { controls, traits } = this.#view.map;
    const found = occurrences(traits.tokens.value, controls.find.value);
    this.#mark(
      "data-found",
      found.flatMap(({ start, stop }) => Array.from({ length: stop - start }, (_, i) => start + i)),
    );
  }

  /** The other end of the selected cell, and of the one under the cursor. */
  #markEnds(): void {
    const { cursor, map } = this.#view;
    const { kind } = map.reading.value;
    const cell = map.cell.value;
    this.#mark("data-source", cell === null || kind !== "column" ? [] : [cell.source]);
    this.#mark("data-target", cell === null || kind !== "row" ? [] : [cell.target]);
    const pointed = cursor.value;
    const ends = pointed === null ? [] : [pointed.source, pointed.target];
    const anchor = anchorOf(map.reading.value);
    this.#mark(
      "data-cursor",
      ends.filter((position) => position !== anchor),
    );
  }

  /** Marks the units at these positions, and no others. */
  #mark(name: string, positions: readonly number[]): void {
    const units = this.#units.value;
    const wanted = new Set<HTMLElement>();
    for (const position of positions) {
      const element = units.elements[units.indexOf(position)];
      if (element !== undefined) wanted.add(element);
    }
    const before = this.#marked.get(name) ?? new Set();
    for (const element of before) if (!wanted.has(element)) element.removeAttribute(name);
    for (const element of wanted) if (!before.has(element)) element.setAttribute(name, "");
    this.#marked.set(name, wanted);
  }
}

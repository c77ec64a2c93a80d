/** The selection in a map: methods that change it, and their undo. */

import { batch, computed, effect, type ReadonlySignal, untracked } from "@preact/signals-core";
import { type Controls, MOST_PINNED } from "../kernel/protocol";
import type { Direction } from "../kernel/traits";
import { History, SELECTION, type Selected } from "./history";
import type { InfluenceMap } from "./map";
import type { Cell } from "./reading";

const NOTHING = { selected_source: null, selected_target: null, selected_offset: null } as const;

export class Selection {
  readonly history = new History();
  readonly #map: InfluenceMap;
  readonly #set: (changes: Partial<Controls>) => void;
  readonly #selected: ReadonlySignal<Selected>;
  readonly #unsubscribe: () => void;

  /** `set`: changes controls here and in the kernel. */
  constructor(map: InfluenceMap, set: (changes: Partial<Controls>) => void) {
    this.#map = map;
    this.#set = set;
    this.#selected = computed(
      () =>
        Object.fromEntries(SELECTION.map((name) => [name, map.controls[name].value])) as unknown as Selected,
    );
    this.history.begin(this.#selected.peek());
    let rows = map.rows.peek();
    this.#unsubscribe = effect(() => {
      const selected = this.#selected.value;
      // Another map has other positions.
      if (map.rows.value !== rows) this.history.clear();
      rows = map.rows.value;
      untracked(() => this.history.noteSoon(selected));
    });
  }

  dispose(): void {
    this.#unsubscribe();
    this.history.clear();
  }

  /** Reads the text by one token: what its state is used for (row), or which states carry its prediction (column). */
  selectToken(position: number, direction: Direction = this.#direction): void {
    // Nothing predicts the first token, and nothing is read after the last.
    const { nTokens, nTargets } = this.#map.rows.peek();
    if (direction === "column" ? position < 1 || position > nTargets : position >= nTokens) return;
    const anchor = direction === "row" ? { selected_source: position } : { selected_target: position };
    this.#change({ ...NOTHING, direction, ...anchor });
  }

  clear(): void {
    this.#change(NOTHING);
  }

  /** Reads the same token in the other direction, or the same cell from its other end. */
  turn(direction: Direction): void {
    if (direction === this.#direction) return;
    const reading = this.#map.reading.peek();
    if (this.#map.cell.peek() !== null || (reading.kind !== "row" && reading.kind !== "column"))
      this.#change({ direction });
    else if (reading.kind === "column")
      this.selectToken(Math.min(reading.target, this.#map.rows.peek().nTokens - 1), "row");
    else if (reading.source > 0) this.selectToken(reading.source, "column");
    else this.#change({ ...NOTHING, direction });
  }

  selectLayer(layer: number): void {
    this.#change({ selected_layer: layer });
  }

  /** Selects a cell, in the direction that is read or in another one. */
  selectCell({ layer, source, target }: Cell, direction: Direction = this.#direction): void {
    this.#change({
      direction,
      selected_layer: layer,
      selected_source: source,
      selected_target: target,
      selected_offset: null,
    });
  }

  /** Selects the cell between the token that is read and another one. */
  selectCellAt(position: number): void {
    const cell = this.#map.cellAt(position);
    if (cell !== null) this.selectCell(cell);
  }

  /** Keeps the row or column, and releases the cell in it. */
  releaseCell(): void {
    this.#change(this.#direction === "row" ? { selected_target: null } : { selected_source: null });
  }

  selectStatistic(name: string): void {
    this.#change({ ...NOTHING, statistic: name });
  }

  /** Colours each token by its influence this many tokens ahead, at one layer. */
  selectOffset(layer: number, offset: number | null): void {
    this.#change({ ...NOTHING, selected_layer: layer, selected_offset: offset });
  }

  /** Returns whether the token is pinned now; at most `MOST_PINNED` are. */
  togglePin(source: number): boolean {
    const pins = this.#map.controls.pinned_sources.peek();
    const pinned = pins.includes(source);
    if (pinned) this.#set({ pinned_sources: pins.filter((pin) => pin !== source) });
    else if (pins.length < MOST_PINNED) this.#set({ pinned_sources: [...pins, source] });
    return !pinned && pins.length < MOST_PINNED;
  }

  undo(): void {
    this.#change(this.history.undo() ?? {});
  }

  redo(): void {
    this.#change(this.history.redo() ?? {});
  }

  get #direction(): Direction {
    return this.#map.controls.direction.peek();
  }

  #change(changes: Partial<Selected>): void {
    batch(() => {
      this.history.begin(this.#selected.peek());
      this.#set(changes);
      this.history.note(this.#selected.peek());
    });
  }
}

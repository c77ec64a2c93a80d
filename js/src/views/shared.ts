/** What the parts of one view share. They watch the store and this, and never call each other. */

import type { ReadonlySignal, Signal } from "@preact/signals-core";
import type { Frames } from "../frames";
import type { Context } from "../sentences";
import type { Store } from "../store";
import type { Surroundings } from "../theme";

export interface Cell {
  readonly layer: number;
  readonly target: number;
}

export interface View {
  readonly store: Store;
  readonly frames: Frames;
  readonly surroundings: ReadonlySignal<Surroundings>;
  /** The cell under the pointer, or under the keyboard's cursor. */
  readonly cursor: Signal<Cell | null>;
  /** The token under the pointer. */
  readonly pointed: Signal<number | null>;
  /** Tells that a click on a row known here was made at this time: its painting is timed. */
  readonly timePainting: (since: number) => void;
}

export function contextOf({ traits }: Store): Context {
  return {
    tokens: traits.tokens.value,
    query: traits.query.value,
    window: traits.window.value,
    layers: traits.layers.value,
  };
}

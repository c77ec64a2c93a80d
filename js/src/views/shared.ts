/** What the parts of one view share. They watch the store and the map, and never call each other. */

import type { ReadonlySignal, Signal } from "@preact/signals-core";
import type { Frames } from "../page/frames";
import type { Context } from "../page/sentences";
import type { Surroundings } from "../page/theme";
import type { InfluenceMap } from "../state/map";
import type { Cell } from "../state/reading";
import type { Store } from "../state/store";

export interface View {
  readonly store: Store;
  /** The map that is drawn. */
  readonly map: InfluenceMap;
  readonly frames: Frames;
  readonly surroundings: ReadonlySignal<Surroundings>;
  /** The host element of the shadow root. */
  readonly root: HTMLElement;
  /** The cell under the pointer, or under the keyboard's cursor. */
  readonly cursor: Signal<Cell | null>;
  /** The token under the pointer. */
  readonly pointed: Signal<number | null>;
  /** Whether the prompt is being edited. */
  readonly editing: Signal<boolean>;
  /** Makes a screen reader say something that the page does not show. */
  readonly announce: (words: string) => void;
  /** Times the paint of a click, made at this time, on a row that is known. */
  readonly timePainting: (since: number) => void;
}

/** Puts the focus on the token that the Tab key reaches. */
export function focusText({ root }: View): void {
  const token = root.shadowRoot?.querySelector('.text [tabindex="0"]');
  if (token instanceof HTMLElement) token.focus();
}

export function contextOf({ traits }: InfluenceMap): Context {
  return {
    tokens: traits.tokens.value,
    query: traits.query.value,
    window: traits.window.value,
    layers: traits.layer_info.value,
    nTargets: traits.n_targets.value,
    sinks: traits.sinks.value,
  };
}

/** Keys that work anywhere in a view, but where something is typed. */

import { listen } from "../../page/dom";
import type { View } from "../shared";

const TYPED_INTO = 'textarea, select, input:not([type="radio"], [type="range"], [type="checkbox"])';

export function listenToKeys({ store, root, frames }: View): void {
  frames.keep(
    listen(root, "keydown", (event) => {
      const [target] = event.composedPath();
      if (event.defaultPrevented || (target instanceof Element && target.matches(TYPED_INTO))) return;
      const deed = deedOf(event);
      if (deed === null) return;
      event.preventDefault();
      event.stopPropagation();
      if (deed === "undo") store.undo();
      else if (deed === "redo") store.redo();
      else
        store.selectLayer(Math.max(0, Math.min(store.traits.n_layers.value - 1, store.layer.value + deed)));
    }),
  );
}

function deedOf(event: KeyboardEvent): "undo" | "redo" | 1 | -1 | null {
  const { key, altKey, shiftKey } = event;
  const command = event.ctrlKey || event.metaKey;
  // On many keyboards the brackets themselves need AltGr, which some systems tell as Ctrl+Alt.
  if (command === altKey && key === "]") return 1;
  if (command === altKey && key === "[") return -1;
  if (!command || altKey) return null;
  if (key.toLowerCase() === "z") return shiftKey ? "redo" : "undo";
  return key.toLowerCase() === "y" && !shiftKey ? "redo" : null;
}

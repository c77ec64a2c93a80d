/** Keys that work anywhere in a view, except in text fields. */

import { listen } from "../../page/dom";
import type { View } from "../shared";

const TYPED_INTO = 'textarea, select, input:not([type="radio"], [type="range"], [type="checkbox"])';

export function listenToKeys({ map, store, root, frames }: View): void {
  frames.onDispose(
    listen(root, "keydown", (event) => {
      const [target] = event.composedPath();
      if (event.defaultPrevented || (target instanceof Element && target.matches(TYPED_INTO))) return;
      const action = actionOf(event);
      if (action === null) return;
      event.preventDefault();
      event.stopPropagation();
      if (action === "undo") store.selection.undo();
      else if (action === "redo") store.selection.redo();
      else
        store.selection.selectLayer(
          Math.max(0, Math.min(map.traits.n_layers.value - 1, map.layer.value + action)),
        );
    }),
  );
}

function actionOf(event: KeyboardEvent): "undo" | "redo" | 1 | -1 | null {
  const { key, altKey, shiftKey } = event;
  const command = event.ctrlKey || event.metaKey;
  // Many keyboards need AltGr for brackets, which some systems report as Ctrl+Alt.
  if (command === altKey && key === "]") return 1;
  if (command === altKey && key === "[") return -1;
  if (!command || altKey) return null;
  if (key.toLowerCase() === "z") return shiftKey ? "redo" : "undo";
  return key.toLowerCase() === "y" && !shiftKey ? "redo" : null;
}

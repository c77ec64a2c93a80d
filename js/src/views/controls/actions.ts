/** Buttons: edit, undo, redo, copy, full screen. */

import type { Traits } from "../../kernel/protocol";
import { h, listen, setAttribute, setRefused } from "../../page/dom";
import { pythonCall } from "../../page/python";
import { icon } from "../../page/svg";
import type { View } from "../shared";
import { CopyButton } from "./copy";
import { SwapButton } from "./swap";

const UNDO = "M6.5 3.5 3 7l3.5 3.5M3.4 7h6.1a3.5 3.5 0 0 1 0 7H7.5";
const FILL = "M9.5 3H13v3.5M13 3 9 7M6.5 13H3V9.5M3 13l4-4";
const LEAVE = "M12.5 7H9V3.5M9 7l4-4M3.5 9H7v3.5M7 9l-4 4";
const REDO = "M9.5 3.5 13 7 9.5 10.5M12.6 7H6.5a3.5 3.5 0 0 0 0 7h2";

export class ActionsView {
  readonly #edit = new SwapButton("tool", "Edit prompt", "Close editor");
  readonly #undo = h("button", { type: "button", class: "tool square" }, icon(UNDO));
  readonly #redo = h("button", { type: "button", class: "tool square" }, icon(REDO));
  readonly #copy: CopyButton;
  readonly #fillIcon = icon(FILL);
  readonly #leaveIcon = icon(LEAVE);
  readonly #whole = h("button", { type: "button", class: "tool square" }, this.#fillIcon, this.#leaveIcon);
  readonly element: HTMLElement;
  /** Shown below where there is no clipboard. */
  readonly fallback: HTMLElement;
  readonly #view: View;
  #wasEditing = false;

  constructor(view: View) {
    this.#view = view;
    const { frames, map, root, store } = view;
    const { canUndo, canRedo } = store.selection.history;
    this.#copy = new CopyButton(view, "tool", "Copy as Python", () => pythonCall(traitsOf(view)));
    setAttribute(this.#copy.element, "title", "The call in Python that makes this view");
    this.fallback = this.#copy.fallback;
    this.element = h(
      "div",
      { class: "actions" },
      this.#edit.element,
      h("span", { class: "pair" }, this.#undo, this.#redo),
      this.#copy.element,
      this.#whole,
    );
    named(this.#undo, "Undo the selection", "Control+Z Meta+Z");
    named(this.#redo, "Redo the selection", "Control+Shift+Z Meta+Shift+Z Control+Y");
    frames.onDispose(
      listen(this.#edit.element, "click", () => {
        if (map.whyNot("open") === undefined) view.editing.value = !view.editing.value;
      }),
    );
    frames.watch(() => setRefused(this.#edit.element, map.whyNot("open")));
    frames.onDispose(listen(this.#undo, "click", () => store.selection.undo()));
    frames.onDispose(listen(this.#redo, "click", () => store.selection.redo()));
    frames.watch(() => {
      setAttribute(this.#undo, "aria-disabled", !canUndo.value && "true");
      setAttribute(this.#redo, "aria-disabled", !canRedo.value && "true");
    });
    frames.watch(() => this.#paintEditing());
    this.#whole.hidden = !document.fullscreenEnabled || typeof root.requestFullscreen !== "function";
    frames.onDispose(listen(this.#whole, "click", () => void this.#fillScreen()));
    const changed = (): void => this.#paintWhole();
    changed();
    document.addEventListener("fullscreenchange", changed);
    frames.onDispose(() => document.removeEventListener("fullscreenchange", changed));
  }

  #paintEditing(): void {
    const { editing, root } = this.#view;
    const open = editing.value;
    setAttribute(root, "data-editing", open);
    setAttribute(this.#edit.element, "aria-expanded", String(open));
    this.#edit.show(open ? 1 : 0);
    if (this.#wasEditing && !open) this.#takeFocus();
    this.#wasEditing = open;
  }

  /** Takes the focus from the editor, which is being hidden. */
  #takeFocus(): void {
    const focused = this.#view.root.shadowRoot?.activeElement ?? null;
    if (focused === null || focused.closest(".editor") !== null) this.#edit.element.focus();
  }

  #paintWhole(): void {
    const full = this.#view.root.matches(":fullscreen");
    const name = full ? "Leave full screen" : "Full screen";
    setAttribute(this.#whole, "aria-label", name);
    setAttribute(this.#whole, "title", name);
    setAttribute(this.#fillIcon, "hidden", full);
    setAttribute(this.#leaveIcon, "hidden", !full);
  }

  async #fillScreen(): Promise<void> {
    const { root, announce } = this.#view;
    try {
      if (root.matches(":fullscreen")) await document.exitFullscreen();
      else await root.requestFullscreen();
    } catch {
      announce("This page does not allow full screen.");
    }
  }
}

function named(button: HTMLElement, name: string, keys: string): void {
  setAttribute(button, "aria-label", name);
  setAttribute(button, "aria-keyshortcuts", keys);
  setAttribute(button, "title", `${name} (Ctrl+${name.startsWith("Undo") ? "Z" : "Shift+Z"})`);
}

function traitsOf({ map, store }: View): Traits {
  const entries = Object.entries({ ...store.traits, ...map.traits });
  return Object.fromEntries(entries.map(([name, { value }]) => [name, value])) as unknown as Traits;
}

/** A button that copies a text. Where the page may not use the clipboard, it shows the text selected. */

import { h, listen } from "../../page/dom";
import type { View } from "../shared";
import { SwapButton } from "./swap";

/** How long the button says that it has copied. */
const SAID_MS = 2000;

export class CopyButton {
  readonly #button: SwapButton;
  readonly element: HTMLButtonElement;
  readonly #area = h("textarea", { class: "field-text code", readonly: true, rows: 8, spellcheck: "false" });
  readonly #close = h("button", { type: "button", class: "tool" }, "Close");
  /** Shown where there is no clipboard. */
  readonly fallback: HTMLElement;
  readonly #view: View;
  readonly #text: () => string;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(view: View, look: string, label: string, text: () => string) {
    this.#view = view;
    this.#text = text;
    this.#button = new SwapButton(look, label, "Copied");
    this.element = this.#button.element;
    this.#area.setAttribute("aria-label", label);
    this.fallback = h(
      "div",
      { class: "copy-panel", hidden: true },
      h(
        "p",
        { class: "quiet" },
        "This page may not use the clipboard: copy the selected text with Ctrl+C or ⌘C.",
      ),
      this.#area,
      this.#close,
    );
    const { frames } = view;
    frames.onDispose(listen(this.element, "click", () => void this.#copy()));
    frames.onDispose(listen(this.#close, "click", () => this.#leave()));
    frames.onDispose(
      listen(this.fallback, "keydown", (event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        this.#leave();
      }),
    );
    frames.onDispose(() => clearTimeout(this.#timer));
  }

  async #copy(): Promise<void> {
    const text = this.#text();
    if (!(await toClipboard(text))) {
      this.fallback.hidden = false;
      this.#area.value = text;
      this.#area.focus();
      this.#area.select();
      this.#area.scrollTop = 0;
      if (!copySelection()) return;
      this.#leave();
    }
    this.fallback.hidden = true;
    this.#button.show(1);
    this.#view.announce("Copied.");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#button.show(0), SAID_MS);
  }

  #leave(): void {
    this.fallback.hidden = true;
    this.element.focus();
  }
}

async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** The older way, which also works on pages without encryption. */
function copySelection(): boolean {
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  }
}

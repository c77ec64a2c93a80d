/** A labelled field, with what it takes and what is wrong with it. */

import { h, setAttribute, setText } from "../../page/dom";

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

let nFields = 0;

export class Field {
  readonly element: HTMLElement;
  readonly #controls: readonly Control[];
  readonly #title = h("strong");
  readonly #advice = h("span");
  readonly #error: HTMLElement;

  /** The label names the first control; the others name themselves. */
  constructor(name: string, label: string, hint: string, ...controls: readonly Control[]) {
    this.#controls = controls;
    nFields += 1;
    // Unique in the page, for its tests; a shadow root needs it unique within itself alone.
    const id = `field-${nFields}`;
    this.#error = h(
      "p",
      { class: "field-error", id: `${id}-error`, hidden: true },
      this.#title,
      " ",
      this.#advice,
    );
    const hints = hint === "" ? [] : [h("span", { class: "field-hint", id: `${id}-hint` }, hint)];
    for (const [i, control] of controls.entries()) {
      if (i === 0) control.id = id;
      setAttribute(
        control,
        "aria-describedby",
        [...(hint === "" ? [] : [`${id}-hint`]), `${id}-error`].join(" "),
      );
    }
    this.element = h(
      "div",
      { class: "field", "data-field": name },
      h("label", { for: id, class: "field-label" }, label),
      ...controls,
      ...hints,
      this.#error,
    );
  }

  /** Null: nothing is wrong. */
  complain(problem: { readonly title: string; readonly advice: string } | null): void {
    for (const control of this.#controls) setAttribute(control, "aria-invalid", problem !== null && "true");
    this.#error.hidden = problem === null;
    setText(
      this.#title,
      problem === null ? "" : /[.?!]$/u.test(problem.title) ? problem.title : `${problem.title}.`,
    );
    setText(this.#advice, problem?.advice ?? "");
  }

  get isWrong(): boolean {
    return !this.#error.hidden;
  }

  focus(): void {
    this.#controls.find((control) => !control.hidden)?.focus();
  }
}

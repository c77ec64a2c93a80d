/** Labelled fields with error messages. */

import { h, setAttribute, setText } from "../../page/dom";
import type { Wrong } from "./asking";

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

let nFields = 0;

/** Unique ids. A shadow root needs them unique only within itself. */
function newId(): string {
  nFields += 1;
  return `field-${nFields}`;
}

/** An error message below some controls. */
export class Complaint {
  readonly #title = h("strong");
  readonly #advice = h("span");
  readonly element = h("p", { class: "field-error", hidden: true }, this.#title, " ", this.#advice);
  readonly #controls: readonly Control[];

  constructor(...controls: readonly Control[]) {
    this.#controls = controls;
    this.element.id = `${newId()}-error`;
    for (const control of controls) setAttribute(control, "aria-describedby", this.element.id);
  }

  /** Null: nothing is wrong. */
  tell(problem: Wrong | null): void {
    for (const control of this.#controls) setAttribute(control, "aria-invalid", problem !== null && "true");
    this.element.hidden = problem === null;
    setText(
      this.#title,
      problem === null ? "" : /[.?!]$/u.test(problem.title) ? problem.title : `${problem.title}.`,
    );
    setText(this.#advice, problem?.advice ?? "");
  }
}

/** A labelled field with a hint and an error message. */
export class Field {
  readonly element: HTMLElement;
  readonly #controls: readonly Control[];
  readonly #complaint: Complaint;

  /** The label names the first control; the others have labels of their own. */
  constructor(name: string, label: string, hint: string, ...controls: readonly Control[]) {
    this.#controls = controls;
    this.#complaint = new Complaint(...controls);
    const id = newId();
    const [first] = controls;
    if (first !== undefined) first.id = id;
    const hints = hint === "" ? [] : [h("span", { class: "field-hint", id: `${id}-hint` }, hint)];
    for (const control of controls)
      setAttribute(
        control,
        "aria-describedby",
        [...hints, this.#complaint.element].map((element) => element.id).join(" "),
      );
    this.element = h(
      "div",
      { class: "field", "data-field": name },
      h("label", { for: id, class: "field-label" }, label),
      ...controls,
      ...hints,
      this.#complaint.element,
    );
  }

  /** Null: nothing is wrong. */
  complain(problem: Wrong | null): void {
    this.#complaint.tell(problem);
  }

  focus(): void {
    this.#controls.find((control) => !control.hidden)?.focus();
  }
}

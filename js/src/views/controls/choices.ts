/** A group of radio buttons, shown as words. */

import { h, listen, setAttribute } from "../../page/dom";
import type { Frames } from "../../page/frames";

export interface Choice {
  readonly value: string;
  readonly label: string;
  readonly title: string;
}

export class Choices {
  readonly element: HTMLFieldSetElement;
  readonly #name: string;
  readonly #legend: string;

  /** `name`: the name of the group. `look`: its class. */
  constructor(frames: Frames, name: string, legend: string, look: string, choose: (value: string) => void) {
    this.#name = name;
    this.#legend = legend;
    this.element = h("fieldset", { class: `choice ${look}` });
    // Arrow keys also cause clicks, and so does the current choice.
    frames.onDispose(
      listen(this.element, "click", (event) => {
        if (event.target instanceof HTMLInputElement) choose(event.target.value);
      }),
    );
  }

  offer(choices: readonly Choice[]): void {
    this.element.hidden = choices.length === 0;
    this.element.replaceChildren(
      h("legend", { class: "unseen" }, this.#legend),
      ...choices.map(({ value, label, title }) =>
        h(
          "label",
          { title },
          h("input", { type: "radio", name: this.#name, value, class: "unseen" }),
          h("span", {}, label),
        ),
      ),
    );
  }

  /** `inactive`: something else is shown at the moment. */
  check(value: string | undefined, inactive = false): void {
    setAttribute(this.element, "data-inactive", inactive);
    for (const input of this.element.querySelectorAll("input")) input.checked = input.value === value;
  }
}

/** A button whose label changes. It has room for each label, so that nothing beside it moves. */

import { h } from "../../page/dom";

export class SwapButton {
  readonly element: HTMLButtonElement;
  readonly #labels: readonly HTMLElement[];

  constructor(look: string, ...labels: readonly string[]) {
    this.#labels = labels.map((label) => h("span", {}, label));
    this.element = h("button", { type: "button", class: `${look} swap` }, ...this.#labels);
    this.show(0);
  }

  show(index: number): void {
    for (const [i, label] of this.#labels.entries()) {
      const visibility = i === index ? "visible" : "hidden";
      if (label.style.visibility !== visibility) label.style.visibility = visibility;
    }
  }
}

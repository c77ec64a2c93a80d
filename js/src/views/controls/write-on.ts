/** Lets the model write on: prompt and continuation become one map. */

import { MOST_WRITTEN } from "../../kernel/messages";
import { h, listen } from "../../page/dom";
import type { View } from "../shared";
import { Complaint } from "./field";

const DEFAULT = 20;

export class WriteOnView {
  readonly #number = h("input", {
    type: "number",
    class: "field-text number",
    min: 1,
    max: MOST_WRITTEN,
    step: 1,
    value: DEFAULT,
    "aria-label": "How many tokens the model writes on",
  });
  readonly #complaint = new Complaint(this.#number);
  readonly element = h(
    "form",
    { class: "write-on", novalidate: true, "aria-label": "Let the model write on" },
    h("span", { class: "quiet" }, "Or let the model write on: "),
    this.#number,
    h("span", { class: "quiet", "aria-hidden": "true" }, "tokens"),
    h("button", { type: "submit", class: "tool main" }, "Write on"),
    h("span", { class: "quiet" }, "What stands above and what the model adds become one map."),
    this.#complaint.element,
  );

  /** `write`: what is to be done with a number that can be. */
  constructor({ store, frames }: View, write: (nTokens: number) => void) {
    frames.keep(
      listen(this.element, "submit", (event) => {
        event.preventDefault();
        const wanted = this.#number.valueAsNumber;
        if (Number.isSafeInteger(wanted) && wanted >= 1 && wanted <= MOST_WRITTEN) write(wanted);
        else
          store.failed.value = {
            type: "failed",
            field: "n_tokens",
            problem: {
              title: "The model can write on by a whole number of tokens",
              advice: `Give a number from 1 to ${MOST_WRITTEN}.`,
              detail: "",
            },
          };
      }),
    );
    frames.watch([store.failed], () => {
      const failed = store.failed.value;
      this.#complaint.tell(failed?.field === "n_tokens" ? failed.problem : null);
    });
  }
}

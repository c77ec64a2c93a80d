/** Lets the model write on; prompt and continuation become one map. */

import { MOST_WRITTEN } from "../../kernel/protocol";
import { h, listen, setRefused, setText } from "../../page/dom";
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
    "aria-label": "Number of tokens to write",
  });
  readonly #complaint = new Complaint(this.#number);
  readonly #button = h(
    "button",
    { type: "submit", class: "tool main", "aria-describedby": "note-write-on" },
    "Write on",
  );
  readonly #note = h("span", { class: "quiet", id: "note-write-on" });
  readonly element = h(
    "form",
    { class: "write-on", novalidate: true, "aria-label": "Let the model write on" },
    h("span", { class: "quiet" }, "Or let the model write on: "),
    this.#number,
    h("span", { class: "quiet", "aria-hidden": "true" }, "tokens"),
    this.#button,
    this.#note,
    this.#complaint.element,
  );

  /** `write` gets a valid number of tokens. */
  constructor({ frames, map, store }: View, write: (nTokens: number) => void) {
    frames.onDispose(
      listen(this.element, "submit", (event) => {
        event.preventDefault();
        if (map.whyNot("write_on") !== undefined) return; // the reason is shown
        const wanted = this.#number.valueAsNumber;
        if (Number.isSafeInteger(wanted) && wanted >= 1 && wanted <= MOST_WRITTEN) write(wanted);
        else
          store.kernel.failed.value = {
            type: "failed",
            field: "n_tokens",
            problem: {
              title: "The model cannot write this number of tokens",
              advice: `Give a whole number from 1 to ${MOST_WRITTEN}.`,
              detail: "",
            },
          };
      }),
    );
    frames.watch(() => {
      const reason = map.whyNot("write_on");
      setRefused(this.#button, reason);
      setText(this.#note, reason ?? "The text above and its continuation become one map.");
    });
    frames.watch(() => {
      const failed = store.kernel.failed.value;
      this.#complaint.tell(failed?.field === "n_tokens" ? failed.problem : null);
    });
  }
}

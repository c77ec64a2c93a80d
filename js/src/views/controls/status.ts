/** What went wrong, or is missing: in plain words, with advice, and details to copy. */

import type { ConnectionState } from "../../kernel/connection";
import { PROTOCOL_VERSION, type Problem } from "../../kernel/traits";
import { h, listen, setAttribute, setText } from "../../page/dom";
import type { Store } from "../../state/store";
import type { View } from "../shared";

const CONNECTION: Partial<Record<ConnectionState, Problem>> = {
  silent: {
    title: "The kernel does not answer",
    advice: "It is busy or gone. Values appear here when it answers; otherwise run the cell again.",
    detail: "",
  },
  refused: {
    title: "This page and the kernel do not speak the same version",
    advice:
      "horizon_widget was probably upgraded meanwhile: restart the kernel, reload the page, and run the cell again.",
    detail: "",
  },
};

export class StatusView {
  readonly #title = h("strong", { class: "status-title" });
  readonly #advice = h("p", { class: "status-advice" });
  readonly #detail = h("pre", { class: "status-detail" });
  readonly #copy = h("button", { type: "button", class: "plain" }, "Copy details");
  readonly #details = h("details", {}, h("summary", {}, "Details"), this.#detail, this.#copy);
  readonly #notice = h(
    "div",
    { class: "notice", role: "status", hidden: true },
    this.#title,
    this.#advice,
    this.#details,
  );
  readonly #empty = h("p", { class: "empty", hidden: true });
  readonly element = h("div", { class: "status" }, this.#notice, this.#empty);
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { store, frames } = view;
    const { traits } = store;
    frames.keep(listen(this.#copy, "click", () => this.#copyDetail()));
    frames.watch([traits.error, store.connection.state, store.problem], () => this.#paintNotice());
    frames.watch([traits.tokens, traits.state, store.connection.state], () => this.#paintEmpty());
  }

  #paintNotice(): void {
    const problem = problemOf(this.#view.store);
    this.#notice.hidden = problem === null;
    setAttribute(
      this.#notice,
      "data-kind",
      this.#view.store.traits.error.value === null ? "notice" : "error",
    );
    setText(this.#title, problem?.title ?? "");
    setText(this.#advice, problem?.advice ?? "");
    setText(this.#detail, problem?.detail ?? "");
    this.#details.hidden = (problem?.detail ?? "") === "";
    setText(this.#copy, "Copy details");
  }

  #paintEmpty(): void {
    const { traits } = this.#view.store;
    this.#empty.hidden = traits.tokens.value.length > 0 || traits.state.value === "error";
    setText(this.#empty, traits.state.value === "computing" ? "Reading the prompt …" : "No prompt yet.");
  }

  #copyDetail(): void {
    const copied = navigator.clipboard?.writeText(this.#detail.textContent ?? "") ?? Promise.reject();
    copied.then(
      () => setText(this.#copy, "Copied"),
      () => {
        // No clipboard in this host: select the text, so that the keyboard can copy it.
        this.#details.open = true;
        getSelection()?.selectAllChildren(this.#detail);
        setText(this.#copy, "Selected: copy with Ctrl+C");
      },
    );
  }
}

/** The one thing to tell first. */
function problemOf(store: Store): Problem | null {
  const { connection, problem, traits } = store;
  if (connection.state.value === "refused")
    return {
      ...(CONNECTION["refused"] as Problem),
      detail: `page: protocol ${PROTOCOL_VERSION}, kernel: protocol ${traits.protocol_version.value}`,
    };
  return traits.error.value ?? CONNECTION[connection.state.value] ?? problem.value;
}

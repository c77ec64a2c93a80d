/** What went wrong or is missing, with advice and details to copy. */

import type { ConnectionState } from "../../kernel/connection";
import { PROTOCOL_VERSION, type Problem } from "../../kernel/protocol";
import { h, listen, setAttribute, setText } from "../../page/dom";
import type { View } from "../shared";
import { CopyButton } from "./copy";
import { isOfEditor } from "./editor";

type Kind = "error" | "failed" | "problem" | "silent" | "refused";

interface Notice extends Problem {
  readonly kind: Kind;
}

const CONNECTION: Partial<Record<ConnectionState, Notice>> = {
  silent: {
    kind: "silent",
    title: "The kernel does not answer",
    advice:
      "It is busy, or gone. The page asks again every few seconds, and values appear here when the kernel " +
      "answers. If it was restarted, run the cell again. You can still read what is on the screen.",
    detail: "",
  },
  refused: {
    kind: "refused",
    title: "This page and the kernel use different versions",
    advice:
      "horizon_widget was probably upgraded meanwhile: restart the kernel, reload the page, and run the cell again.",
    detail: "",
  },
};

export class StatusView {
  readonly #title = h("strong", { class: "status-title" });
  readonly #advice = h("p", { class: "status-advice" });
  readonly #detail = h("pre", { class: "status-detail", tabindex: 0, "aria-label": "Details" });
  readonly #details: HTMLDetailsElement;
  readonly #again = h("button", { type: "button", class: "tool", hidden: true }, "Ask again");
  readonly #dismiss = h("button", { type: "button", class: "tool", hidden: true }, "Dismiss");
  readonly #notice: HTMLElement;
  readonly #empty = h("p", { class: "empty", hidden: true });
  readonly element: HTMLElement;
  readonly #view: View;
  #shown: Notice | null = null;

  constructor(view: View) {
    this.#view = view;
    const { frames, store } = view;
    const copy = new CopyButton(view, "tool", "Copy details", () => detailsOf(this.#shown));
    this.#details = h("details", {}, h("summary", {}, "Details"), this.#detail, copy.element, copy.fallback);
    this.#notice = h(
      "div",
      { class: "notice", hidden: true },
      h("div", { class: "notice-words" }, this.#title, this.#advice),
      h("div", { class: "notice-actions" }, this.#again, this.#dismiss),
      this.#details,
    );
    this.element = h("div", { class: "status" }, this.#notice, this.#empty);
    frames.onDispose(listen(this.#again, "click", () => store.kernel.connection.askAgain()));
    frames.onDispose(listen(this.#dismiss, "click", () => this.#dismissNotice()));
    frames.watch(() => this.#paintNotice());
    frames.watch(() => this.#paintEmpty());
  }

  #paintNotice(): void {
    const notice = noticeOf(this.#view);
    this.#shown = notice;
    setAttribute(this.#notice, "data-kind", notice?.kind ?? "none");
    // An alert interrupts a screen reader, so it is only for what stops the work.
    const urgent = notice?.kind === "error" || notice?.kind === "failed" || notice?.kind === "refused";
    setAttribute(this.#notice, "role", urgent ? "alert" : "status");
    setText(this.#title, notice?.title ?? "");
    setText(this.#advice, notice?.advice ?? "");
    setText(this.#detail, notice?.detail ?? "");
    this.#details.hidden = (notice?.detail ?? "") === "";
    this.#again.hidden = notice?.kind !== "silent";
    this.#dismiss.hidden = notice?.kind !== "failed" && notice?.kind !== "problem";
    this.#notice.hidden = notice === null;
  }

  #dismissNotice(): void {
    const { store } = this.#view;
    if (this.#shown?.kind === "failed") store.kernel.failed.value = null;
    if (this.#shown?.kind === "problem") store.kernel.problem.value = null;
  }

  #paintEmpty(): void {
    const { editing, map } = this.#view;
    const { traits } = map;
    this.#empty.hidden = traits.tokens.value.length > 0 || traits.state.value === "error" || editing.value;
    setText(
      this.#empty,
      traits.state.value === "computing" ? "Reading the prompt …" : "No prompt yet: “Edit prompt” takes one.",
    );
  }
}

/** The most important notice. */
function noticeOf({ map, store, editing }: View): Notice | null {
  const { kernel, traits } = store;
  const state = kernel.connection.state.value;
  if (state === "refused")
    return {
      ...(CONNECTION["refused"] as Notice),
      detail: `page: protocol ${PROTOCOL_VERSION}, kernel: protocol ${traits.protocol_version.value}`,
    };
  // Without a kernel no other problem can be solved.
  const silent = CONNECTION[state];
  if (silent !== undefined) return silent;
  if (map.traits.error.value !== null) return { ...map.traits.error.value, kind: "error" };
  const failed = store.kernel.failed.value;
  if (failed !== null && !(editing.value && isOfEditor(failed.field)))
    return { ...failed.problem, kind: "failed" };
  const problem = store.kernel.problem.value;
  return problem === null ? null : { ...problem, kind: "problem" };
}

function detailsOf(notice: Notice | null): string {
  return notice === null ? "" : [notice.title, notice.advice, "", notice.detail].join("\n");
}

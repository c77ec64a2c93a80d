/** One aspect of a cell: not asked, pending, found, failed, or not offered. Its room is reserved from the start. */

import type { Aspect, Findings } from "../../kernel/protocol";
import { h, listen, setAttribute, setRefused, setText } from "../../page/dom";
import type { Cell } from "../../state/reading";
import type { View } from "../shared";

export interface AspectOptions<A extends Aspect> {
  readonly aspect: A;
  readonly title: string;
  /** Label of the button that asks for it; null: it is always asked. */
  readonly ask: string | null;
  /** What the answer would show. */
  readonly offer?: string;
  /** Shown while it is pending. */
  readonly pending: string;
  readonly body: readonly HTMLElement[];
  readonly paint: (found: Findings[A], cell: Cell) => void;
}

export class AspectPart<A extends Aspect> {
  readonly #title: HTMLElement;
  readonly #ask: HTMLButtonElement;
  readonly #again = h("button", { type: "button", class: "plain" }, "Ask again");
  readonly #note = h("p", { class: "aspect-note", role: "status" });
  readonly #body: HTMLElement;
  readonly element: HTMLElement;
  readonly #view: View;
  readonly #options: AspectOptions<A>;

  constructor(view: View, options: AspectOptions<A>) {
    this.#view = view;
    this.#options = options;
    const { frames, map } = view;
    this.#ask = h("button", { type: "button", class: "ask" }, options.ask ?? "");
    this.#title = h("h4", {}, options.title);
    this.#note.id = `note-${options.aspect}`;
    setAttribute(this.#ask, "aria-describedby", this.#note.id);
    this.#body = h("div", { class: "aspect-body" }, ...options.body);
    this.element = h(
      "section",
      { class: "aspect", "data-aspect": options.aspect, "aria-label": options.title },
      this.#title,
      this.#ask,
      this.#body,
      this.#note,
      this.#again,
    );
    for (const button of [this.#ask, this.#again])
      frames.onDispose(listen(button, "click", () => map.want(options.aspect)));
  }

  paint(cell: Cell): void {
    const { map } = this.#view;
    const { aspect, ask, offer, pending } = this.#options;
    const finding = map.findings.of(cell)[aspect];
    const found = finding?.found ?? null;
    const asked = ask === null || map.findings.isWanted(cell, aspect);
    const reason = found === null ? map.whyNot(aspect) : undefined;
    const known = found !== null ? "found" : finding !== undefined ? "failed" : null;
    const status = reason !== undefined ? "refused" : (known ?? (asked ? "pending" : "unasked"));
    setAttribute(this.element, "data-status", status);
    this.#ask.hidden = status !== "unasked" && (status !== "refused" || ask === null);
    this.#title.hidden = !this.#ask.hidden; // the button says the same
    setRefused(this.#ask, reason);
    this.#again.hidden = status !== "failed";
    this.#body.hidden = status !== "found";
    if (found !== null) this.#options.paint(found as Findings[A], cell);
    if (status === "failed")
      setText(this.#note, `${finding?.problem?.title ?? ""} ${finding?.problem?.advice ?? ""}`.trim());
    else if (status === "pending") setText(this.#note, this.#why(cell) ?? pending);
    else setText(this.#note, reason ?? (status === "unasked" ? (offer ?? "") : ""));
    this.#note.hidden = status === "found";
  }

  /** Why it has not been asked yet; null where it has. */
  #why({ layer, source, target }: Cell): string | null {
    const { map, store } = this.#view;
    if (store.kernel.connection.state.value !== "connected") return "The kernel does not answer.";
    return map.rows.value.influence(layer, source, target) === undefined
      ? "Waits for the value itself."
      : null;
  }
}

/** How far the computation is, with a way to stop it and to go on. */

import { h, listen, setAttribute, setText } from "../../page/dom";
import { progressNote } from "../../page/sentences";
import type { View } from "../shared";

export class ProgressView {
  readonly #words = h("span", { class: "progress-words" });
  readonly #button = h("button", { type: "button", class: "plain" });
  readonly #bar = h("div", {
    class: "progress-bar",
    role: "progressbar",
    "aria-valuemin": 0,
    "aria-valuemax": 100,
  });
  readonly element = h("div", { class: "progress" }, this.#bar, this.#words, this.#button);
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { store, frames } = view;
    frames.keep(listen(this.#button, "click", () => this.#stopOrGoOn()));
    frames.watch([store.traits.progress, store.traits.state], () => this.#paint());
  }

  #stopOrGoOn(): void {
    const { store } = this.#view;
    if (store.traits.progress.value.filling === "stopped") store.resume();
    else store.cancel();
  }

  #paint(): void {
    const { traits } = this.#view.store;
    const progress = traits.progress.value;
    const state = traits.state.value;
    const { filling, done, task } = progress;
    const percent = Math.floor(100 * Math.min(1, Math.max(0, done)));
    setText(this.#words, progressNote(progress, state));
    const stopped = filling === "stopped";
    const busy = !stopped && (state === "computing" || filling === "running" || filling === "waiting");
    setAttribute(this.element, "data-filling", filling);
    setAttribute(this.element, "data-busy", busy);
    setAttribute(this.#bar, "aria-valuenow", percent);
    setAttribute(this.#bar, "aria-label", task === "" ? "Computation" : task);
    this.#bar.style.setProperty("--done", `${percent}%`);
    this.#button.hidden = !(stopped || busy);
    setText(this.#button, stopped ? "Resume" : "Cancel");
  }
}

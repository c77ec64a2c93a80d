/** How far the computation is, with a way to stop it and to go on. */

import { h, listen, setAttribute, setText } from "../../page/dom";
import { layersDone, progressNote } from "../../page/sentences";
import type { View } from "../shared";
import { SwapButton } from "./swap";

export class ProgressView {
  readonly #words = h("span", { class: "progress-words" });
  readonly #button = new SwapButton("plain", "Cancel", "Resume");
  readonly #bar = h("div", {
    class: "progress-bar",
    role: "progressbar",
    "aria-valuemin": 0,
    "aria-valuemax": 100,
  });
  readonly element = h("div", { class: "progress" }, this.#bar, this.#words, this.#button.element);
  readonly #view: View;
  #wasBusy = false;

  constructor(view: View) {
    this.#view = view;
    const { store, frames } = view;
    const { traits } = store;
    frames.keep(listen(this.#button.element, "click", () => this.#stopOrGoOn()));
    frames.watch([traits.progress, traits.state, traits.layer_info, traits.layers, traits.tokens], () =>
      this.#paint(),
    );
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
    const nDone = layersDone(traits.layer_info.value, traits.layers.value, traits.tokens.value.length);
    const words = progressNote(progress, state, nDone);
    setText(this.#words, words);
    const stopped = filling === "stopped";
    const inTheBackground = filling === "running" || filling === "waiting" || filling === "behind";
    const busy = !stopped && (state === "computing" || inTheBackground);
    setAttribute(this.element, "data-filling", filling);
    setAttribute(this.element, "data-busy", busy);
    setAttribute(this.#bar, "aria-valuenow", percent);
    setAttribute(this.#bar, "aria-label", task === "" ? "Computation" : task);
    setAttribute(this.#bar, "aria-valuetext", words === "" ? "nothing is computed" : words);
    this.#bar.style.setProperty("--done", `${percent}%`);
    this.#button.element.hidden = !(stopped || busy);
    this.#button.show(stopped ? 1 : 0);
    // How far it is, a screen reader asks for; that it has ended, it is told.
    if (this.#wasBusy && !busy && words !== "") this.#view.announce(words);
    this.#wasBusy = busy;
  }
}

/** The progress of the computation, with a button to stop or resume it. */

import { signal } from "@preact/signals-core";
import type { Filling } from "../../kernel/traits";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { hostNote, layersDone, progressNote } from "../../page/sentences";
import type { Host } from "../../state/host";
import type { View } from "../shared";
import { SwapButton } from "./swap";

/** Activities that can be stopped. */
const BUSY: ReadonlySet<Filling> = new Set(["running", "waiting", "behind"]);

/** A screen reader announces a host's state only after this time. */
const SAY_AFTER_S = 1;

export class ProgressView {
  readonly #words = h("span", { class: "progress-words" });
  readonly #button = new SwapButton("plain", "Cancel", "Resume", "Compute the rest");
  readonly #bar = h("div", {
    class: "progress-bar",
    role: "progressbar",
    "aria-valuemin": 0,
    "aria-valuemax": 100,
  });
  readonly element = h("div", { class: "progress" }, this.#bar, this.#words, this.#button.element);
  readonly #view: View;
  #wasBusy = false;
  /** Counts the seconds of the host's state. */
  readonly #clock = signal(0);
  #tick: ReturnType<typeof setTimeout> | undefined;
  #said = "";

  constructor(view: View) {
    this.#view = view;
    const { frames, map } = view;
    frames.onDispose(listen(this.#button.element, "click", () => this.#stopOrGoOn()));
    frames.onDispose(() => clearTimeout(this.#tick));
    frames.watch(() => setAttribute(this.element, "data-remote", map.traits.asked.value.remote));
    frames.watch(() => this.#paint());
  }

  #stopOrGoOn(): void {
    const { store } = this.#view;
    if (this.#isBusy) store.kernel.send({ type: "cancel" });
    else store.kernel.send({ type: "resume" });
  }

  get #isBusy(): boolean {
    const { state, progress } = this.#view.map.traits;
    return state.value === "computing" || BUSY.has(progress.value.filling);
  }

  #paint(): void {
    const { map } = this.#view;
    const { traits } = map;
    const host = map.host.now;
    const progress = traits.progress.value;
    const state = traits.state.value;
    const { filling, done, task } = progress;
    const percent = Math.floor(100 * Math.min(1, Math.max(0, done)));
    const nDone = layersDone(traits.layer_info.value, traits.layers.value, traits.tokens.value.length);
    const words = progressNote(progress, state, nDone, host.value?.words);
    const counted = host.value === null ? null : hostNote(host.value.words, this.#count(host.value));
    setText(this.#words, progressNote(progress, state, nDone, counted));
    const busy = this.#isBusy;
    setAttribute(this.element, "data-filling", filling);
    setAttribute(this.element, "data-busy", busy);
    setAttribute(this.#bar, "aria-valuenow", percent);
    setAttribute(this.#bar, "aria-label", task === "" ? "Computation" : task);
    setAttribute(this.#bar, "aria-valuetext", words === "" ? "nothing is computed" : words);
    this.#bar.style.setProperty("--done", `${percent}%`);
    const usable = busy || filling === "stopped" || filling === "on request";
    this.#button.element.hidden = !usable || map.whyNot("resume") !== undefined;
    this.#button.show(busy ? 0 : filling === "on request" ? 2 : 1);
    // A screen reader is told only that it has ended; it asks for the progress itself.
    if (this.#wasBusy && !busy && words !== "") this.#view.announce(words);
    this.#wasBusy = busy;
    if (state !== "computing") this.#said = "";
  }

  /** How many seconds the host's state has lasted; the next second paints again. */
  #count({ words, since }: Host): number {
    this.#clock.value;
    const lasted = Date.now() - since;
    clearTimeout(this.#tick);
    this.#tick = setTimeout(
      () => {
        this.#clock.value += 1;
      },
      1000 - (lasted % 1000),
    );
    const asked = this.#view.map.traits.state.value === "computing";
    if (asked && lasted >= 1000 * SAY_AFTER_S && words !== this.#said) {
      this.#said = words;
      this.#view.announce(words);
    }
    return lasted / 1000;
  }
}

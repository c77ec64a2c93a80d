/** The editor, which replaces the text: prompt, metric, baseline, layers, and writing on. */

import { h, listen, setAttribute, setText } from "../../page/dom";
import type { View } from "../shared";
import {
  asMeant,
  choiceValue,
  layersText,
  type MetricChoice,
  metricChoice,
  parseLayers,
  tooLong,
} from "./asking";
import { Field } from "./field";
import { WriteOnView } from "./write-on";

/** The choice for a metric or baseline that only Python can express: it stays as it is. */
const AS_SET = "as set";

function input(name: string, placeholder = ""): HTMLInputElement {
  return h("input", {
    type: "text",
    class: "field-text",
    "aria-label": name,
    placeholder,
    spellcheck: "false",
    autocomplete: "off",
  });
}

export class EditorView {
  readonly #prompt = h("textarea", { class: "field-text prompt-field", rows: 4, dir: "auto" });
  readonly #metric = h("select", { class: "field-text" });
  readonly #tokens = [input("Token", "“ Paris”"), input("Other token", "“ Rome”")] as const;
  readonly #baseline = h("select", { class: "field-text" });
  readonly #other = h("textarea", {
    class: "field-text",
    rows: 2,
    "aria-label": "Other prompt, with as many tokens",
    placeholder: "the other prompt",
  });
  readonly #layers = h("input", {
    type: "text",
    class: "field-text",
    autocomplete: "off",
    spellcheck: "false",
  });
  readonly #fields = {
    prompt: new Field("prompt", "Prompt", "", this.#prompt),
    metric: new Field(
      "metric",
      "Metric",
      "Name a token as it is shown, with its leading space.",
      this.#metric,
      ...this.#tokens,
    ),
    baseline: new Field(
      "baseline",
      "Baseline",
      "What replaces a removed state.",
      this.#baseline,
      this.#other,
    ),
    layers: new Field("layers", "Layers", "“all”, or for example 0-5, 12", this.#layers),
  };
  readonly #cancel = h("button", { type: "button", class: "tool" }, "Cancel");
  readonly #note = h("span", { class: "quiet", role: "status" });
  readonly #form = h(
    "form",
    { class: "editor-form", novalidate: true, "aria-label": "Another map" },
    this.#fields.prompt.element,
    h(
      "div",
      { class: "editor-fields" },
      this.#fields.metric.element,
      this.#fields.baseline.element,
      this.#fields.layers.element,
    ),
    h(
      "div",
      { class: "editor-actions" },
      h(
        "button",
        { type: "submit", class: "tool main", "aria-keyshortcuts": "Control+Enter Meta+Enter" },
        "Run",
      ),
      this.#cancel,
      this.#note,
    ),
  );
  readonly element: HTMLElement;
  readonly #view: View;
  /** The content of the fields when they were filled; a field may change a text that it is given. */
  #filled = "";
  /** The named tokens, and what the fields made of them: a field drops line breaks. */
  #named: readonly { readonly name: string; readonly typed: string }[] = [];

  constructor(view: View) {
    this.#view = view;
    const { frames, map, store } = view;
    const writeOn = new WriteOnView(view, (nTokens) => this.#writeOn(nTokens));
    this.element = h("div", { class: "editor", hidden: true }, this.#form, writeOn.element);
    const edited = (event: Event): void => this.#edited(event);
    frames.onDispose(listen(this.element, "input", edited));
    frames.onDispose(
      listen(this.#form, "submit", (event) => {
        event.preventDefault();
        this.#run();
      }),
    );
    frames.onDispose(listen(this.element, "keydown", (event) => this.#key(event)));
    frames.onDispose(listen(this.#form, "change", () => this.#showOwn()));
    frames.onDispose(listen(this.#cancel, "click", () => this.#close()));
    frames.on(map.traits.map_id, () => this.#close());
    frames.on(view.editing, () => this.#open());
    frames.on(store.kernel.failed, () => this.#complain());
    // The kernel gives no other answer to a message that it could not read.
    frames.on(store.kernel.problem, () => {
      if (store.kernel.problem.value !== null) setText(this.#note, "");
    });
  }

  #open(): void {
    const open = this.#view.editing.value;
    if (open === !this.element.hidden) return;
    this.element.hidden = !open;
    if (!open) return;
    this.#fill();
    this.#prompt.focus({ preventScroll: true });
  }

  /** Fills the fields from the current map. */
  #fill(): void {
    const { traits } = this.#view.map;
    const { metric, baseline } = traits.asked.value;
    this.#prompt.value = traits.prompt.value;
    const { metrics, baselines } = traits.offered.value;
    const choice = metricChoice(traits.offered.value, metric);
    offer(
      this.#metric,
      metrics.map((one) => [choiceValue(one), one.label]),
      choice === undefined,
    );
    this.#metric.value = choice === undefined ? AS_SET : choiceValue(choice);
    this.#named = this.#tokens.map((token, i) => {
      const name = choice === undefined ? "" : (metric[i + 1] ?? "");
      token.value = name;
      return { name, typed: token.value };
    });
    offer(
      this.#baseline,
      baselines.map(({ name, label }) => [name, label]),
      baseline === null,
    );
    this.#baseline.value = baseline?.[0] ?? AS_SET;
    this.#other.value = baseline?.[1] ?? "";
    this.#layers.value = layersText(traits.layers.value);
    for (const field of Object.values(this.#fields)) field.complain(null);
    setText(this.#note, "Ctrl+Enter or ⌘Enter runs, Escape cancels");
    this.#filled = this.#typed();
    this.#showOwn();
  }

  /** Shows the fields that the choices need. */
  #showOwn(): void {
    const nTokens = this.#choice()?.n_tokens ?? 0;
    for (const [i, token] of this.#tokens.entries()) token.hidden = i >= nTokens;
    setAttribute(this.#fields.metric.element, "data-names", nTokens > 0);
    this.#other.hidden = !this.#needsPrompt();
  }

  /** The metric that is chosen; undefined: the one that was set in Python. */
  #choice(): MetricChoice | undefined {
    const { metrics } = this.#view.map.traits.offered.value;
    return metrics.find((one) => choiceValue(one) === this.#metric.value);
  }

  /** Whether the chosen baseline is taken from another prompt. */
  #needsPrompt(): boolean {
    const { baselines } = this.#view.map.traits.offered.value;
    return baselines.find(({ name }) => name === this.#baseline.value)?.needs_prompt === true;
  }

  /** Asks for the map, and for `nTokens` tokens that the model writes on. */
  #run(nTokens = 0): void {
    const { map, store } = this.#view;
    const layers = parseLayers(this.#layers.value, map.traits.n_layers.value);
    const baseline = this.#baselineNow();
    const wrong = {
      prompt: tooLong(this.#prompt.value),
      metric: null,
      baseline: tooLong(baseline?.[1] ?? ""),
      layers: layers.ok ? null : layers,
    };
    const names = Object.keys(wrong) as (keyof typeof wrong)[];
    for (const name of names) this.#fields[name].complain(wrong[name]);
    const first = names.find((name) => wrong[name] !== null);
    if (first !== undefined || !layers.ok) {
      this.#fields[first ?? "layers"].focus();
      return;
    }
    setText(this.#note, "Asking the kernel …");
    store.kernel.open({
      prompt: asMeant(this.#prompt.value, map.traits.prompt.value),
      metric: this.#metricNow(),
      baseline,
      layers: layers.value,
      n_tokens: nTokens,
    });
  }

  /** Writes on from the editor's prompt; where the editor describes another map, that is opened first. */
  #writeOn(nTokens: number): void {
    if (this.#typed() === this.#filled) this.#view.store.kernel.writeOn(nTokens);
    else this.#run(nTokens);
  }

  /** The content of all fields, for comparison. */
  #typed(): string {
    return JSON.stringify([
      this.#prompt.value,
      this.#metricNow(),
      this.#baselineNow(),
      this.#layers.value.trim(),
    ]);
  }

  /** Removes the complaint at a field that is edited. */
  #edited({ target }: Event): void {
    if (!(target instanceof Element)) return;
    const name = target.closest("[data-field]")?.getAttribute("data-field") ?? "n_tokens";
    const fields: Readonly<Record<string, Field>> = this.#fields;
    fields[name]?.complain(null);
    const { failed } = this.#view.store.kernel;
    if (failed.value?.field === name) failed.value = null;
  }

  #metricNow(): readonly string[] {
    const choice = this.#choice();
    if (choice === undefined) return this.#view.map.traits.asked.value.metric;
    const names = this.#tokens.map(({ value }, i) => {
      const filled = this.#named[i];
      return filled?.typed === value ? filled.name : value;
    });
    return [choice.name, ...names.slice(0, choice.n_tokens)];
  }

  #baselineNow(): readonly string[] | null {
    const kind = this.#baseline.value;
    if (kind === AS_SET) return null;
    return this.#needsPrompt() ? [kind, this.#other.value] : [kind];
  }

  /** Shows a failure at its field, and keeps what was typed. */
  #complain(): void {
    const failed = this.#view.store.kernel.failed.value;
    if (!this.#view.editing.value || failed === null) return;
    setText(this.#note, "");
    const fields: Readonly<Record<string, Field>> = this.#fields;
    const field = fields[failed.field ?? ""];
    if (field === undefined) return;
    field.complain(failed.problem);
    field.focus();
  }

  #key(event: KeyboardEvent): void {
    if (event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    else if (event.key === "Escape") this.#close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #close(): void {
    const { editing, store } = this.#view;
    if (!editing.value) return;
    editing.value = false;
    if (isOfEditor(store.kernel.failed.value?.field)) store.kernel.failed.value = null;
  }
}

const OF_EDITOR: readonly string[] = ["prompt", "metric", "baseline", "layers", "n_tokens"];

/** Whether the editor shows a failure of this field while it is open. */
export function isOfEditor(field: string | null | undefined): boolean {
  return typeof field === "string" && OF_EDITOR.includes(field);
}

function offer(
  select: HTMLSelectElement,
  choices: readonly (readonly [value: string, label: string])[],
  withSet: boolean,
): void {
  const set = withSet ? [h("option", { value: AS_SET }, "as set in Python")] : [];
  select.replaceChildren(...set, ...choices.map(([value, label]) => h("option", { value }, label)));
}

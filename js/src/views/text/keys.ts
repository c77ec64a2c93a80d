/** Samples in the legend for tokens without a colour; each is shown only where the text has such tokens. */

import { h, setText } from "../../page/dom";
import { number, withUnit } from "../../page/format";
import { fillsWindow, scaleEnds, scaleNote, shockLabel, WRITTEN } from "../../page/sentences";
import { contextOf, type View } from "../shared";
import { dressPin, pinScale } from "./pins";
import { type Kind, looksOf } from "./token-look";

type Key = "none" | "pending" | "noise" | "sink" | "outside" | "shock" | "written" | "found" | "pins";

const ORDER: readonly Key[] = [
  "none",
  "pending",
  "noise",
  "outside",
  "sink",
  "shock",
  "written",
  "found",
  "pins",
];

const OUTSIDE = {
  statistic: "",
  row: "earlier: nothing flows back",
  column: "comes too late for it",
  offset: "nothing so far ahead",
} as const;

export class Keys {
  readonly #words = new Map<Key, HTMLElement>();
  readonly #items = new Map<Key, HTMLElement>();
  readonly element = h("p", { class: "legend-keys" });
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    for (const key of ORDER) {
      const words = h("span", {});
      const sample = h("span", { class: "sample", "data-sample": key, "aria-hidden": "true" }, sampleOf(key));
      const item = h("span", { class: "legend-key", "data-key": key, hidden: true }, sample, words);
      this.#words.set(key, words);
      this.#items.set(key, item);
      this.element.append(item);
    }
    view.frames.watch(() => this.#paint());
  }

  #paint(): void {
    const words = this.#say();
    for (const key of ORDER) {
      const item = this.#items.get(key);
      const said = words[key];
      if (item === undefined) continue;
      item.hidden = said === undefined;
      const element = this.#words.get(key);
      if (said !== undefined && element !== undefined) setText(element, said);
    }
    this.#samplePins();
  }

  #say(): Partial<Record<Key, string>> {
    const { map } = this.#view;
    const { controls, traits } = map;
    const kinds = this.#kinds();
    const none = kinds.get("none");
    const { noise_floor: floor } = map.layerInfo.value;
    const nSinks = traits.sinks.value.length;
    const left = controls.include_sinks.value ? "" : ", left out of summaries";
    return {
      ...(none !== undefined && { none: `no value: ${this.#whyNone(none)}` }),
      ...(kinds.has("pending") && { pending: "not computed yet" }),
      ...(kinds.has("noise") && {
        noise: `below the noise floor${floor === null ? "" : ` of ${withUnit(number(floor), traits.query.value.unit)}`}`,
      }),
      ...(kinds.has("outside") && { outside: OUTSIDE[map.reading.value.kind] }),
      ...(nSinks > 0 && {
        sink: `attention sink${nSinks === 1 ? "" : "s"}${left}`,
      }),
      ...(map.layerInfo.value.shock && {
        shock: shockLabel(map.layerInfo.value, traits.offered.value),
      }),
      ...(traits.written_from.value !== null && { written: WRITTEN }),
      ...(controls.find.value !== "" && { found: "found" }),
      ...(controls.pinned_sources.value.length > 0 && { pins: this.#pinWords() }),
    };
  }

  #pinWords(): string {
    const { map } = this.#view;
    const end = pinScale(map);
    const scale = end > 0 ? `, ${scaleNote(end, map.traits.query.value)}` : "";
    const [low] = scaleEnds(map.traits.query.value);
    const dashed = low === "" ? "" : `; dashed where ${low}`;
    return `pinned: lines under the tokens that use them${scale}${dashed}`;
  }

  /** Which kinds there are, and the tokens of each. */
  #kinds(): ReadonlyMap<Kind, readonly number[]> {
    const { map } = this.#view;
    const looks = looksOf(map);
    const found = new Map<Kind, number[]>();
    for (let start = 0; start < map.rows.value.nTokens; start += 1) {
      const { kind } = looks.at({ start, stop: start + 1 });
      const positions = found.get(kind);
      if (positions === undefined) found.set(kind, [start]);
      else positions.push(start);
    }
    return found;
  }

  #whyNone(positions: readonly number[]): string {
    const context = contextOf(this.#view.map);
    if (context.window === null) return "the prompt is too short";
    const isNoise = (position: number): boolean => fillsWindow(context, position);
    const reasons = [
      positions.every(isNoise) ? "" : `fewer than ${context.window} later tokens`,
      positions.some(isNoise) ? "only noise" : "",
    ];
    return reasons.filter(Boolean).join(", or ");
  }

  #samplePins(): void {
    const sample = this.#items.get("pins")?.firstElementChild;
    const pins = this.#view.store.traits.pinned_sources.value;
    sample?.replaceChildren(
      ...pins.map((_, pin) => {
        const badge = h("span", { class: "badge" }, String(pin + 1));
        dressPin(badge, this.#view.surroundings.value, pin);
        return badge;
      }),
    );
  }
}

function sampleOf(key: Key): string {
  return key === "shock" || key === "sink" || key === "pins" || key === "written" ? "" : "abc";
}

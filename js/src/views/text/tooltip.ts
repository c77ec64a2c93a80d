/** A tooltip for the unit under the pointer or the keyboard's focus. */

import { effect, type ReadonlySignal, signal } from "@preact/signals-core";
import { h, setText } from "../../page/dom";
import { number, plural, withUnit } from "../../page/format";
import { statisticValue, WRITTEN } from "../../page/sentences";
import type { InfluenceMap } from "../../state/map";
import type { Span } from "../../state/words";
import { contextOf, type View } from "../shared";
import { Profile } from "./profile";
import { looksOf, nameOf, sinkWords, within } from "./token-look";

/** How long a pointer must stay to open the tooltip. */
const OPEN_AFTER_MS = 140;
/** How long the tooltip stays open between two words. */
const CLOSE_AFTER_MS = 90;
/** The distance from the unit to the tooltip, in CSS pixels. */
const GAP = 7;

const LONGEST_NAME = 60;

/** The unit that is pointed at, and how. */
export interface Pointed {
  readonly element: HTMLElement;
  readonly unit: Span;
  readonly by: "pointer" | "keyboard";
}

export class Tooltip {
  readonly #name = h("p", { class: "tip-name" });
  readonly #value = h("p", { class: "tip-value" });
  readonly #remark = h("p", { class: "tip-remark" });
  readonly #profile = new Profile();
  readonly #profileTitle = h("p", { class: "tip-title" });
  readonly #summary = h("p", { class: "tip-summary", id: "tip-summary" });
  readonly element = h(
    "div",
    { class: "tooltip", role: "tooltip", hidden: true },
    this.#name,
    this.#value,
    this.#remark,
    this.#profileTitle,
    this.#profile.element,
    this.#summary,
  );
  readonly #view: View;
  readonly #pointed: ReadonlySignal<Pointed | null>;
  readonly #open = signal(false);
  #described: HTMLElement | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(view: View, pointed: ReadonlySignal<Pointed | null>) {
    this.#view = view;
    this.#pointed = pointed;
    const { frames } = view;
    frames.onDispose(effect(() => this.#wait(pointed.value)));
    frames.onDispose(() => clearTimeout(this.#timer));
    frames.watch(() => {
      if (this.#open.value) this.#show();
    });
  }

  get isOpen(): boolean {
    return this.#open.peek();
  }

  /** Hides the tooltip until something else is pointed at. */
  hide(): void {
    clearTimeout(this.#timer);
    this.#open.value = false;
    this.element.hidden = true;
    this.#describe(null);
  }

  #wait(pointed: Pointed | null): void {
    clearTimeout(this.#timer);
    if (pointed === null) this.#timer = setTimeout(() => this.hide(), CLOSE_AFTER_MS);
    else if (!this.isOpen) {
      const open = (): void => {
        this.#open.value = true;
      };
      this.#timer = setTimeout(open, pointed.by === "keyboard" ? 0 : OPEN_AFTER_MS);
    }
  }

  #show(): void {
    const pointed = this.#pointed.value;
    if (pointed === null) return;
    this.#fill(pointed.unit);
    this.element.hidden = false;
    this.#place(pointed.element);
    this.#describe(pointed.by === "keyboard" ? pointed.element : null);
  }

  #fill(unit: Span): void {
    const { map } = this.#view;
    const context = contextOf(map);
    const looks = looksOf(map);
    const look = looks.at(unit);
    setText(this.#name, nameOf(context, unit, LONGEST_NAME));
    setText(this.#value, looks.words(unit, look));
    this.#value.dataset["kind"] = look.kind;
    const { written_from: writtenFrom } = map.traits;
    const { pinned_sources: pins } = map.controls;
    const pin = pins.value.findIndex((position) => within(unit, position));
    const remarks = [
      sinkWords(map)(unit),
      writtenFrom.value !== null && unit.start >= writtenFrom.value ? WRITTEN : "",
      pin >= 0 ? `pin ${pin + 1}` : "",
    ].filter(Boolean);
    setText(this.#remark, remarks.join(" · "));
    this.#remark.hidden = remarks.length === 0;
    const layer = map.layer.value;
    const source = unit.stop - 1;
    const row = map.rows.value.row(layer, source);
    const known = row !== undefined && row.length > 0;
    for (const part of [this.#profileTitle, this.#profile.element, this.#summary]) part.hidden = !known;
    if (!known) return;
    const whose = unit.stop > unit.start + 1 ? "Influence of its last token" : "Its influence";
    setText(this.#profileTitle, `${whose} at layer ${layer}, by tokens ahead`);
    this.#profile.draw(row, context.layers[layer]?.noise_floor ?? null, context.window);
    setText(this.#summary, summary(map, source));
  }

  /** Places the tooltip below the unit where there is room, else above it, within the widget. */
  #place(element: HTMLElement): void {
    const within = this.element.offsetParent;
    const page = this.element.closest(".page") ?? within;
    const rects = element.getClientRects();
    const first = rects[0];
    const last = rects[rects.length - 1];
    if (within === null || page === null || first === undefined || last === undefined) return;
    const origin = within.getBoundingClientRect();
    const room = page.getBoundingClientRect();
    const size = this.element.getBoundingClientRect();
    const below = last.bottom + GAP + size.height <= room.bottom;
    const above = first.top - GAP - size.height >= room.top;
    const up = !below && (above || first.top - room.top > room.bottom - last.bottom);
    const top = up ? first.top - GAP - size.height : last.bottom + GAP;
    const at = up ? first.left : last.left;
    const left = Math.max(room.left, Math.min(at, room.right - size.width));
    this.element.style.transform = `translate(${Math.round(left - origin.left)}px, ${Math.round(top - origin.top)}px)`;
  }

  #describe(element: HTMLElement | null): void {
    if (element === this.#described) return;
    this.#described?.removeAttribute("aria-describedby");
    element?.setAttribute("aria-describedby", this.#summary.id);
    this.#described = element;
  }
}

/** `own share 0.20 · expected horizon 31.8 tokens · half horizon 30 tokens`, or why there are none. */
function summary(map: InfluenceMap, source: number): string {
  const statistics = map.traits.statistics.value;
  const found = statistics.flatMap(({ label, unit }, index) => {
    const value = map.rows.value.statistic(index, map.layer.value, source);
    return value === undefined || Number.isNaN(value) ? [] : [`${label} ${withUnit(number(value), unit)}`];
  });
  const [first] = statistics;
  const { value: window } = map.traits.window;
  if (found.length > 0 && window !== null) return `Within ${plural(window, "token")}: ${found.join(" · ")}`;
  if (first === undefined) return "";
  return statisticValue(contextOf(map), first, source, Number.NaN);
}

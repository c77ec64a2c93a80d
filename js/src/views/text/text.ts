/** The prompt, set as text: each token coloured by its value, one of them selected. */

import { css, inkOn, over } from "../../page/colour";
import { h, listen, setAttribute } from "../../page/dom";
import { parts } from "../../page/format";
import type { Token } from "../../kernel/traits";
import { SINK } from "../../page/sentences";
import type { View } from "../shared";
import { type Look, looks } from "./token-look";

export class TextView {
  readonly element = h("div", {
    class: "text",
    dir: "auto", // a prompt that is read from right to left is set so
    role: "listbox",
    "aria-label": "Prompt",
    "aria-orientation": "horizontal",
  });
  readonly #view: View;
  #tokens: HTMLElement[] = [];
  /** What each token was last painted as, so that only changes touch the page. */
  #painted: string[] = [];
  /** The one token that the Tab key reaches. */
  #focused = 0;
  #marked: HTMLElement | undefined;

  constructor(view: View) {
    this.#view = view;
    const { store, frames } = view;
    const { traits } = store;
    frames.keep(listen(this.element, "click", (event) => this.#activate(positionOf(event.target), event)));
    frames.keep(listen(this.element, "keydown", (event) => this.#key(event)));
    frames.keep(listen(this.element, "focusin", (event) => this.#focusAt(positionOf(event.target))));
    frames.keep(listen(this.element, "pointerover", (event) => this.#point(positionOf(event.target))));
    frames.keep(listen(this.element, "pointerleave", () => this.#point(null)));
    frames.watch([traits.tokens], () => this.#build());
    frames.watch(
      [
        traits.tokens,
        store.rows,
        store.arrived,
        store.layer,
        store.source,
        store.statistic,
        store.scale,
        traits.layers,
        traits.query,
        traits.window,
        view.surroundings,
      ],
      () => this.#paint(),
    );
    frames.watch([traits.tokens, store.target, view.cursor], () => this.#paintTarget());
  }

  #build(): void {
    const tokens = this.#view.store.traits.tokens.value;
    const nodes: Node[] = [];
    this.#tokens = tokens.map((token, position) => {
      const element = tokenElement(token, position);
      // A leading space stands between the tokens, so that colour lies behind words and no line begins with a gap.
      if (/^ [^\s]/u.test(token.text) && (token.piece?.[0] ?? 1) === 1)
        nodes.push(document.createTextNode(" "));
      nodes.push(element);
      return element;
    });
    this.#painted = [];
    this.#marked = undefined;
    this.#focused = Math.min(this.#focused, Math.max(0, tokens.length - 1));
    this.element.replaceChildren(...nodes);
    setAttribute(this.element, "aria-label", `Prompt, ${tokens.length} tokens`);
    this.#tokens[this.#focused]?.setAttribute("tabindex", "0");
  }

  #paint(): void {
    const { store, surroundings } = this.#view;
    for (const [position, look] of looks(store).entries()) {
      const element = this.#tokens[position];
      const key = `${look.kind} ${look.colour} ${look.alpha} ${look.words}`;
      if (element === undefined || this.#painted[position] === key + surroundings.value.theme) continue;
      this.#painted[position] = key + surroundings.value.theme;
      this.#paintToken(element, position, look);
    }
    setAttribute(this.element, "data-shock", store.layerInfo.value.shock);
    setAttribute(this.element, "data-mode", store.source.value === null ? "statistic" : "influence");
  }

  #paintToken(element: HTMLElement, position: number, look: Look): void {
    const { paper, ink, palette } = this.#view.surroundings.value;
    setAttribute(element, "data-kind", look.kind);
    setAttribute(element, "aria-selected", String(look.kind === "source"));
    setAttribute(element, "aria-label", look.words);
    const explained = look.kind === "none" || position === 0;
    setAttribute(element, "title", explained ? look.words : false);
    const colour = palette[look.colour];
    const ground = over(colour, look.alpha, paper);
    const chosen = inkOn(ground, ink);
    element.style.backgroundColor = look.alpha === 0 ? "" : css(colour, look.alpha);
    element.style.color = chosen === ink || look.alpha === 0 ? "" : css(chosen);
  }

  /** The target of the cell under the cursor, or of the selected one. */
  #paintTarget(): void {
    const { store, cursor } = this.#view;
    const target = store.source.value === null ? null : (cursor.value?.target ?? store.target.value);
    this.#marked?.removeAttribute("data-target");
    this.#marked = target === null ? undefined : this.#tokens[target];
    this.#marked?.setAttribute("data-target", "");
  }

  #point(position: number | null): void {
    const { store, cursor, pointed } = this.#view;
    pointed.value = position;
    const source = store.source.value;
    cursor.value =
      source !== null && position !== null && position > source
        ? { layer: store.layer.value, target: position }
        : null;
  }

  #activate(position: number | null, event: Event): void {
    if (position === null) return;
    const { store, timePainting } = this.#view;
    const clearing = position === store.source.value;
    const known = store.rows.value.row(store.layer.value, position) !== undefined;
    store.selectSource(clearing ? null : position);
    if (known && !clearing) timePainting(event.timeStamp);
  }

  #focusAt(position: number | null): void {
    if (position === null || position === this.#focused) return;
    this.#tokens[this.#focused]?.setAttribute("tabindex", "-1");
    this.#focused = position;
    this.#tokens[position]?.setAttribute("tabindex", "0");
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const here = this.#focused;
    switch (event.key) {
      case "ArrowRight":
        this.#go(here + 1);
        break;
      case "ArrowLeft":
        this.#go(here - 1);
        break;
      case "ArrowDown":
        this.#go(this.#lineFrom(here, 1));
        break;
      case "ArrowUp":
        this.#go(this.#lineFrom(here, -1));
        break;
      case "Home":
        this.#go(0);
        break;
      case "End":
        this.#go(this.#tokens.length - 1);
        break;
      case "Enter":
      case " ":
        this.#activate(here, event);
        break;
      case "Escape":
        if (this.#view.store.source.value === null) return;
        this.#view.store.selectSource(null);
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #go(position: number): void {
    this.#tokens[Math.max(0, Math.min(position, this.#tokens.length - 1))]?.focus();
  }

  /** The token nearest to this one on the next visual line, up (-1) or down (1); this one where there is none. */
  #lineFrom(position: number, step: 1 | -1): number {
    const from = this.#tokens[position]?.getBoundingClientRect();
    if (from === undefined) return position;
    const middle = (from.left + from.right) / 2;
    let best = position;
    let bestDistance = Number.POSITIVE_INFINITY;
    let line: number | undefined;
    for (let p = position + step; p >= 0 && p < this.#tokens.length; p += step) {
      const box = this.#tokens[p]?.getBoundingClientRect();
      if (box === undefined || Math.abs(box.top - from.top) < from.height / 2) continue;
      line ??= box.top;
      if (Math.abs(box.top - line) > from.height / 2) break;
      const distance = Math.abs((box.left + box.right) / 2 - middle);
      if (distance < bestDistance) [best, bestDistance] = [p, distance];
    }
    return best;
  }
}

function tokenElement(token: Token, position: number): HTMLElement {
  const element = h("span", { class: "token", role: "option", tabindex: -1, "data-position": position });
  if (position === 0) element.setAttribute("title", SINK);
  const shown = parts(token);
  for (const [i, part] of shown.entries()) {
    const text = i === 0 && !part.mark ? part.text.replace(/^ (?=[^\s])/u, "") : part.text;
    element.append(part.mark ? h("span", { class: "mark" }, text) : text);
  }
  return element;
}

function positionOf(target: EventTarget | null): number | null {
  const element = target instanceof Element ? target.closest("[data-position]") : null;
  const position = element?.getAttribute("data-position");
  return position === null || position === undefined ? null : Number(position);
}

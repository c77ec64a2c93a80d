/** The units of the text as elements. */

import type { Token } from "../../kernel/protocol";
import { isFurtherPiece } from "../../kernel/traits";
import { h } from "../../page/dom";
import { parts } from "../../page/format";
import { AFTER_THE_PROMPT, WRITTEN } from "../../page/sentences";
import { type Span, unitsOf } from "../../state/words";
import { within } from "./token-look";

export class Units {
  readonly spans: readonly Span[];
  readonly elements: readonly HTMLElement[];
  /** All nodes of the text: the elements, the spaces between them, and the rule before what the model wrote. */
  readonly nodes: readonly Node[];
  readonly #indexOf: readonly number[];

  /** `nPositions`: one more than the number of tokens where the prediction after the prompt has a place too. */
  constructor(tokens: readonly Token[], nPositions: number, byWord: boolean, writtenFrom: number | null) {
    this.spans = unitsOf(tokens, nPositions, byWord);
    this.#indexOf = this.spans.flatMap(({ start, stop }, index) => new Array(stop - start).fill(index));
    const nodes: Node[] = [];
    this.elements = this.spans.map((unit) => {
      const ruled = within(unit, writtenFrom);
      if (ruled) nodes.push(rule());
      const own = tokens.slice(unit.start, unit.stop);
      const element = own.length > 0 ? tokenElement(own, unit) : endElement(unit);
      // A leading space is put between the elements, so that it has no colour and no line begins with it.
      if (!ruled && (startsWithSpace(own[0]) || own.length === 0)) nodes.push(document.createTextNode(" "));
      nodes.push(element);
      return element;
    });
    this.nodes = nodes;
  }

  get length(): number {
    return this.spans.length;
  }

  /** The index of the unit at a position; -1: none. */
  indexOf(position: number | null | undefined): number {
    return position === null || position === undefined ? -1 : (this.#indexOf[position] ?? -1);
  }

  /** The index of the unit that an event happened in; -1: none. */
  indexAt(target: EventTarget | null): number {
    const element = target instanceof Element ? target.closest("[data-position]") : null;
    return element === null ? -1 : this.indexOf(Number(element.getAttribute("data-position")));
  }
}

function startsWithSpace(token: Token | undefined): boolean {
  return token !== undefined && /^ [^\s]/u.test(token.text) && !isFurtherPiece(token);
}

function tokenElement(tokens: readonly Token[], { start }: Span): HTMLElement {
  const element = h("span", { class: "token", role: "option", tabindex: -1, "data-position": start });
  const single = tokens.length === 1;
  for (const [i, token] of tokens.entries()) {
    // A word shows a split character once; a piece alone needs something to point at.
    if (!single && isFurtherPiece(token)) continue;
    for (const [k, part] of parts(token).entries()) {
      const text = i === 0 && k === 0 && !part.mark ? part.text.replace(/^ (?=[^\s])/u, "") : part.text;
      element.append(part.mark ? h("span", { class: "mark" }, text) : text);
    }
  }
  if (single && tokens.some(isFurtherPiece)) element.setAttribute("data-piece", "");
  return element;
}

/** The place of the prediction after the prompt, where there is no token. */
function endElement({ start }: Span): HTMLElement {
  const words = h("span", { class: "mark" }, AFTER_THE_PROMPT);
  return h("span", { class: "token end", role: "option", tabindex: -1, "data-position": start }, words);
}

function rule(): HTMLElement {
  return h("span", { class: "written", "aria-hidden": "true" }, WRITTEN);
}

/** A list of links, the strongest first. A click selects a link's cell. */

import { h, listen, setAttribute, setText } from "../../page/dom";
import { signed, withUnit } from "../../page/format";
import type { Frames } from "../../page/frames";
import type { Cell, Link } from "../../state/reading";

/** What a line says of its link. */
export interface LinkWords {
  readonly unit: string;
  readonly ends: string;
  readonly place: string;
  /** The same in full; shown on hover. */
  readonly title: string;
  /** Opacity of the swatch, 0..1. */
  readonly opacity: number;
}

export class LinkList {
  readonly element: HTMLElement;
  readonly #lines: readonly LinkLine[];
  #links: readonly Link[] = [];

  /** `look`: a class of the list. `onChoose`: a link was clicked. */
  constructor(frames: Frames, most: number, look: string, onChoose: (link: Link, event: Event) => void) {
    this.#lines = Array.from({ length: most }, () => new LinkLine());
    this.element = h("ol", { class: `links ${look}` }, ...this.#lines.map(({ element }) => element));
    frames.onDispose(
      listen(this.element, "click", (event) => {
        const link = this.linkAt(event.target);
        if (link !== null) onChoose(link, event);
      }),
    );
  }

  show(links: readonly Link[], words: (link: Link) => LinkWords): void {
    this.#links = links;
    for (const [i, line] of this.#lines.entries()) {
      const link = links[i];
      line.button.hidden = link === undefined;
      if (link !== undefined) line.show(link, words(link));
    }
  }

  /** Marks the line of a cell. */
  press(cell: Cell | null): void {
    for (const [i, { button }] of this.#lines.entries()) {
      const { layer, source, target } = this.#links[i] ?? {};
      const pressed = cell?.layer === layer && cell?.source === source && cell?.target === target;
      setAttribute(button, "aria-pressed", String(cell !== null && pressed));
    }
  }

  /** The link of the line that an event happened in. */
  linkAt(target: EventTarget | null): Link | null {
    const line = this.#lines.findIndex(({ button }) => target instanceof Node && button.contains(target));
    return this.#links[line] ?? null;
  }
}

/** One line. It stays while values arrive, so that the focus does not move; without a link it is empty. */
class LinkLine {
  readonly #swatch = h("i", { class: "swatch" });
  readonly #value = h("span", { class: "link-value" });
  readonly #ends = h("span", { class: "link-ends" });
  readonly #place = h("span", { class: "link-place quiet" });
  readonly button = h(
    "button",
    { type: "button", hidden: true },
    this.#swatch,
    this.#value,
    this.#ends,
    this.#place,
  );
  readonly element = h("li", {}, this.button);

  show({ layer, source, target, value }: Link, { unit, ends, place, title, opacity }: LinkWords): void {
    const shown = withUnit(signed(value), unit);
    setAttribute(this.#swatch, "data-sign", value > 0 ? "needed" : "hindering");
    this.#swatch.style.opacity = opacity.toFixed(3);
    setText(this.#value, shown);
    setText(this.#ends, ends);
    setText(this.#place, place);
    setAttribute(this.button, "data-link", `${layer}-${source}-${target}`);
    setAttribute(this.button, "title", `${shown}: ${title}`);
  }
}

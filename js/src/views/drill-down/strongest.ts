/** The strongest links of the row or column at the layer on the screen. */

import { alphaOf } from "../../page/colour";
import { h, listen, setText } from "../../page/dom";
import { quote } from "../../page/format";
import { AFTER_THE_PROMPT, ahead, named } from "../../page/sentences";
import { positionOf, stripOf } from "../../state/reading";
import { strongestLinks } from "../../state/strongest";
import { LinkList } from "../links/link-list";
import { contextOf, type View } from "../shared";

const N_STRONGEST = 8;
const LONGEST_TOKEN = 16;

export class StrongestView {
  readonly #title = h("h4", { class: "strongest-title" });
  readonly #list: LinkList;
  readonly element: HTMLElement;
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
    const { cursor, frames, store } = view;
    this.#list = new LinkList(frames, N_STRONGEST, "strongest", (link) => store.selection.selectCell(link));
    const { element } = this.#list;
    this.element = h("div", { class: "strongest-links" }, this.#title, element);
    const point = (target: EventTarget | null): void => {
      cursor.value = this.#list.linkAt(target);
    };
    frames.onDispose(listen(element, "pointerover", (event) => point(event.target)));
    frames.onDispose(listen(element, "focusin", (event) => point(event.target)));
    frames.onDispose(listen(element, "pointerleave", () => point(null)));
    frames.onDispose(listen(element, "focusout", () => point(null)));
    frames.watch(() => this.#paint());
  }

  #paint(): void {
    const { map } = this.#view;
    const reading = map.reading.value;
    // The list is hidden while a cell is selected.
    if (map.cell.value !== null || (reading.kind !== "row" && reading.kind !== "column")) return;
    const layer = map.layer.value;
    const { tokens } = contextOf(map);
    const rows = map.rows.value;
    const links = strongestLinks(rows, reading, layer, N_STRONGEST, map.layerInfo.value.noise_floor, []);
    const isBegun = stripOf(rows, reading, layer)?.values.some((value) => !Number.isNaN(value)) === true;
    const most = reading.kind === "row" ? "Strongest targets" : "Strongest sources";
    setText(
      this.#title,
      !isBegun
        ? `Layer ${layer} is not computed yet`
        : links.length === 0
          ? `Nothing above the noise floor at layer ${layer}`
          : `${most} at layer ${layer}`,
    );
    const scale = map.scale.value;
    this.#list.show(links, (link) => {
      const token = tokens[positionOf(reading, link)];
      const offset = link.target - link.source;
      return {
        unit: "",
        ends: token === undefined ? AFTER_THE_PROMPT : quote(token, LONGEST_TOKEN),
        place: offset === 1 ? "next token" : `${offset} ahead`,
        title: `${named(tokens, link.source)} → ${named(tokens, link.target)}, ${ahead(link.source, link.target)}`,
        opacity: alphaOf(link.value, scale) / 255,
      };
    });
  }
}

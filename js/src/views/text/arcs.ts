/** Arcs between the lines of the text: the strongest links of the current reading. */

import type { ReadonlySignal } from "@preact/signals-core";
import { alphaOf, css } from "../../page/colour";
import { svg } from "../../page/svg";
import type { Link } from "../../state/reading";
import { roundUp } from "../../state/scale";
import { strongestLinks } from "../../state/strongest";
import type { View } from "../shared";
import { arcPath } from "./arc-geometry";
import type { Boxes } from "./boxes";
import type { Units } from "./units";

const MOST = 12;
const MOST_OF_LAYER = 24;
/** The number of lanes that arcs alternate between, where many share the gap between two lines. */
const LANES = 4;
const FAINTEST = 70;
/** Links under this share of the scale are not drawn. */
const LEAST = 0.08;
const THINNEST = 0.8;
const THICKEST = 2.6;

export class Arcs {
  readonly element = svg("svg", { class: "arcs", "aria-hidden": "true" });
  readonly #view: View;
  readonly #units: ReadonlySignal<Units>;
  readonly #boxes: Boxes;
  readonly #paths: SVGPathElement[] = [];

  constructor(view: View, units: ReadonlySignal<Units>, boxes: Boxes) {
    this.#view = view;
    this.#units = units;
    this.#boxes = boxes;
    view.frames.watch(() => this.#paint());
  }

  #paint(): void {
    const found = this.#view.store.traits.show_arcs.value ? this.#links() : [];
    const scale = this.#scale(found);
    const links = found.filter(({ value }) => Math.abs(value) >= LEAST * scale);
    if (links.length === 0 && this.#paths.length === 0) return;
    while (this.#paths.length > links.length) this.#paths.pop()?.remove();
    while (this.#paths.length < links.length) {
      const path = svg("path");
      this.#paths.push(path);
      this.element.append(path);
    }
    if (links.length === 0) return;
    // The strongest is drawn last, over the others.
    for (const [i, link] of [...links].reverse().entries()) this.#draw(this.#paths[i], link, i, scale);
  }

  #links(): readonly Link[] {
    const { map } = this.#view;
    const reading = map.reading.value;
    const layer = map.layer.value;
    const whole = reading.kind === "statistic" || reading.kind === "offset";
    const floor = map.layerInfo.value.noise_floor;
    return strongestLinks(map.rows.value, reading, layer, whole ? MOST_OF_LAYER : MOST, floor, map.leftOut);
  }

  #scale(links: readonly Link[]): number {
    const scale = this.#view.map.scale.value;
    return Number.isNaN(scale) ? roundUp(Math.abs(links[0]?.value ?? 1)) : scale;
  }

  #draw(path: SVGPathElement | undefined, link: Link, number: number, scale: number): void {
    const units = this.#units.value;
    const boxes = this.#boxes.of(units);
    const source = boxes[units.indexOf(link.source)];
    const target = boxes[units.indexOf(link.target)];
    if (path === undefined || boxes.length === 0) return;
    path.setAttribute("d", "");
    if (source === undefined || target === undefined || source === target) return;
    const { palette } = this.#view.surroundings.value;
    const alpha = alphaOf(link.value, scale);
    const lane = (number % LANES) / (LANES - 1);
    path.setAttribute("d", arcPath(source, target, this.#boxes.room, this.#boxes.gap, lane));
    path.setAttribute(
      "stroke",
      css(palette[link.value > 0 ? "needed" : "hindering"], Math.max(FAINTEST, alpha)),
    );
    path.setAttribute("stroke-width", (THINNEST + ((THICKEST - THINNEST) * alpha) / 255).toFixed(2));
    // Hindering links are also dashed, so that hue alone does not show the sign.
    path.setAttribute("stroke-dasharray", link.value > 0 ? "none" : "4 2.5");
  }
}

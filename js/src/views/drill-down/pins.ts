/** Pinned sources, one line each: influence along the text at the selected layer, on one scale. */

import { css, inkOn, pinColour, type Rgb } from "../../page/colour";
import { h, listen, setAttribute, setText } from "../../page/dom";
import { quote, signed, withUnit } from "../../page/format";
import { ahead, CAVEAT, named, scaleEnds, scaleNote, statisticValue } from "../../page/sentences";
import type { Cell } from "../../state/reading";
import { sharedScale } from "../../state/scale";
import { contextOf, type View } from "../shared";
import { barsAlong, farLink } from "./pin-strip";

/** Statistics shown beside each strip. */
const STATISTICS = ["own_share", "expected_horizon"];
/** Height of a strip and least width, in pixels of its canvas: the page stretches it along the text. */
const STRIP = { height: 60, width: 1200 };

export class PinsView {
  readonly #note = h("span", { class: "quiet" });
  readonly #list = h("ul", { class: "pins-list" });
  readonly element = h(
    "section",
    { class: "pins", hidden: true, "aria-label": "Pinned tokens, compared" },
    h("h3", {}, h("strong", {}, "Pinned"), this.#note),
    this.#list,
    h("p", { class: "quiet" }, CAVEAT),
  );
  readonly #view: View;
  #lines: PinLine[] = [];
  #far: readonly (Cell | null)[] = [];

  constructor(view: View) {
    this.#view = view;
    const { frames } = view;
    frames.onDispose(listen(this.#list, "click", (event) => this.#click(event)));
    frames.watch(() => this.#paint());
  }

  #paint(): void {
    const { map, store } = this.#view;
    const nTokens = map.traits.tokens.value.length;
    const pins = [...store.traits.pinned_sources.value.entries()].filter(([, source]) => source < nTokens);
    this.element.hidden = pins.length === 0;
    while (this.#lines.length < pins.length) this.#lines.push(new PinLine());
    this.#lines.length = pins.length;
    if (this.#list.childElementCount !== pins.length)
      this.#list.replaceChildren(...this.#lines.map(({ element }) => element));
    if (pins.length === 0) return;
    const layer = map.layer.value;
    const { query } = contextOf(map);
    const rows = pins.map(([, source]) => map.rows.value.row(layer, source));
    const scale = sharedScale(rows);
    const ends = scale === 0 ? "" : ` · all strips ${scaleNote(scale, query)}`;
    const [down, up] = scaleEnds(query);
    const sides = `up: ${up}${down && `, down: ${down}`}`;
    setText(
      this.#note,
      ` along the text, token 0 to ${this.#nPositions() - 1}, at layer ${layer}${ends} · ${sides}`,
    );
    const fars: (Cell | null)[] = [];
    for (const [i, [number, source]] of pins.entries()) {
      const line = this.#lines[i];
      if (line !== undefined) fars[number] = this.#paintLine(line, number, source, rows[i], scale);
    }
    this.#far = fars;
  }

  /** Returns the cell of its strongest far link. */
  #paintLine(
    line: PinLine,
    index: number,
    source: number,
    row: Float32Array | undefined,
    scale: number,
  ): Cell | null {
    const { map, surroundings } = this.#view;
    const context = contextOf(map);
    const { tokens, query, layers } = context;
    const layer = map.layer.value;
    const floor = layers[layer]?.noise_floor ?? null;
    const { theme, paper } = surroundings.value;
    const colour = pinColour(theme, index);
    const reading = map.reading.value;
    const far = farLink(row, source, floor);
    const name = named(tokens, source);
    setAttribute(line.element, "data-pin", index);
    setAttribute(line.element, "style", `--pin: ${css(colour)}; --pin-ink: ${css(inkOn(colour, paper))}`);
    setText(line.badge, String(index + 1));
    setText(line.token, quote(tokens[source]));
    setText(line.position, `(${source})`);
    setAttribute(line.choose, "title", `What is ${name} used for?`);
    setAttribute(line.choose, "aria-pressed", String(reading.kind === "row" && reading.source === source));
    setAttribute(line.remove, "aria-label", `Unpin ${name}`);
    setText(line.numbers, this.#numbers(layer, source));
    line.far.disabled = far === null;
    setText(
      line.far,
      row === undefined
        ? "not computed yet"
        : far === null
          ? "nothing above the noise floor farther ahead"
          : `${withUnit(signed(far.value), query.unit)} → ${named(tokens, far.target)}, ${ahead(source, far.target)}`,
    );
    setAttribute(line.strip, "aria-label", `Influence of ${name} along the text at layer ${layer}`);
    drawStrip(line.strip, barsAlong(row, source, scale, floor), source, this.#nPositions(), colour);
    return far === null ? null : { layer, source, target: far.target };
  }

  /** The last position may lie after the prompt. */
  #nPositions(): number {
    const { tokens, nTargets } = contextOf(this.#view.map);
    return Math.max(tokens.length, nTargets + 1);
  }

  #numbers(layer: number, source: number): string {
    const { map } = this.#view;
    const context = contextOf(map);
    return map.traits.statistics.value
      .flatMap((statistic, index) =>
        STATISTICS.includes(statistic.name)
          ? [statisticValue(context, statistic, source, map.rows.value.statistic(index, layer, source))]
          : [],
      )
      .filter((words, i, all) => all.indexOf(words) === i)
      .join(" · ");
  }

  #click(event: Event): void {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    const index = Number(button?.closest("[data-pin]")?.getAttribute("data-pin") ?? Number.NaN);
    const { store } = this.#view;
    const source = store.traits.pinned_sources.peek()[index];
    if (source === undefined || button === null) return;
    const far = this.#far[index] ?? null;
    if (button.dataset["does"] === "unpin") store.selection.togglePin(source);
    else if (button.dataset["does"] === "far" && far !== null) store.selection.selectCell(far, "row");
    else store.selection.selectToken(source, "row");
  }
}

class PinLine {
  readonly badge = h("span", { class: "pin-badge" });
  readonly token = h("bdi", { class: "pin-token" });
  readonly position = h("span", { class: "quiet" });
  readonly choose = h(
    "button",
    { type: "button", class: "pin-choose", "data-does": "choose" },
    this.badge,
    this.token,
    this.position,
  );
  readonly strip = h("canvas", { class: "pin-strip", role: "img" });
  readonly numbers = h("span", { class: "pin-numbers quiet" });
  readonly far = h("button", { type: "button", class: "plain pin-far", "data-does": "far" });
  readonly remove = h("button", { type: "button", class: "plain pin-remove", "data-does": "unpin" }, "Unpin");
  readonly element = h(
    "li",
    {},
    this.choose,
    this.strip,
    h("span", { class: "pin-words" }, this.numbers, this.far),
    this.remove,
  );
}

/** Draws bars from the middle line, and a tick at the source. */
function drawStrip(
  canvas: HTMLCanvasElement,
  bars: ReturnType<typeof barsAlong>,
  source: number,
  nPositions: number,
  colour: Rgb,
): void {
  const step = Math.max(4, Math.ceil(STRIP.width / Math.max(1, nPositions)));
  const middle = STRIP.height / 2;
  canvas.width = step * nPositions;
  canvas.height = STRIP.height;
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.fillStyle = css(colour);
  for (const { position, height } of bars)
    context.fillRect(
      position * step,
      middle - Math.max(0, height) * middle,
      step - 1,
      Math.max(1, Math.abs(height) * middle),
    );
  context.fillRect(source * step, 0, Math.max(2, step / 3), STRIP.height);
}

/** Pinned tokens in the text: each has a number, and a line under every later token that uses its state. */

import { isAboveNoise } from "../../kernel/traits";
import { alphaOf, css, inkOn, pinColour, type Theme } from "../../page/colour";
import { signed, withUnit } from "../../page/format";
import type { Surroundings } from "../../page/theme";
import type { InfluenceMap } from "../../state/map";
import { type Reading, type Strip, stripOf } from "../../state/reading";
import { sharedScale } from "../../state/scale";
import { type Span, unitValue } from "../../state/words";
import { within } from "./token-look";

/** Heights of a line and of the gap above it, in CSS pixels, as in `text.css`. */
const THICK = 2;
const WHITE = 1;
/** Lines with a lower opacity (0..255) are not drawn: they would be invisible. */
const FAINTEST = 24;

/** One line under a unit. */
export interface Underline {
  /** Which pin, counted from 0. */
  readonly pin: number;
  readonly value: number;
  /** 0..255 */
  readonly alpha: number;
}

export interface PinLines {
  readonly n: number;
  /** Which pin a unit carries, counted from 0; -1: none. */
  pinOf(unit: Span): number;
  of(unit: Span): readonly Underline[];
  /** The same in words: `pin 1: +3.76 nats`. */
  words(lines: readonly Underline[]): string;
}

export function pinLinesOf(map: InfluenceMap): PinLines {
  const { controls, layer, traits } = map;
  const rows = map.rows.value;
  const pins = controls.pinned_sources.value.filter((source) => source < rows.nTokens);
  const readings = pins.map((source): Reading => ({ kind: "row", source }));
  const strips = readings.map((reading) => stripOf(rows, reading, layer.value));
  const scale = pinScale(map);
  const floor = map.layerInfo.value.noise_floor;
  const { unit } = traits.query.value;
  const found = new WeakMap<Span, readonly Underline[]>();
  return {
    n: pins.length,
    pinOf: (span) => pins.findIndex((source) => within(span, source)),
    of: (span) => {
      const known = found.get(span);
      if (known !== undefined) return known;
      const lines = strips.flatMap((strip, pin) => {
        const line = underline(strip, readings[pin], span, pin, scale, floor);
        return line === null ? [] : [line];
      });
      found.set(span, lines);
      return lines;
    },
    words: (lines) =>
      lines.map(({ pin, value }) => `pin ${pin + 1}: ${withUnit(signed(value), unit)}`).join(", "),
  };
}

/** One scale for all pins, at the layer on the screen. */
export function pinScale({ controls, rows, layer }: InfluenceMap): number {
  return sharedScale(controls.pinned_sources.value.map((source) => rows.value.row(layer.value, source)));
}

function underline(
  strip: Strip | null,
  reading: Reading | undefined,
  span: Span,
  pin: number,
  scale: number,
  floor: number | null,
): Underline | null {
  const value = strip === null || reading === undefined ? undefined : unitValue(strip, span, reading, floor);
  if (value === undefined || Number.isNaN(value) || !isAboveNoise(value, floor)) return null;
  // The own next token saturates; where the row has no other token, the scale is 0.
  const alpha = scale > 0 ? alphaOf(value, scale) : 255;
  return alpha < FAINTEST ? null : { pin, value, alpha };
}

/** The lines below a unit as background images, one for each pin. */
export function imagesOf(lines: readonly Underline[], nPins: number, theme: Theme): string {
  if (lines.length === 0) return "";
  const images = new Array<string>(nPins).fill("none");
  for (const { pin, value, alpha } of lines) {
    const colour = css(pinColour(theme, pin), alpha);
    images[pin] =
      value > 0
        ? `linear-gradient(${colour}, ${colour})`
        : `repeating-linear-gradient(to right, ${colour} 0 4px, transparent 4px 7px)`;
  }
  return [...images, "none"].join(", ");
}

/** The colours of a pin's number, for the style sheet. */
export function dressPin(element: HTMLElement, { theme, ink }: Surroundings, pin: number): void {
  const colour = pinColour(theme, pin);
  element.style.setProperty("--pin", css(colour));
  element.style.setProperty("--pin-ink", css(inkOn(colour, ink)));
}

/** Positions of the images below each unit, in the room that a border keeps free; the first pin is on top. */
export function placesOf(nPins: number): { readonly places: string; readonly clips: string } {
  const pins = Array.from({ length: nPins }, (_, pin) => pin);
  const places = pins.map((pin) => `0 calc(100% - ${(nPins - 1 - pin) * (THICK + WHITE)}px)`);
  // The last layer is the colour of the value; it stays within the padding.
  return {
    places: [...places, "0 0"].join(", "),
    clips: [...pins.map(() => "border-box"), "padding-box"].join(", "),
  };
}

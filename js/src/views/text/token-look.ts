/** How the text looks and what it says, as values; no element is touched here. */

import type { Statistic } from "../../kernel/protocol";
import { isAboveNoise } from "../../kernel/traits";
import { alphaOf, amountAlpha, type Palette } from "../../page/colour";
import { number, quoteAll, withUnit } from "../../page/format";
import {
  AFTER_THE_PROMPT,
  ahead,
  type Context,
  cellValue,
  named,
  sinkNote,
  statisticValue,
  WRITTEN,
} from "../../page/sentences";
import type { InfluenceMap } from "../../state/map";
import { anchorOf, type Cell, cellAt, type Reading, stripOf } from "../../state/reading";
import type { Rows } from "../../state/rows";
import { roundUp } from "../../state/scale";
import { representative, type Span, unitValue } from "../../state/words";
import { contextOf } from "../shared";

/**
 * `pending`: not computed yet; `none`: no value; `value`: coloured; `noise`: below the noise floor; `outside`: nothing
 * can flow there or from there; `source`, `target`: the token whose row or column is read; `end`: the place after the
 * prompt, without a value.
 */
export type Kind = "pending" | "none" | "value" | "noise" | "outside" | "source" | "target" | "end";

export interface Look {
  readonly kind: Kind;
  readonly colour: keyof Palette;
  /** 0..255 */
  readonly alpha: number;
  readonly value: number | undefined;
}

/** Labels are for screen readers, and are cut only when very long. */
const LONGEST_NAME = 200;

/** Names of units, kept: the tokens of a unit never change. */
const names = new WeakMap<Span, string>();

/** Looks of units at one moment of the map. */
export interface Looks {
  at(unit: Span): Look;
  /** The value in words, or why there is none. */
  words(unit: Span, look: Look): string;
  /** What a screen reader says of the unit. */
  label(unit: Span, look: Look): string;
}

export function looksOf(map: InfluenceMap): Looks {
  const context = contextOf(map);
  const reading = map.reading.value;
  const looks = reading.kind === "statistic" ? statisticLooks(map, context) : influenceLooks(map, context);
  const writtenFrom = map.traits.written_from.value;
  const sinkOf = sinkWords(map);
  return {
    ...looks,
    label: (unit, look) => {
      const sink = sinkOf(unit);
      const name = names.get(unit) ?? nameOf(context, unit);
      names.set(unit, name);
      const written = writtenFrom !== null && unit.start >= writtenFrom ? ` (${WRITTEN})` : "";
      return `${name}${sink && ` (${sink})`}${written}: ${looks.words(unit, look)}`;
    },
  };
}

/** `“ key”, token 3`, `“librarian”, tokens 40 to 42`. */
export function nameOf({ tokens }: Pick<Context, "tokens">, unit: Span, longest = LONGEST_NAME): string {
  if (unit.start >= tokens.length) return AFTER_THE_PROMPT;
  const quoted = quoteAll(tokens.slice(unit.start, unit.stop), longest);
  if (unit.stop === unit.start + 1) return `${quoted}, token ${unit.start}`;
  return `${quoted}, tokens ${unit.start} to ${unit.stop - 1}`;
}

/** The note on an attention sink within a unit; empty where there is none. */
export function sinkWords({ controls, traits }: InfluenceMap): (unit: Span) => string {
  const [sinks, counted] = [traits.sinks.value, controls.include_sinks.value];
  return (unit) => {
    const sink = sinks.find((position) => within(unit, position));
    return sink === undefined ? "" : sinkNote(sink, counted);
  };
}

/** The range of a statistic's colours. Without an upper end of its own, it ends at the layer's greatest value, rounded up. */
export function statisticRange(
  map: InfluenceMap,
  statistic: Statistic,
): readonly [low: number, high: number] {
  if (statistic.high !== null) return [statistic.low, statistic.high];
  const rows = map.rows.value;
  const without = map.leftOut;
  let greatest = 0;
  for (let source = 0; source < rows.nTokens; source += 1) {
    const value = rows.statistic(map.statisticIndex.value, map.layer.value, source) ?? 0;
    if (value > greatest && !without.includes(source)) greatest = value;
  }
  return [statistic.low, greatest > 0 ? roundUp(greatest) : Number.NaN];
}

/** The cell of a unit in the current reading: that of its first token where units are predicted, else of its last. */
export function cellOf(reading: Reading, rows: Rows, layer: number, unit: Span): Cell | null {
  const { nTokens, nTargets } = rows;
  const position = representative(unit, reading.kind === "row" ? "column" : "row");
  return cellAt(reading, layer, position, nTokens, nTargets);
}

export function within(unit: Span, position: number | null): boolean {
  return position !== null && position >= unit.start && position < unit.stop;
}

function plain(kind: Kind, value?: number): Look {
  return { kind, colour: "amount", alpha: 0, value };
}

type Inner = Omit<Looks, "label">;

function statisticLooks(map: InfluenceMap, context: Context): Inner {
  const statistic = map.statistic.value;
  const rows = map.rows.value;
  const index = map.statisticIndex.value;
  const layer = map.layer.value;
  if (statistic === null) return { at: () => plain("outside"), words: () => "" };
  const [low, high] = statisticRange(map, statistic);
  const values = Array.from({ length: rows.nTokens }, (_, source) => rows.statistic(index, layer, source));
  return {
    at: (unit) => {
      if (unit.start >= rows.nTokens) return plain("end");
      const value = values[unit.stop - 1];
      if (value === undefined) return plain("pending");
      if (Number.isNaN(value)) return plain("none", value);
      return { kind: "value", colour: "amount", alpha: amountAlpha(value, low, high), value };
    },
    words: (unit, { kind, value }) =>
      kind === "end"
        ? "only predicted: it has no state of its own"
        : statisticValue(context, statistic, unit.stop - 1, value),
  };
}

function influenceLooks(map: InfluenceMap, context: Context): Inner {
  const layer = map.layer.value;
  const rows = map.rows.value;
  const reading = map.reading.value;
  const strip = stripOf(rows, reading, layer) ?? { first: 0, values: new Float32Array() };
  const scale = map.scale.value;
  const floor = context.layers[layer]?.noise_floor ?? null;
  const anchor = anchorOf(reading);
  const anchorKind = reading.kind === "row" ? "source" : "target";
  return {
    at: (unit) => {
      if (within(unit, anchor)) return plain(anchorKind);
      const value = unitValue(strip, unit, reading, floor);
      if (value === undefined) return plain("outside");
      if (Number.isNaN(value)) return plain("pending");
      if (!isAboveNoise(value, floor)) return plain("noise", value);
      return {
        kind: "value",
        colour: value > 0 ? "needed" : "hindering",
        alpha: alphaOf(value, scale),
        value,
      };
    },
    words: (unit, { kind, value }) => {
      if (kind === "source") return "the selected token, the source";
      if (kind === "target") return "the selected token, the target";
      if (kind === "outside") return whyOutside(reading);
      if (kind === "pending") return cellValue(value, context.query);
      const cell = cellOf(reading, rows, layer, unit);
      const to =
        reading.kind === "offset" && cell !== null ? ` for ${named(context.tokens, cell.target)}` : "";
      const distance = cell === null ? "" : `, ${ahead(cell.source, cell.target)}`;
      if (kind === "noise") return `${noEffect(floor, context)}${to}${distance}`;
      return `${cellValue(value, context.query)}${to}${distance}`;
    },
  };
}

function noEffect(floor: number | null, { query }: Context): string {
  if (floor === null || floor === 0) return "no effect";
  return `nothing above the noise floor of ${withUnit(number(floor), query.unit)}`;
}

function whyOutside(reading: Reading): string {
  if (reading.kind === "row") return "before the selected token: nothing can flow back to it";
  if (reading.kind === "column")
    return "not before the selected token: it comes too late for that prediction";
  return "nothing lies so far ahead of it";
}

/** Units of the text: words on request, else single tokens. */

import type { Token } from "../kernel/protocol";
import { isAboveNoise, isFurtherPiece } from "../kernel/traits";
import type { Reading, Strip } from "./reading";

/** Positions `start .. stop - 1`. */
export interface Span {
  readonly start: number;
  readonly stop: number;
}

/** The units of `nPositions` positions, in order. The last position may lie after the prompt. */
export function unitsOf(tokens: readonly Token[], nPositions: number, byWord: boolean): readonly Span[] {
  const units: { start: number; stop: number }[] = [];
  let word: number | undefined;
  for (let position = 0; position < nPositions; position += 1) {
    const token = tokens[position];
    const last = units.at(-1);
    if (byWord && last !== undefined && token !== undefined && token.word === word) last.stop = position + 1;
    else units.push({ start: position, stop: position + 1 });
    word = token?.word;
  }
  return units;
}

/** The token that stands for a word: the last for its state, the first for its prediction. */
export function representative(unit: Span, direction: "row" | "column"): number {
  return direction === "row" ? unit.stop - 1 : unit.start;
}

/**
 * The value of a word. As targets, its tokens add up (the log-probability of a word is the sum of its tokens'), without
 * those below the noise floor. As a source, it is its last token, which has read the others. Undefined where the word has
 * no value; NaN: not computed yet.
 */
export function unitValue(
  strip: Strip,
  unit: Span,
  reading: Reading,
  noiseFloor: number | null,
): number | undefined {
  const { first, values } = strip;
  const stop = Math.min(unit.stop, first + values.length);
  const start = Math.max(unit.start, first);
  if (start >= stop) return undefined;
  if (reading.kind !== "row") return values[stop - 1 - first];
  let sum = 0;
  for (let position = start; position < stop; position += 1) {
    const value = values[position - first] ?? Number.NaN;
    if (Number.isNaN(value) || isAboveNoise(value, noiseFloor)) sum += value;
  }
  return sum;
}

/** Where a text occurs, ignoring case: the spans of tokens that it touches. */
export function occurrences(tokens: readonly Token[], wanted: string): readonly Span[] {
  if (wanted === "") return [];
  const starts: number[] = [];
  const ends: number[] = [];
  let whole = "";
  for (const token of tokens) {
    // Further pieces of a character have the place of its first.
    const isFurther = isFurtherPiece(token);
    starts.push(isFurther ? (starts.at(-1) ?? 0) : whole.length);
    if (!isFurther) whole += token.text.toLowerCase();
    ends.push(whole.length);
  }
  const found: Span[] = [];
  const needle = wanted.toLowerCase();
  let from = whole.indexOf(needle);
  let start = 0;
  while (from >= 0) {
    const end = from + needle.length;
    while ((ends[start] ?? Number.POSITIVE_INFINITY) <= from) start += 1;
    let stop = start + 1;
    while ((starts[stop] ?? Number.POSITIVE_INFINITY) < end) stop += 1;
    found.push({ start, stop });
    from = whole.indexOf(needle, end);
  }
  return found;
}

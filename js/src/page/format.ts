/** Tokens and numbers as text. */

import type { Token } from "../kernel/protocol";
import { isFurtherPiece } from "../kernel/traits";
import { isInvisible } from "./invisible";

/** A part of a token: its own text, or a mark in place of invisible characters. */
export interface Part {
  readonly mark: boolean;
  readonly text: string;
}

const MINUS = "−";
/** In the text, a line break is marked, and it also breaks the line. */
const BREAKS: Readonly<Record<string, string>> = { "\n": "↵\n", "\r": "␍", "\t": "⇥\t" };
const NAMED: Readonly<Record<string, string>> = { "\n": "↵", "\r": "␍", "\t": "⇥" };

/** The parts of a token in the text. Of a split character, the first piece shows it; the others show a dot. */
export function parts(token: Token): Part[] {
  if (isFurtherPiece(token)) return [{ mark: true, text: "·" }];
  if (token.text === "") return [{ mark: true, text: "∅" }];
  return split(token.text, BREAKS);
}

/** A token in quotes, on one line, for sentences. */
export function quote(token: Token | undefined, longest = 24): string {
  if (token === undefined) return "“?”";
  const piece = token.piece === null ? "" : `, piece ${token.piece[0]} of ${token.piece[1]}`;
  return `“${oneLine(token, longest)}”${idNote(token)}${piece}`;
}

/** Several tokens in one pair of quotes; a split character appears once. */
export function quoteAll(tokens: readonly Token[], longest = 24): string {
  const [first, ...rest] = tokens;
  if (first === undefined || rest.length === 0) return quote(first, longest);
  const text = tokens.map((token) => (isFurtherPiece(token) ? "" : token.text)).join("");
  return quote({ ...first, text, piece: null, id: null }, longest);
}

/** ` #318`: the id of a token that looks like a different one. */
function idNote({ id }: Token): string {
  return id === null ? "" : ` #${id}`;
}

/** A short label that still differs from others, for the columns of a heat map. */
export function shortLabel(token: Token, longest: number): string {
  const piece = token.piece === null ? "" : ` ${token.piece.join("/")}`;
  return `${oneLine(token, longest).trim() || "␣"}${idNote(token)}${piece}`;
}

/** One line of at most `longest` characters. */
export function oneLine(token: Pick<Token, "text">, longest: number): string {
  const characters = [
    ...split(token.text, NAMED)
      .map(({ text }) => text)
      .join(""),
  ];
  return characters.length > longest ? `${characters.slice(0, longest - 1).join("")}…` : characters.join("");
}

function split(text: string, named: Readonly<Record<string, string>>): Part[] {
  const found: { mark: boolean; text: string }[] = [];
  const characters = [...text];
  for (const [i, character] of characters.entries()) {
    const mark = isInvisible(characters, i);
    const shown = mark ? picture(character, named) : character;
    const last = found.at(-1);
    if (last !== undefined && last.mark === mark) last.text += shown;
    else found.push({ mark, text: shown });
  }
  return found;
}

function picture(character: string, named: Readonly<Record<string, string>>): string {
  const name = named[character];
  if (name !== undefined) return name;
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** A number with its significant digits: 31.8, 3.76, 0.20, 0.0042, 3e−9, 16. */
export function number(value: number): string {
  const magnitude = Math.abs(value);
  if (Number.isInteger(magnitude)) return value < 0 ? MINUS + magnitude : String(magnitude);
  if (magnitude < 1e-6) return `${value < 0 ? MINUS : ""}${magnitude.toExponential(0).replace("-", MINUS)}`;
  let digits = magnitude < 9.995 ? 2 : magnitude < 99.95 ? 1 : 0;
  if (magnitude < 0.0995) digits = Math.min(8, 1 - Math.floor(Math.log10(magnitude)));
  const shown = magnitude.toFixed(digits);
  return value < 0 ? MINUS + shown : shown;
}

/** With its sign, for influence. */
export function signed(value: number): string {
  return value > 0 ? `+${number(value)}` : number(value);
}

/** The end of a scale, without trailing zeros: 0, 16, 2.5. */
export function mark(value: number): string {
  return String(Number(value.toPrecision(3))).replace("-", MINUS);
}

export function withUnit(value: string, unit: string): string {
  return unit === "" ? value : `${value} ${unit}`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** “about 8 s”, “about 2 min”. */
export function duration(seconds: number): string {
  if (seconds < 1) return "less than 1 s";
  if (seconds < 90) return `about ${Math.round(seconds)} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${Math.round(seconds / 3600)} h`;
}

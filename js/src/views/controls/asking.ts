/** Converts between the editor's fields and what is sent. */

import { LONGEST_TEXT, type Offered } from "../../kernel/protocol";

export type MetricChoice = Offered["metrics"][number];

/** The choice for a metric as it is sent; undefined where only Python can express it. */
export function metricChoice(
  { metrics }: Offered,
  [named, ...tokens]: readonly string[],
): MetricChoice | undefined {
  return metrics.find(({ name, n_tokens: nTokens }) => name === named && nTokens === tokens.length);
}

/** The value of a choice in its list. */
export function choiceValue({ name, n_tokens: nTokens }: MetricChoice): string {
  return nTokens === 0 ? name : `${name} ${nTokens}`;
}

/** What is wrong with a field, and what to do. */
export interface Wrong {
  readonly title: string;
  readonly advice: string;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | ({ readonly ok: false } & Wrong);

/** Null where the kernel accepts the length. Some characters are two units in JavaScript, and one in Python. */
export function tooLong(text: string): Wrong | null {
  if (text.length <= LONGEST_TEXT || [...text].length <= LONGEST_TEXT) return null;
  return {
    title: `A prompt has at most ${LONGEST_TEXT.toLocaleString("en")} characters`,
    advice: "Give a shorter one.",
  };
}

/** The edited text, with the original line breaks where it was not edited: a field turns each into a line feed. */
export function asMeant(typed: string, before: string): string {
  const kept = before.match(/\r\n|[\s\S]/g) ?? [];
  const seen = kept.map((unit) => (unit.startsWith("\r") ? "\n" : unit));
  const most = Math.min(seen.length, typed.length);
  let start = 0;
  while (start < most && seen[start] === typed[start]) start += 1;
  let end = 0;
  while (end < most - start && seen.at(-1 - end) === typed.at(-1 - end)) end += 1;
  const beginning = kept.slice(0, start).join("");
  return beginning + typed.slice(start, typed.length - end) + kept.slice(kept.length - end).join("");
}

/** Parses `0-5, 12` or “all”; null stands for all layers. */
export function parseLayers(text: string, nLayers: number): Parsed<readonly number[] | null> {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed.toLowerCase() === "all") return { ok: true, value: null };
  const advice = `Write “all”, or numbers and ranges from 0 to ${nLayers - 1}, such as 0-5, 12.`;
  const found = new Set<number>();
  for (const part of trimmed.split(/[\s,;]+(?![-–—])(?<![-–—]\s*)/u).filter(Boolean)) {
    const match = /^(\d+)(?:\s*[-–—]\s*(\d+))?$/u.exec(part);
    if (match === null) return { ok: false, title: `“${shortened(part)}” is no layer`, advice };
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first) return { ok: false, title: `The range ${first}-${last} runs backwards`, advice };
    if (last >= nLayers) return { ok: false, title: `There is no layer ${last}`, advice };
    for (let layer = first; layer <= last; layer += 1) found.add(layer);
  }
  const layers = [...found].sort((a, b) => a - b);
  return { ok: true, value: layers.length === nLayers ? null : layers };
}

/** Layers as the reader would type them. */
export function layersText(layers: readonly number[] | null): string {
  if (layers === null) return "all";
  const ranges: [number, number][] = [];
  for (const layer of layers) {
    const range = ranges.at(-1);
    if (range !== undefined && layer === range[1] + 1) range[1] = layer;
    else ranges.push([layer, layer]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}

function shortened(text: string): string {
  const characters = [...text];
  return characters.length > 20 ? `${characters.slice(0, 19).join("")}…` : text;
}

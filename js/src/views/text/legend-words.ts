/** What the legend says. */

import type { Statistic } from "../../kernel/protocol";
import { plural } from "../../page/format";
import { CAVEAT, type Context, named, windowNote } from "../../page/sentences";
import type { Reading } from "../../state/reading";

/** `Layer 12 · influence of “ key” (3) on later predictions` */
export function legendTitle(
  { tokens }: Pick<Context, "tokens">,
  layer: number,
  reading: Reading,
  statistic: Statistic | null,
): string {
  switch (reading.kind) {
    case "row":
      return `Layer ${layer} · where ${named(tokens, reading.source)} is used`;
    case "column":
      return `Layer ${layer} · what carries the prediction of ${named(tokens, reading.target)}`;
    case "offset":
      return `Layer ${layer} · each token’s influence ${plural(reading.offset, "token")} ahead`;
    case "statistic":
      return statistic === null ? "" : `Layer ${layer} · ${statistic.label}`;
  }
}

/** Explains a statistic and its window. */
export function statisticNote(statistic: Statistic | null, window: number | null): string {
  if (statistic === null || window === null) return `${capital(windowNote(null))}.`;
  const description = statistic.description.replace(/[.\s]+$/u, "") || statistic.label;
  const within = description.includes("window") ? "" : `, ${windowNote(window)}`;
  return `${capital(description)}${within}.`;
}

/** How the value of a word is computed. */
export function wordsNote(reading: Reading): string {
  switch (reading.kind) {
    case "row":
      return "A word’s value is the sum over its tokens, without those below the noise floor.";
    case "column":
    case "offset":
    case "statistic":
      return "A word’s value is that of its last token, which has read the others.";
  }
}

/** What the colours of influence show, and what they do not show. */
export function readingNote(reading: Reading): string {
  switch (reading.kind) {
    case "row":
    case "offset":
      return CAVEAT;
    case "column":
      return "Coloured by how this prediction changes without each earlier token’s state.";
    case "statistic":
      return "";
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

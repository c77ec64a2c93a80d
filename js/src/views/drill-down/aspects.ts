/** The findings about a cell: predictions, direct and indirect parts, other baselines, heads, verification. */

import type { Findings } from "../../kernel/protocol";
import {
  carrierName,
  directNote,
  partsOf,
  probability,
  rangeNote,
  verified,
} from "../../page/cell-sentences";
import { h, setAttribute, setText } from "../../page/dom";
import { oneLine, signed, withUnit } from "../../page/format";
import { named } from "../../page/sentences";
import type { Cell } from "../../state/reading";
import { contextOf, type View } from "../shared";
import { AspectPart } from "./aspect";
import { Bars, twoParts } from "./bars";

const MOST_CARRIERS = 6;
const LONGEST_TOKEN = 18;

export function predictionsPart(view: View): AspectPart<"predictions"> {
  const rows = h("tbody");
  const caption = h("caption", { class: "unseen" });
  const head = ["predicted there", "kept", "removed"].map((text) => h("th", { scope: "col" }, text));
  const table = h("table", { class: "predictions" }, caption, h("thead", {}, h("tr", {}, ...head)), rows);
  return new AspectPart(view, {
    aspect: "predictions",
    title: "Predictions with and without it",
    ask: null,
    pending: "Asking for the predictions…",
    body: [table],
    paint: (found, { target }) => {
      const { tokens } = contextOf(view.map);
      setText(caption, `Probabilities at ${named(tokens, target)}, with the state kept and with it removed`);
      const names = shortened(found.map(({ token }) => token));
      rows.replaceChildren(...found.map((line, i) => predictionRow(line, names[i] ?? "")));
    },
  });
}

/** Shortens texts, except those that would then look the same. */
function shortened(texts: readonly string[]): readonly string[] {
  const short = texts.map((text) => oneLine({ text }, LONGEST_TOKEN));
  return texts.map((text, i) =>
    short.some((other, k) => k !== i && other === short[i])
      ? oneLine({ text }, Number.POSITIVE_INFINITY)
      : (short[i] ?? ""),
  );
}

function predictionRow(
  { kept, removed, actual }: Findings["predictions"][number],
  text: string,
): HTMLElement {
  const name = h("th", { scope: "row" }, h("bdi", {}, `“${text}”`));
  if (actual) name.append(h("span", { class: "quiet" }, " in the prompt"));
  const row = h("tr", {}, name, h("td", {}, probability(kept)), h("td", {}, probability(removed)));
  setAttribute(row, "data-actual", actual);
  return row;
}

export function directPart(view: View): AspectPart<"direct"> {
  const bars = new Bars();
  const note = h("p", { class: "quiet" });
  return new AspectPart(view, {
    aspect: "direct",
    title: "Direct and indirect",
    ask: null,
    pending: "Holding every other token at its clean state…",
    body: [bars.element, note],
    paint: (found, cell) => {
      const { unit } = contextOf(view.map).query;
      const parts = partsOf(found, cell);
      const [direct, indirect] = twoParts(parts.direct, parts.indirect);
      bars.show([
        { ...direct, name: "direct", text: withUnit(signed(parts.direct), unit) },
        { ...indirect, name: "indirect", text: withUnit(signed(parts.indirect), unit) },
      ]);
      setText(note, directNote(parts));
    },
  });
}

export function baselineSensitivityPart(view: View): AspectPart<"baseline_sensitivity"> {
  const bars = new Bars();
  const note = h("p", { class: "quiet" });
  return new AspectPart(view, {
    aspect: "baseline_sensitivity",
    title: "Under other baselines",
    ask: null,
    pending: "Removing it in other ways…",
    body: [bars.element, note],
    paint: (found) => {
      const { unit } = contextOf(view.map).query;
      bars.show(
        found.map(({ baseline, influence }) => ({
          name: baseline,
          text: withUnit(signed(influence), unit),
          from: 0,
          to: influence,
        })),
      );
      setText(note, rangeNote(found, unit));
    },
  });
}

export function carriersPart(view: View): AspectPart<"carriers"> {
  const bars = new Bars();
  const note = h("p", { class: "quiet" });
  return new AspectPart(view, {
    aspect: "carriers",
    title: "Heads that carry it",
    ask: "Find the heads that carry it",
    offer: "The heads whose keys and values at this token carry the effect.",
    pending: "Removing keys and values, head by head…",
    body: [bars.element, note],
    paint: (found) => {
      const { unit } = contextOf(view.map).query;
      const shown = [...found]
        .sort((a, b) => Math.abs(b.influence) - Math.abs(a.influence))
        .slice(0, MOST_CARRIERS);
      bars.show(
        shown.map((carrier) => ({
          name: carrierName(carrier),
          text: withUnit(signed(carrier.influence), unit),
          from: 0,
          to: carrier.influence,
        })),
      );
      setText(
        note,
        found.length === 0
          ? "No single head’s keys or values carry it."
          : "Each alone: the effect if only this head’s keys or values here change as they do without the state.",
      );
    },
  });
}

export function verificationPart(view: View): AspectPart<"verification"> {
  const words = h("p");
  return new AspectPart(view, {
    aspect: "verification",
    title: "Verified",
    ask: "Verify by a separate pass",
    offer: "The whole model, run once more with this one state replaced.",
    pending: "Running the whole model once more…",
    body: [words],
    paint: (found, cell: Cell) => {
      const { query, layers } = contextOf(view.map);
      const { agrees, words: said } = verified(found, query.unit, layers[cell.layer]?.noise_floor ?? null);
      setText(words, said);
      setAttribute(words, "class", agrees ? "agrees" : "warning");
    },
  });
}

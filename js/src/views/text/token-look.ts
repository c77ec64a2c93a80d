/** What one token looks like and says, given the store: no element is touched here. */

import { alphaOf, amountAlpha, type Palette, tells } from "../../page/colour";
import { quote } from "../../page/format";
import { type Context, cellValue, SINK, statisticValue } from "../../page/sentences";
import type { Store } from "../../state/store";
import { contextOf } from "../shared";

/**
 * `pending`: not computed yet; `none`: no value; `value`: coloured; `dust`: below the noise floor;
 * `before`: nothing can flow there from the source.
 */
export type Kind = "pending" | "none" | "value" | "dust" | "before" | "source";

export interface Look {
  readonly kind: Kind;
  readonly colour: keyof Palette;
  /** 0..255 */
  readonly alpha: number;
  readonly words: string;
}

/** One look for each token. */
export function looks(store: Store): Look[] {
  const context = contextOf(store);
  const source = store.source.value;
  const one = source === null ? statisticLook(store, context) : influenceLook(store, context, source);
  return context.tokens.map((token, position) => {
    const look = one(position);
    const sink = position === 0 ? ` (${SINK})` : "";
    return { ...look, words: `${quote(token)}, token ${position}${sink}: ${look.words}` };
  });
}

type LookAt = (position: number) => Look;

function plain(kind: Kind, words: string): Look {
  return { kind, colour: "amount", alpha: 0, words };
}

function statisticLook(store: Store, context: Context): LookAt {
  const statistic = store.statistic.value;
  const index = store.statisticIndex.value;
  const rows = store.rows.value;
  const layer = store.layer.value;
  if (statistic === null) return () => plain("dust", "");
  return (position) => {
    const value = rows.statistic(index, layer, position);
    const words = statisticValue(context, statistic, position, value);
    if (value === undefined) return plain("pending", words);
    if (Number.isNaN(value)) return plain("none", words);
    return {
      kind: "value",
      colour: "amount",
      alpha: amountAlpha(value, statistic.low, statistic.high),
      words,
    };
  };
}

function influenceLook(store: Store, context: Context, source: number): LookAt {
  const layer = store.layer.value;
  const row = store.rows.value.row(layer, source);
  const scale = store.scale.value;
  const floor = context.layers[layer]?.noise_floor ?? null;
  return (position) => {
    if (position < source) return plain("before", "before the selected token: nothing can flow back to it");
    if (position === source) return plain("source", "the selected token");
    const value = row?.[position - source - 1];
    const words = cellValue(value, context.query);
    if (value === undefined || Number.isNaN(value)) return plain("pending", words);
    if (!tells(value, floor)) return plain("dust", `${words}, below the noise floor`);
    return { kind: "value", colour: value > 0 ? "needed" : "hindering", alpha: alphaOf(value, scale), words };
  };
}

/** Made-up values for the development page: shaped like a real map, measured on nothing. */

import facts from "../../tests/protocol/facts.json";
import type { Layer, Statistic, Token, Traits } from "../src/kernel/protocol";
import { INITIAL } from "../src/kernel/traits";

const STORY =
  "Anna kept the key to the old library in a blue tin on the shelf by the window. Every evening, after the last " +
  "visitor had gone, she walked past the long rows of books, turned off the lamps, and locked the heavy door behind " +
  "her. One night the tin was empty, and the librarian knew at once that the library would stay closed until someone " +
  "found the key. She called Tom and waited in the rain.";

const HARD: readonly Pick<Token, "text" | "piece">[] = [
  { text: "def", piece: null },
  { text: " f", piece: null },
  { text: "(x):\n", piece: null },
  { text: "    ", piece: null },
  { text: "return", piece: null },
  { text: "\tx", piece: null },
  { text: "\n\n", piece: null },
  { text: "<b>bold</b>", piece: null },
  { text: "<script>alert(1)</script>", piece: null },
  { text: " 🙂", piece: [1, 2] },
  { text: " 🙂", piece: [2, 2] },
  { text: "a\u202eb", piece: null },
  { text: "\u200b", piece: null },
  { text: "\u0000", piece: null },
  { text: " שלום", piece: null },
  { text: " עולם", piece: null },
  { text: " 東京", piece: null },
  { text: " naïve", piece: null },
  { text: "<|im_end|>", piece: null },
];

export const N_LAYERS = 30;
export const WINDOW = 16;

export function storyTokens(repeat = 1): Token[] {
  const words = STORY.match(/ ?[A-Za-z]+|[^A-Za-z\s]+/g) ?? [];
  return Array.from({ length: repeat }, () => words)
    .flat()
    .map((text, word) => ({ text, piece: null, id: null, word }));
}

export function hardTokens(): Token[] {
  return Array.from({ length: 3 }, () => HARD)
    .flat()
    .map((token, word) => ({ ...token, id: null, word }));
}

export const STATISTICS: readonly Statistic[] = [
  {
    name: "own_share",
    label: "own share",
    unit: "",
    low: 0,
    high: 1,
    description: "Share of this state’s influence that goes to its own next token.",
  },
  {
    name: "expected_horizon",
    label: "expected horizon",
    unit: "tokens",
    low: 1,
    high: WINDOW,
    description: "Mean number of tokens ahead of this state’s influence.",
  },
  {
    name: "half_horizon",
    label: "half horizon",
    unit: "tokens",
    low: 1,
    high: WINDOW,
    description: "Half of this state’s influence lies within so many tokens.",
  },
  {
    name: "later_influence",
    label: "influence on later tokens",
    unit: "nats",
    low: 0,
    high: null,
    description: "Sum of the magnitudes of this state’s influence after its own next token.",
  },
];

export function layerInfo(nDone: (layer: number) => number): Layer[] {
  return Array.from({ length: N_LAYERS }, (_, layer) => ({
    baseline: nDone(layer) === 0 ? null : layer === 0 ? "resample" : "mean",
    shock: layer === 0 && nDone(layer) > 0,
    replaced: layer === 0 && nDone(layer) > 0,
    noise_floor: nDone(layer) === 0 ? null : 2e-5,
    n_done: nDone(layer),
  }));
}

/** A number in 0..1 that depends on its arguments alone. */
function chance(...seeds: number[]): number {
  let state = 2166136261;
  for (const seed of seeds) state = Math.imul(state ^ (seed + 0x9e37), 16777619) >>> 0;
  state = Math.imul(state ^ (state >>> 15), 2246822519) >>> 0;
  state = Math.imul(state ^ (state >>> 13), 3266489917) >>> 0;
  return ((state ^ (state >>> 16)) >>> 0) / 2 ** 32;
}

export function influence(tokens: readonly Token[], layer: number, source: number, target: number): number {
  const offset = target - source;
  if (offset < 1) return 0;
  const depth = 1 - layer / N_LAYERS;
  const habit = chance(source, target, 1) ** 4 * (chance(source, target, 2) < 0.55 ? 1 : -1);
  const wobble = 0.7 + 0.6 * chance(layer, source, target);
  let value = 3 * habit * depth * wobble * (0.25 + Math.exp(-offset / 9));
  if (offset === 1) value += 5 * (0.4 + 0.6 * chance(source, 7)) * (0.5 + 0.5 * (1 - depth));
  if (tokens[source]?.text === " key" && tokens[target]?.text === " key")
    value += 4.1 * Math.max(0, Math.min(1, (27 - layer) / 10)) * (0.85 + 0.1 * chance(layer, 3));
  return source === 0 ? value * 2.5 : value;
}

export function statistics(row: readonly number[]): number[] {
  if (row.length < WINDOW) return STATISTICS.map(() => Number.NaN);
  const inside = row.slice(0, WINDOW).map(Math.abs);
  const sum = inside.reduce((a, b) => a + b, 0);
  const mean = inside.reduce((a, b, k) => a + b * (k + 1), 0);
  const own = inside[0] ?? 0;
  let half = 0;
  for (let reached = 0; reached < sum / 2; half += 1) reached += inside[half] ?? sum;
  return [own / sum, mean / sum, half, sum - own];
}

export function traits(tokens: readonly Token[]): Traits {
  return {
    ...INITIAL,
    query: { ...INITIAL.query, method: "ablation", ...facts.metrics.logprob },
    offered: facts.offered,
    asked: { ...INITIAL.asked, metric: ["logprob"], baseline: ["auto"] },
    map_id: 1,
    model_name: "made-up-values-135M",
    prompt: tokens.map(({ text }) => text).join(""),
    tokens,
    n_targets: tokens.length - 1,
    n_layers: N_LAYERS,
    window: WINDOW,
    statistics: STATISTICS,
    layer_info: layerInfo(() => 0),
    sinks: [0],
    statistic: "own_share",
    selected_layer: 12,
    state: "computing",
    progress: { task: "layer 12", done: 0, seconds_left: null, filling: "running", host: null },
  };
}

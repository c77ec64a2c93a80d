/** The Python code that makes the same view. */

import type { Traits } from "../kernel/protocol";
import { INITIAL } from "../kernel/traits";
import { isInvisible } from "./invisible";

const SHORT: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  '"': '\\"',
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};
/** Characters that look like others, or that some fonts do not show. */
const UNCLEAR = /[\p{Cf}\p{Co}\p{Cn}\u00a0]/u;

/** A Python literal for exactly this text, with nothing in it hidden. */
export function pythonString(text: string): string {
  const characters = [...text];
  return `"${characters.map((_, i) => escaped(characters, i)).join("")}"`;
}

function escaped(characters: readonly string[], index: number): string {
  const character = characters[index] ?? "";
  const short = SHORT[character];
  if (short !== undefined) return short;
  const isJoiner = character === "\u200d"; // of the class Cf
  if (!isInvisible(characters, index) && (isJoiner || !UNCLEAR.test(character))) return character;
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

/** The code. It names the layer, and otherwise only what differs from the defaults. */
export function pythonCall(viewed: Traits): string {
  const { asked } = viewed;
  const notes: string[] = [];
  const lines = ["import horizon_widget as hw", ""];
  if (asked.model === null)
    lines.push("# model: the one that this widget was made with, from hw.load_model(…)");
  else
    lines.push(`model = hw.load_model(${pythonString(asked.model)}${asked.remote ? ", remote=True" : ""})`);
  const named = [...askedFor(viewed, notes), ...looks(viewed)].map(([name, value]) => `${name}=${value}`);
  const prompt =
    asked.token_ids === null ? pythonString(viewed.prompt) : `[${asked.token_ids.map(String).join(", ")}]`;
  const call = ["model", prompt, ...named].map((argument) => `    ${argument},`);
  return [...lines, ...notes, "widget = hw.HorizonWidget(", ...call, ")", "widget", ""].join("\n");
}

type Argument = readonly [name: string, value: string];

function askedFor({ asked, query, offered, layers }: Traits, notes: string[]): Argument[] {
  const found: Argument[] = [];
  const [metric, ...tokens] = asked.metric;
  const { metrics, baselines } = offered;
  if (!metrics.some(({ name }) => name === metric))
    notes.push(`# metric: the ${comment(query.metric)}; pass it as metric=`);
  else if (metric !== metrics[0]?.name || tokens.length > 0)
    found.push(["metric", oneOrSeveral(asked.metric)]);
  if (asked.baseline === null) notes.push("# baseline: as set in Python; pass it as baseline=");
  else if (asked.baseline.length !== 1 || asked.baseline[0] !== baselines[0]?.name)
    found.push(["baseline", oneOrSeveral(asked.baseline)]);
  if (asked.site !== INITIAL.asked.site) found.push(["site", pythonString(asked.site)]);
  if (asked.head !== null) found.push(["head", String(asked.head)]);
  if (asked.seed !== 0) found.push(["seed", String(asked.seed)]);
  if (asked.draws !== 3) found.push(["draws", String(asked.draws)]);
  if (layers !== null) found.push(["layers", numbers(layers)]);
  return found;
}

function looks(viewed: Traits): Argument[] {
  const found: Argument[] = [["selected_layer", String(viewed.selected_layer)]];
  if (viewed.direction !== "row") found.push(["direction", pythonString(viewed.direction)]);
  for (const name of ["selected_source", "selected_target", "selected_offset"] as const)
    if (viewed[name] !== null) found.push([name, String(viewed[name])]);
  if (viewed.statistic !== "" && viewed.statistic !== viewed.statistics[0]?.name)
    found.push(["statistic", pythonString(viewed.statistic)]);
  if (viewed.pinned_sources.length > 0) found.push(["pinned_sources", numbers(viewed.pinned_sources)]);
  if (viewed.fixed_scale !== null) found.push(["fixed_scale", String(viewed.fixed_scale)]);
  for (const name of ["show_words", "show_arcs", "include_sinks", "profile_as_share"] as const)
    if (viewed[name]) found.push([name, "True"]);
  if (viewed.least_offset !== INITIAL.least_offset) found.push(["least_offset", String(viewed.least_offset)]);
  if (viewed.find !== "") found.push(["find", pythonString(viewed.find)]);
  return found;
}

function oneOrSeveral(texts: readonly string[]): string {
  const [first, ...others] = texts.map(pythonString);
  return others.length === 0 ? (first ?? '""') : `(${[first, ...others].join(", ")})`;
}

function numbers(values: readonly number[]): string {
  return `[${values.map(String).join(", ")}]`;
}

/** Text within a comment must not end it. */
function comment(text: string): string {
  return pythonString(text).slice(1, -1);
}

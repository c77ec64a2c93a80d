/** Sentences of the card of a cell. */

import type { Carrier, Findings, Layer, Query } from "../kernel/protocol";
import { isMostlyShock } from "../kernel/traits";
import { number, plural, signed, withUnit } from "./format";

/** A separate pass agrees if it differs by at most this share of the value (or of 1, if larger), or by the noise floor. */
const AGREES = 1e-4;

/** `exact · baseline mean`: how reliable a cell's value is. */
export function valueKind({ exact }: Query, layer: Layer | undefined): string {
  const kind = exact ? "exact" : "an estimate";
  if (layer === undefined || layer.baseline === null) return kind;
  return isMostlyShock(layer)
    ? `${kind}, but mostly the shock of its baseline (${layer.baseline})`
    : `${kind} · baseline ${layer.baseline}`;
}

/** `41.3 %`, `<0.01 %`. */
export function probability(p: number): string {
  return p > 0 && p < 1e-4 ? "<0.01 %" : `${number(100 * p)} %`;
}

/** A difference, however small: `1.2e−6`. */
export function tiny(value: number): string {
  if (value === 0) return "0";
  return Math.abs(value) < 1e-3 ? value.toExponential(1).replaceAll("-", "−") : number(value);
}

/** A part of an effect below this share of it (or of 1, if larger) is a rounding error. */
const ROUNDING = 1e-5;

/**
 * The two parts of a cell's effect, with rounding errors set to 0. Only a token between the source and the position that
 * predicts the target (the one before it) can pass the effect on.
 */
export function partsOf(
  { total, direct, indirect }: Findings["direct"],
  { source, target }: { readonly source: number; readonly target: number },
): Findings["direct"] & { readonly mayBeIndirect: boolean } {
  const least = ROUNDING * Math.max(1, Math.abs(total));
  const shown = (part: number): number => (Math.abs(part) < least ? 0 : part);
  const mayBeIndirect = target - source > 2;
  return { total, direct: shown(direct), indirect: mayBeIndirect ? shown(indirect) : 0, mayBeIndirect };
}

/** How much of an effect is direct. */
export function directNote({ total, direct, indirect, mayBeIndirect }: ReturnType<typeof partsOf>): string {
  if (!mayBeIndirect) return "Indirect is 0: no token lies between.";
  if (direct * indirect < 0)
    return Math.abs(direct) >= Math.abs(total)
      ? "The indirect part takes back some of the direct effect."
      : "The direct part works against the indirect part.";
  const whole = Math.abs(direct) + Math.abs(indirect);
  if (whole === 0) return "";
  const share = Math.abs(direct) / whole;
  if (share >= 0.75) return "Read mostly from this token itself.";
  return share <= 0.25
    ? "Passed on mostly by later tokens."
    : "Read from this token, and passed on by later tokens.";
}

/** `+3.76 to +4.51 nats under 3 baselines`, and whether its sign depends on them. */
export function rangeNote(found: Findings["baseline_sensitivity"], unit: string): string {
  const values = found.map(({ influence }) => influence);
  if (values.length === 0) return "There is no other baseline to compare with.";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const range = low === high ? signed(low) : `${signed(low)} to ${signed(high)}`;
  const turns = low < 0 && high > 0 ? " Its sign depends on the baseline." : "";
  return `${withUnit(range, unit)} under ${plural(values.length, "baseline")}.${turns}`;
}

/** `layer 15, head 1, values` */
export function carrierName({ layer, head, site }: Carrier): string {
  return `layer ${layer}, head ${head}, ${site}s`;
}

export interface Verified {
  readonly agrees: boolean;
  readonly words: string;
}

/** The result of a separate pass, and whether it agrees. */
export function verified(
  { value, reference, difference, passes }: Findings["verification"],
  unit: string,
  noiseFloor: number | null,
): Verified {
  const off = Math.abs(difference);
  const agrees = off <= Math.max(AGREES * Math.max(1, Math.abs(value)), noiseFloor ?? 0);
  const full = plural(passes, "full, separate forward pass", "full, separate forward passes");
  const repeat = `${full} gave ${withUnit(signed(reference), unit)}`;
  const apart = withUnit(tiny(off), unit);
  return {
    agrees,
    words: agrees
      ? `${repeat}: the same within ${apart}.`
      : `${repeat}, which differs by ${apart}: more than rounding explains. Do not rely on this number.`,
  };
}

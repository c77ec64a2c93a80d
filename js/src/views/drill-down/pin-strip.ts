/** The strips of pinned sources as arithmetic: bars along the text, up where needed and down where hindering. */

import { tells } from "../../page/colour";
import { roundUp } from "../../state/scale";

/** A bar at a position of the text; `height` -1..1 of half the strip. */
export interface Along {
  readonly position: number;
  readonly height: number;
}

export function barsAlong(
  row: Float32Array | undefined,
  source: number,
  scale: number,
  noiseFloor: number | null,
): readonly Along[] {
  return Array.from(row ?? [], (value, k) => ({
    position: source + 1 + k,
    height: tells(value, noiseFloor) ? Math.max(-1, Math.min(1, value / scale)) : 0,
  })).filter(({ height }) => height !== 0);
}

/** One end for all strips: the largest magnitude beyond a source's own next token, rounded up; 0 where there is none. */
export function sharedScale(rows: readonly (Float32Array | undefined)[]): number {
  let largest = 0;
  for (const row of rows)
    row?.forEach((value, k) => {
      if (k > 0 && Math.abs(value) > largest) largest = Math.abs(value);
    });
  return largest > 0 ? roundUp(largest) : 0;
}

/** The strongest target beyond the source's own next token; null where none tells anything. */
export function farLink(
  row: Float32Array | undefined,
  source: number,
  noiseFloor: number | null,
): { readonly target: number; readonly value: number } | null {
  let best: { target: number; value: number } | null = null;
  row?.forEach((value, k) => {
    if (k > 0 && tells(value, noiseFloor) && Math.abs(value) > Math.abs(best?.value ?? 0))
      best = { target: source + 1 + k, value };
  });
  return best;
}

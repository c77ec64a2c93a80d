/** The strips of pinned sources as numbers: bars along the text, up where needed, down where hindering. */

import { isAboveNoise } from "../../kernel/traits";

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
    height: isAboveNoise(value, noiseFloor) ? Math.max(-1, Math.min(1, value / scale)) : 0,
  })).filter(({ height }) => height !== 0);
}

/** The strongest target beyond the source's own next token; null where none is above the noise floor. */
export function farLink(
  row: Float32Array | undefined,
  source: number,
  noiseFloor: number | null,
): { readonly target: number; readonly value: number } | null {
  let best: { target: number; value: number } | null = null;
  row?.forEach((value, k) => {
    if (k > 0 && isAboveNoise(value, noiseFloor) && Math.abs(value) > Math.abs(best?.value ?? 0))
      best = { target: source + 1 + k, value };
  });
  return best;
}

/** The own share by layer as shapes: x is the share, 0..1; y is the layer, from the top, one unit each. */

import type { Spread } from "../../state/overview";

/** The middle half: a polygon for each stretch of layers that have one. */
export function bandOf(spreads: readonly (Spread | null)[]): readonly string[] {
  return stretches(spreads).map((layers) => {
    const left = layers.map(([y, { low }]) => point(low, y));
    const right = layers.map(([y, { high }]) => point(high, y)).reverse();
    // A polygon of a single layer needs a height.
    if (layers.length === 1) {
      const [y, { low, high }] = layers[0] as Placed;
      return [point(low, y - 0.4), point(high, y - 0.4), point(high, y + 0.4), point(low, y + 0.4)].join(" ");
    }
    return [...left, ...right].join(" ");
  });
}

/** The median: a line for each stretch. */
export function linesOf(spreads: readonly (Spread | null)[]): readonly string[] {
  return stretches(spreads)
    .filter((layers) => layers.length > 1)
    .map((layers) => layers.map(([y, { median }]) => point(median, y)).join(" "));
}

type Placed = readonly [y: number, spread: Spread];

/** Bridges single missing layers: every other layer may be computed first. */
const BRIDGED = 1;

function stretches(spreads: readonly (Spread | null)[]): readonly (readonly Placed[])[] {
  const found: Placed[][] = [];
  let missing = BRIDGED + 1;
  for (const [layer, spread] of spreads.entries()) {
    if (spread !== null) {
      const placed: Placed = [spreads.length - 0.5 - layer, spread];
      if (missing <= BRIDGED) found.at(-1)?.push(placed);
      else found.push([placed]);
      missing = 0;
    } else missing += 1;
  }
  return found;
}

function point(x: number, y: number): string {
  return `${Number(x.toFixed(4))},${Number(y.toFixed(2))}`;
}

/** The strongest links of a reading, or of any values. */

import { isAboveNoise } from "../kernel/traits";
import { type Link, type Reading, stripOf } from "./reading";
import type { Rows } from "./rows";

/** With nothing selected, shorter links are left out: they are everywhere, and say the least. */
export const FAR = 5;

/** The strongest links of a row, a column or an offset, or the far links of a whole layer; the strongest first. */
export function strongestLinks(
  rows: Rows,
  reading: Reading,
  layer: number,
  most: number,
  noiseFloor: number | null,
  without: readonly number[],
): readonly Link[] {
  const best = new Strongest(most, noiseFloor);
  const strip = stripOf(rows, reading, layer);
  if (strip === null) {
    for (let source = 0; source < rows.nTokens; source += 1) {
      const row = without.includes(source) ? undefined : rows.row(layer, source);
      if (row === undefined) continue;
      for (let k = FAR; k <= row.length; k += 1) best.take(row[k - 1], layer, source, source + k);
    }
    return best.sorted();
  }
  for (const [i, value] of strip.values.entries()) {
    const position = strip.first + i;
    if (reading.kind === "row") best.take(value, layer, reading.source, position);
    else if (reading.kind === "column") best.take(value, layer, position, reading.target);
    else if (reading.kind === "offset" && !without.includes(position))
      best.take(value, layer, position, position + reading.offset);
  }
  return best.sorted();
}

/** Keeps the strongest of many links, without those below the noise floor. */
export class Strongest {
  #links: Link[] = [];
  #least = 0;
  readonly #most: number;
  readonly #noiseFloor: number | null;

  constructor(most: number, noiseFloor: number | null) {
    this.#most = most;
    this.#noiseFloor = noiseFloor;
  }

  take(value: number | undefined, layer: number, source: number, target: number): void {
    if (value === undefined || !(Math.abs(value) > this.#least) || !isAboveNoise(value, this.#noiseFloor))
      return;
    this.#links.push({ layer, source, target, value });
    if (this.#links.length < 4 * this.#most) return;
    this.#links = this.sorted();
    this.#least = Math.abs(this.#links.at(-1)?.value ?? 0);
  }

  sorted(): Link[] {
    return this.#links.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, this.#most);
  }
}

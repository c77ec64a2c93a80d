/** The values of one map that have arrived: rows of influence by layer and source, statistics by layer. */

import type { Values } from "./protocol";

export class Rows {
  readonly nTokens: number;
  readonly nLayers: number;
  readonly nStatistics: number;
  /** Later targets only, keyed by layer and source: the first entry is the source's own next token. */
  readonly #influence = new Map<number, Float32Array>();
  /** For each layer that has any: statistic × source. */
  readonly #statistics = new Map<number, Float32Array>();

  constructor(nTokens: number, nLayers: number, nStatistics: number) {
    this.nTokens = nTokens;
    this.nLayers = nLayers;
    this.nStatistics = nStatistics;
  }

  /** Keeps finished rows; a row that comes again replaces itself. Returns why they do not fit, or null. */
  receive(values: Values): string | null {
    const { layer, sources, n_targets: nTargets } = values;
    if (nTargets !== this.nTokens - 1)
      return `${nTargets} targets in a prompt of ${this.nTokens} tokens, where ${this.nTokens - 1} can be predicted`;
    if (layer >= this.nLayers) return `layer ${layer} of a model with ${this.nLayers} layers`;
    const outside = sources.find((source) => source >= this.nTokens);
    if (outside !== undefined) return `source ${outside} in a prompt of ${this.nTokens} tokens`;
    if (values.statistics.length !== this.nStatistics * sources.length)
      return `${values.statistics.length / sources.length} statistics where there should be ${this.nStatistics}`;

    let kept = this.#statistics.get(layer);
    if (kept === undefined) {
      kept = new Float32Array(this.nStatistics * this.nTokens);
      this.#statistics.set(layer, kept);
    }
    for (const [row, source] of sources.entries()) {
      // Column `c` is target `c + 1`, so the targets behind `source` begin at column `source`.
      const later = values.influence.slice(row * nTargets + source, (row + 1) * nTargets);
      this.#influence.set(this.#key(layer, source), later);
      for (let s = 0; s < this.nStatistics; s += 1) {
        kept[s * this.nTokens + source] = values.statistics[s * sources.length + row] ?? Number.NaN;
      }
    }
    return null;
  }

  /** Influence on each later target, nearest first; undefined while it is not here. */
  row(layer: number, source: number): Float32Array | undefined {
    return this.#influence.get(this.#key(layer, source));
  }

  /** Undefined while it is not here. */
  influence(layer: number, source: number, target: number): number | undefined {
    return this.row(layer, source)?.[target - source - 1];
  }

  /** NaN: computed, but no value; undefined: not here yet. */
  statistic(index: number, layer: number, source: number): number | undefined {
    if (this.row(layer, source) === undefined) return undefined;
    return this.#statistics.get(layer)?.[index * this.nTokens + source];
  }

  /** How many sources of a layer are here. */
  nSources(layer: number): number {
    let n = 0;
    for (let source = 0; source < this.nTokens; source += 1)
      if (this.#influence.has(this.#key(layer, source))) n += 1;
    return n;
  }

  /** At how many layers a source is here. */
  nRows(source: number): number {
    let n = 0;
    for (let layer = 0; layer < this.nLayers; layer += 1)
      if (this.#influence.has(this.#key(layer, source))) n += 1;
    return n;
  }

  #key(layer: number, source: number): number {
    return layer * this.nTokens + source;
  }
}

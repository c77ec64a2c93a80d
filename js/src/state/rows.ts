/**
 * The values of one map that have arrived: rows of influence by layer and source, statistics by layer. Effects that read
 * them run again when more arrive.
 */

import { signal } from "@preact/signals-core";
import { ProtocolError, type Values } from "../kernel/messages";

export class Rows {
  readonly nTokens: number;
  readonly nTargets: number;
  readonly nLayers: number;
  readonly nStatistics: number;
  /** Later targets only, by `layer * nTokens + source`: the first entry is the source's own next token. */
  readonly #influence: (Float32Array | undefined)[] = [];
  /** By layer: statistic × source. */
  readonly #statistics: (Float32Array | undefined)[] = [];
  readonly #nSources: number[];
  readonly #nRows: number[];
  readonly #versions: number[];
  readonly #arrived = signal(0);

  constructor(nTokens: number, nTargets: number, nLayers: number, nStatistics: number) {
    this.nTokens = nTokens;
    this.nTargets = nTargets;
    this.nLayers = nLayers;
    this.nStatistics = nStatistics;
    this.#nSources = new Array(nLayers).fill(0);
    this.#nRows = new Array(nTokens).fill(0);
    this.#versions = new Array(nLayers).fill(0);
  }

  /** Keeps finished rows; a row that comes again replaces itself. Throws `ProtocolError` where they do not fit the map. */
  receive(values: Values): void {
    const { layer, sources, n_targets: nTargets } = values;
    const nStatistics = values.statistics.length / sources.length;
    if (nTargets !== this.nTargets || nStatistics !== this.nStatistics)
      throw new ProtocolError(
        `${nTargets} targets and ${nStatistics} statistics of a map with ${this.nTargets} and ${this.nStatistics}`,
      );

    let kept = this.#statistics[layer];
    if (kept === undefined) {
      kept = new Float32Array(this.nStatistics * this.nTokens);
      this.#statistics[layer] = kept;
    }
    for (const [row, source] of sources.entries()) {
      // Column `c` is target `c + 1`, so the targets after `source` begin at column `source`.
      const later = values.influence.slice(row * nTargets + source, (row + 1) * nTargets);
      this.#keep(layer, source, later);
      for (let s = 0; s < this.nStatistics; s += 1) {
        kept[s * this.nTokens + source] = values.statistics[s * sources.length + row] ?? Number.NaN;
      }
    }
    this.#versions[layer] = this.version(layer) + 1;
    this.#arrived.value = this.arrived + 1;
  }

  #keep(layer: number, source: number, later: Float32Array): void {
    const key = layer * this.nTokens + source;
    if (this.#influence[key] === undefined) {
      this.#nSources[layer] = this.nSources(layer) + 1;
      this.#nRows[source] = this.nRows(source) + 1;
    }
    this.#influence[key] = later;
  }

  /** How often values have arrived. */
  get arrived(): number {
    return this.#arrived.value;
  }

  /** Influence on each later target, nearest first; undefined before it arrives. */
  row(layer: number, source: number): Float32Array | undefined {
    this.arrived;
    return this.#influence[layer * this.nTokens + source];
  }

  /** Undefined before it arrives. */
  influence(layer: number, source: number, target: number): number | undefined {
    return this.row(layer, source)?.[target - source - 1];
  }

  /** NaN: no value; undefined: not arrived yet. */
  statistic(index: number, layer: number, source: number): number | undefined {
    if (this.row(layer, source) === undefined) return undefined;
    return this.#statistics[layer]?.[index * this.nTokens + source];
  }

  /** How many sources of a layer have arrived. */
  nSources(layer: number): number {
    this.arrived;
    return this.#nSources[layer] ?? 0;
  }

  /** At how many layers a source has arrived. */
  nRows(source: number): number {
    this.arrived;
    return this.#nRows[source] ?? 0;
  }

  /** Grows whenever values of a layer arrive. */
  version(layer: number): number {
    this.arrived;
    return this.#versions[layer] ?? 0;
  }
}

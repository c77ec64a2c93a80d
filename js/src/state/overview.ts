/** A summary of the whole map: offset profiles, own shares by layer, and the strongest links. */

import { type Layer, LEAST_OFFSETS } from "../kernel/protocol";
import type { Link } from "./reading";
import type { Rows } from "./rows";
import { Strongest } from "./strongest";

/** Median and quartiles over a layer's tokens. */
export interface Spread {
  /** Tokens that have a value. */
  readonly n: number;
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

/** Offsets `first .. last`, combined where there are too many to show. */
export interface Bin {
  readonly first: number;
  readonly last: number;
}

/** Mean magnitude over the `n` known pairs of source and offset. */
export interface Mean {
  readonly mean: number;
  readonly n: number;
}

export const MOST_LINKS = 10;

/** What the summary depends on, besides the values. */
export interface Counted {
  /** One for each layer. */
  readonly layers: readonly Layer[];
  /** Positions of attention sinks, and whether they are counted. */
  readonly sinks: readonly number[];
  readonly withSinks: boolean;
  /** Which statistic is the own share; negative: none. */
  readonly ownShare: number;
}

/** Sums over some sources of one layer. Each row is counted once, when it arrives. */
class Tally {
  /** Sources whose rows have arrived. */
  nSources = 0;
  readonly #layer: number;
  readonly #floor: number;
  readonly #takes: (source: number) => boolean;
  readonly #kept: (Float32Array | undefined)[] = [];
  /** By offset; entry 0 is offset 1. */
  readonly #sums: Float64Array;
  readonly #counts: Uint32Array;
  /** By band of `LEAST_OFFSETS`. */
  readonly #links: readonly Strongest[];

  constructor(layer: number, nTargets: number, floor: number, takes: (source: number) => boolean) {
    this.#layer = layer;
    this.#floor = floor;
    this.#takes = takes;
    this.#sums = new Float64Array(nTargets);
    this.#counts = new Uint32Array(nTargets);
    this.#links = LEAST_OFFSETS.map(() => new Strongest(MOST_LINKS, floor));
  }

  /** Counts new rows; false: a row was replaced, so that all must be counted again. */
  update(rows: Rows): boolean {
    for (let source = 0; source < rows.nTokens; source += 1) {
      const row = rows.row(this.#layer, source);
      const kept = this.#kept[source];
      if (row === kept || row === undefined || !this.#takes(source)) continue;
      if (kept !== undefined) return false;
      this.#kept[source] = row;
      this.nSources += 1;
      this.#count(source, row);
    }
    return true;
  }

  #count(source: number, row: Float32Array): void {
    let band = 0;
    for (let k = 0; k < row.length; k += 1) {
      const value = row[k] as number;
      const magnitude = Math.abs(value);
      if (Number.isNaN(magnitude)) continue;
      this.#counts[k] = (this.#counts[k] as number) + 1;
      // Values up to the noise floor count as zero.
      if (magnitude <= this.#floor) continue;
      this.#sums[k] = (this.#sums[k] as number) + magnitude;
      while (k + 1 >= (LEAST_OFFSETS[band + 1] ?? Number.POSITIVE_INFINITY)) band += 1;
      (this.#links[band] as Strongest).take(value, this.#layer, source, source + k + 1);
    }
  }

  /** Adds up magnitudes and their number over a bin. */
  add({ first, last }: Bin, to: { sum: number; n: number }): void {
    for (let offset = first; offset <= last; offset += 1) {
      to.sum += this.#sums[offset - 1] ?? 0;
      to.n += this.#counts[offset - 1] ?? 0;
    }
  }

  /** Links of this least offset or more. */
  links(leastOffset: number): readonly Link[] {
    return this.#links.flatMap((links, band) =>
      (LEAST_OFFSETS[band] ?? 0) >= leastOffset ? links.sorted() : [],
    );
  }
}

/** One layer. Attention sinks have a tally of their own, so that they can be counted or left out at no cost. */
interface LayerSummary {
  readonly version: number;
  readonly floor: number;
  readonly rest: Tally;
  readonly sinks: Tally;
  readonly spread: Spread | null;
}

/** The summary of one map. Counts again only what has changed. */
export class MapSummary {
  readonly #rows: Rows;
  #layers: (LayerSummary | undefined)[] = [];
  #counted: Counted = { layers: [], sinks: [], withSinks: false, ownShare: -1 };
  #version = 0;

  constructor(rows: Rows) {
    this.#rows = rows;
  }

  /** Grows with every change of the summary. */
  get version(): number {
    return this.#version;
  }

  /** The layers as of the last update. */
  get layers(): readonly Layer[] {
    return this.#counted.layers;
  }

  /** Takes in what has arrived. */
  update(counted: Counted): void {
    const before = this.#counted;
    this.#counted = counted;
    const sameSinks = String(before.sinks) === String(counted.sinks);
    if (!sameSinks) this.#layers = [];
    const sameSpread = before.withSinks === counted.withSinks && before.ownShare === counted.ownShare;
    let changed = !sameSinks || !sameSpread || before.layers !== counted.layers;
    for (let layer = 0; layer < this.#rows.nLayers; layer += 1) {
      const floor = counted.layers[layer]?.noise_floor ?? 0;
      const summary = this.#layers[layer];
      const same = summary?.version === this.#rows.version(layer) && summary.floor === floor;
      if (same && sameSpread) continue;
      changed = true;
      this.#layers[layer] = this.#updated(layer, floor, summary?.floor === floor ? summary : undefined);
    }
    if (changed) this.#version += 1;
  }

  #updated(layer: number, floor: number, summary: LayerSummary | undefined): LayerSummary {
    const { sinks, withSinks, ownShare } = this.#counted;
    const tallied = (before: Tally | undefined, takes: (source: number) => boolean): Tally => {
      if (before?.update(this.#rows) === true) return before;
      const tally = new Tally(layer, this.#rows.nTargets, floor, takes);
      tally.update(this.#rows);
      return tally;
    };
    return {
      version: this.#rows.version(layer),
      floor,
      rest: tallied(summary?.rest, (source) => !sinks.includes(source)),
      sinks: tallied(summary?.sinks, (source) => sinks.includes(source)),
      spread: ownShare < 0 ? null : spreadOf(this.#rows, layer, ownShare, withSinks ? [] : sinks),
    };
  }

  #tallies(layer: number): readonly Tally[] {
    const summary = this.#layers[layer];
    if (summary === undefined) return [];
    return this.#counted.withSinks ? [summary.rest, summary.sinks] : [summary.rest];
  }

  /** Counted sources of a layer whose rows have arrived. */
  nSources(layer: number): number {
    return this.#tallies(layer).reduce((sum, { nSources }) => sum + nSources, 0);
  }

  /** Counted sources of a complete layer. */
  get nCounted(): number {
    const { sinks, withSinks } = this.#counted;
    return Math.max(0, this.#rows.nTokens - (withSinks ? 0 : sinks.length));
  }

  /** Whether at least half of a layer's sources have arrived; a mean over fewer is unreliable. */
  isEnough(layer: number): boolean {
    return this.nSources(layer) > 0 && 2 * this.nSources(layer) >= this.nCounted;
  }

  isComplete(layer: number): boolean {
    return this.nSources(layer) >= this.nCounted;
  }

  /** The own share of a layer's tokens; null where none has one, or too few have arrived. */
  spread(layer: number): Spread | null {
    return this.isEnough(layer) ? (this.#layers[layer]?.spread ?? null) : null;
  }

  /** The offset profile, or its mean over several offsets. */
  mean(layer: number, bin: Bin): Mean {
    const all = { sum: 0, n: 0 };
    for (const tally of this.#tallies(layer)) tally.add(bin, all);
    return { mean: all.n === 0 ? Number.NaN : all.sum / all.n, n: all.n };
  }

  /** The offset of a bin at which the layer's profile is highest. */
  highest(layer: number, { first, last }: Bin): number {
    let best = first;
    let highest = -1;
    for (let offset = first; offset <= last; offset += 1) {
      const { mean } = this.mean(layer, { first: offset, last: offset });
      if (mean > highest) [best, highest] = [offset, mean];
    }
    return best;
  }

  /** The sum of a layer's profile within a window, which shares refer to. */
  total(layer: number, window: number): number {
    let sum = 0;
    for (let offset = 1; offset <= window; offset += 1) {
      const { mean } = this.mean(layer, { first: offset, last: offset });
      if (!Number.isNaN(mean)) sum += mean;
    }
    return sum;
  }

  /** Whether links of this layer count. */
  hasLinks(layer: number): boolean {
    return this.#counted.layers[layer]?.shock !== true && this.isEnough(layer);
  }

  /**
   * The strongest links at least so many tokens long (one of `LEAST_OFFSETS`), strongest first: for each pair of tokens
   * the layer at which it is strongest. Layers where the mean is a shock are left out: the baseline that replaces it is
   * another intervention, whose values cannot be compared with those of other layers. So are layers with too few rows:
   * only tokens that were clicked would count.
   */
  strongest(leastOffset: number): readonly Link[] {
    // The strongest links of all are among the strongest of their layers.
    const links = this.#layers
      .flatMap((_, layer) => (this.hasLinks(layer) ? this.#tallies(layer) : []))
      .flatMap((tally) => tally.links(leastOffset))
      .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
    const pairs = new Map<string, Link>();
    for (const link of links) {
      const pair = `${link.source} ${link.target}`;
      if (!pairs.has(pair)) pairs.set(pair, link);
    }
    return [...pairs.values()].slice(0, MOST_LINKS);
  }
}

const summaries = new WeakMap<Rows, MapSummary>();

/** The summary of a map, shared by all views. */
export function summaryOf(rows: Rows): MapSummary {
  const summary = summaries.get(rows) ?? new MapSummary(rows);
  summaries.set(rows, summary);
  return summary;
}

/** Bins of offsets: single ones near by, and where there are too many, ranges of about an eighth of the distance. */
export function offsetBins(nOffsets: number, most = 64): readonly Bin[] {
  const bins: Bin[] = [];
  let first = 1;
  while (first <= nOffsets) {
    const width = nOffsets <= most ? 1 : Math.max(1, 2 ** Math.floor(Math.log2(first / 8)));
    const last = Math.min(nOffsets, first + width - 1);
    bins.push({ first, last });
    first = last + 1;
  }
  return bins;
}

function spreadOf(rows: Rows, layer: number, statistic: number, without: readonly number[]): Spread | null {
  const found: number[] = [];
  for (let source = 0; source < rows.nTokens; source += 1) {
    const value = rows.statistic(statistic, layer, source);
    if (value !== undefined && !Number.isNaN(value) && !without.includes(source)) found.push(value);
  }
  if (found.length === 0) return null;
  const sorted = Float64Array.from(found).sort();
  const [low = 0, median = 0, high = 0] = [0.25, 0.5, 0.75].map((share) => quantile(sorted, share));
  return { n: sorted.length, low, median, high };
}

/** Between two values, linearly. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

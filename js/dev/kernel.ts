/** A stand-in for the kernel, for the development page: answers like one, with made-up values. */

import type { Selection, ToKernel, Token, Traits } from "../src/protocol";
import type { Transport } from "../src/transport";
import { influence, layerInfo, N_LAYERS, statistics, traits } from "./story";

export class MadeUpKernel implements Transport {
  readonly #tokens: readonly Token[];
  readonly #done: boolean[];
  readonly #pace: number;
  readonly #changed = new Set<() => void>();
  readonly #heard = new Set<(content: unknown, buffers: readonly DataView[]) => void>();
  #traits: Traits;
  #timer = 0;

  /** `pace`: milliseconds for one layer; 0: all at once. `silent`: never answers. */
  constructor(
    tokens: readonly Token[],
    pace: number,
    readonly silent: boolean,
    readonly limit = N_LAYERS,
  ) {
    this.#tokens = tokens;
    this.#pace = pace;
    this.#done = Array.from({ length: N_LAYERS }, () => false);
    this.#traits = traits(tokens);
  }

  get(trait: string): unknown {
    return (this.#traits as unknown as Record<string, unknown>)[trait];
  }

  set(changes: Partial<Selection>): void {
    this.change(changes);
  }

  change(changes: Partial<Traits>): void {
    this.#traits = { ...this.#traits, ...changes };
    for (const listener of this.#changed) listener();
  }

  onChange(listener: () => void): () => void {
    this.#changed.add(listener);
    return () => this.#changed.delete(listener);
  }

  onMessage(listener: (content: unknown, buffers: readonly DataView[]) => void): () => void {
    this.#heard.add(listener);
    return () => this.#heard.delete(listener);
  }

  send(message: ToKernel): void {
    if (this.silent) return;
    clearTimeout(this.#timer);
    if (message.type === "hello") this.#tell({ type: "welcome", protocol_version: 1, map_id: 1 });
    if (message.type === "cancel")
      this.change({ progress: { ...this.#traits.progress, filling: "stopped", seconds_left: null } });
    else if (this.#pace > 0) this.#later();
    else while (this.#computeNext());
  }

  #later(): void {
    this.#timer = setTimeout(() => {
      if (this.#computeNext()) this.#later();
    }, this.#pace) as unknown as number;
  }

  /** The layer on the screen first, then from the top down. */
  #computeNext(): boolean {
    const nDone = this.#done.filter(Boolean).length;
    const wanted = this.#traits.selected_layer;
    const layer = this.#done[wanted] ? this.#done.lastIndexOf(false) : wanted;
    if (layer < 0 || nDone >= this.limit) return false;
    this.#done[layer] = true;
    const nTokens = this.#tokens.length;
    const rows = this.#tokens.map((_, source) =>
      Array.from({ length: nTokens - 1 }, (_, c) => influence(this.#tokens, layer, source, c + 1)),
    );
    const values = rows.map((row, source) => statistics(row.slice(source)));
    const byStatistic = [0, 1, 2].flatMap((s) => values.map((value) => value[s] ?? Number.NaN));
    this.#tell(
      { type: "values", map_id: 1, layer, sources: rows.map((_, i) => i), n_targets: nTokens - 1 },
      rows.flat(),
      byStatistic,
    );
    const finished = nDone + 1 === N_LAYERS;
    this.change({
      layers: layerInfo((l) => (this.#done[l] ? nTokens : 0)),
      state:
        this.#done[this.#traits.selected_layer] && this.#traits.error === null ? "ready" : this.#traits.state,
      progress: {
        task: "all layers",
        done: (nDone + 1) / N_LAYERS,
        seconds_left: finished ? null : 0.9 * (N_LAYERS - nDone),
        filling: finished ? "complete" : "running",
      },
    });
    return !finished;
  }

  #tell(content: unknown, ...buffers: number[][]): void {
    const views = buffers.map((values) => new DataView(Float32Array.from(values).buffer));
    for (const listener of this.#heard) listener(content, views);
  }
}

/** A stand-in for the kernel, for the development page. It answers with made-up values. */

import type { Aspect, Controls, Findings, FromBrowser, Token, Traits } from "../src/kernel/protocol";
import type { Received, Transport } from "../src/kernel/transport";
import { influence, layerInfo, N_LAYERS, STATISTICS, statistics, traits } from "./story";

type Inspect = Extract<FromBrowser, { type: "inspect" }>;

export class MadeUpKernel implements Transport {
  readonly #tokens: readonly Token[];
  readonly #done: boolean[];
  readonly #pace: number;
  #onTraits = (): void => undefined;
  #onMessage: Received = () => undefined;
  #traits: Traits;
  #timer: ReturnType<typeof setTimeout> | undefined;

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

  set(changes: Partial<Controls>): void {
    this.change(changes);
  }

  change(changes: Partial<Traits>): void {
    this.#traits = { ...this.#traits, ...changes };
    this.#onTraits();
  }

  listen(onTraits: () => void, onMessage: Received): () => void {
    this.#onTraits = onTraits;
    this.#onMessage = onMessage;
    return () => undefined;
  }

  send(message: FromBrowser): void {
    if (this.silent) return;
    switch (message.type) {
      case "hello":
        this.#tell({ type: "welcome", protocol_version: this.#traits.protocol_version });
        this.#goOn();
        return;
      case "ping":
        this.#tell({ type: "pong", number: message.number });
        return;
      case "cancel":
        clearTimeout(this.#timer);
        this.change({ progress: { ...this.#traits.progress, filling: "stopped", seconds_left: null } });
        return;
      case "resume":
        this.#goOn();
        return;
      case "inspect":
        for (const aspect of message.aspects) setTimeout(() => this.#find(message, aspect as Aspect), 300);
        return;
      default:
        this.#tell({
          type: "failed",
          field: message.type === "open" ? "prompt" : "n_tokens",
          problem: {
            title: "prompt: these values are made up for one text alone.",
            advice: "Open the widget in a notebook to ask about another.",
            detail: "",
          },
        });
    }
  }

  #goOn(): void {
    clearTimeout(this.#timer);
    if (this.#pace > 0) this.#later();
    else while (this.#computeNext());
  }

  #later(): void {
    this.#timer = setTimeout(() => {
      if (this.#computeNext()) this.#later();
    }, this.#pace);
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
    const byStatistic = STATISTICS.flatMap((_, s) => values.map((value) => value[s] ?? Number.NaN));
    this.#tell(
      { type: "values", map_id: 1, layer, sources: rows.map((_, i) => i), n_targets: nTokens - 1 },
      rows.flat(),
      byStatistic,
    );
    const finished = nDone + 1 === N_LAYERS;
    this.change({
      layer_info: layerInfo((l) => (this.#done[l] ? nTokens : 0)),
      state:
        this.#done[this.#traits.selected_layer] && this.#traits.error === null ? "ready" : this.#traits.state,
      progress: {
        task: "all layers",
        done: (nDone + 1) / N_LAYERS,
        seconds_left: finished ? null : 0.9 * (N_LAYERS - nDone),
        filling: finished ? "complete" : "running",
        host: this.#traits.progress.host,
      },
    });
    return !finished;
  }

  #find({ layer, source, target }: Inspect, aspect: Aspect): void {
    const value = influence(this.#tokens, layer, source, target);
    const kept = 0.41;
    const found: Findings = {
      predictions: [
        { token: this.#tokens[target]?.text ?? "", kept, removed: kept * Math.exp(-value), actual: true },
        { token: " old", kept: 0.083, removed: 0.134, actual: false },
        { token: " missing", kept: 0.051, removed: 0.031, actual: false },
        { token: "\n", kept: 0.042, removed: 0.0004, actual: false },
      ],
      direct: { total: value, direct: 0.82 * value, indirect: 0.18 * value },
      baseline_sensitivity: [
        { baseline: "mean", influence: value },
        { baseline: "zero", influence: 1.2 * value },
        { baseline: "resample", influence: 1.06 * value },
      ],
      carriers: [
        { layer: Math.min(layer + 3, N_LAYERS - 1), head: 1, site: "value", influence: 0.6 * value },
        { layer: Math.min(layer + 3, N_LAYERS - 1), head: 1, site: "key", influence: 0.2 * value },
        { layer: Math.min(layer + 7, N_LAYERS - 1), head: 0, site: "value", influence: -0.1 * value },
      ],
      verification: { value, reference: value - 1.2e-6, difference: 1.2e-6, passes: 2 },
    };
    const content = { type: "finding", map_id: 1, layer, source, target, aspect, problem: null };
    this.#tell({ ...content, found: found[aspect] });
  }

  #tell(content: unknown, ...buffers: number[][]): void {
    const views = buffers.map((values) => new DataView(Float32Array.from(values).buffer));
    this.#onMessage(content, views);
  }
}

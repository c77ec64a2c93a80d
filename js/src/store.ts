/** One store of signals for each model, shared by all of its views. */

import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals-core";
import {
  checkToBrowser,
  checkTrait,
  INITIAL,
  type Layer,
  PROTOCOL_VERSION,
  type Problem,
  type Selection,
  type Statistic,
  type ToBrowser,
  TRAITS,
  type TraitName,
  type Traits,
} from "./protocol";
import { Rows } from "./rows";
import { scaleOf } from "./scale";
import type { Transport } from "./transport";

/** How long the kernel may take to answer `hello` before the reader is told. */
export const PATIENCE_MS = 3000;

/** `silent`: no answer in time; `refused`: the kernel speaks another version of the protocol. */
export type Connection = "new" | "greeting" | "silent" | "connected" | "refused";

type TraitSignals = { readonly [K in TraitName]: Signal<Traits[K]> };

const UNPREPARED: Layer = { baseline: null, shock: false, noise_floor: null, n_done: 0 };

export class Store {
  readonly traits: TraitSignals = Object.fromEntries(
    TRAITS.map((name) => [name, signal(INITIAL[name])]),
  ) as unknown as TraitSignals;

  /** Replaced when the map changes; filled in place as values arrive, which `arrived` counts. */
  readonly rows: Signal<Rows> = signal(new Rows(0, 0, 0));
  readonly arrived = signal(0);
  readonly connection: Signal<Connection> = signal("new");
  /** Something received could not be read. */
  readonly problem: Signal<Problem | null> = signal(null);

  /** The chosen layer, kept within the model. */
  readonly layer: ReadonlySignal<number>;
  readonly layerInfo: ReadonlySignal<Layer>;
  /** The selected source, or null where it does not lie in the prompt. */
  readonly source: ReadonlySignal<number | null>;
  /** The selected target, or null where it does not lie behind the source. */
  readonly target: ReadonlySignal<number | null>;
  readonly statistic: ReadonlySignal<Statistic | null>;
  readonly statisticIndex: ReadonlySignal<number>;
  /** Of the selected source's values; NaN before the first of them. */
  readonly scale: ReadonlySignal<number>;
  /** Whether what was asked for is here: the whole layer, or the source at every layer; or what there was when it stopped. */
  readonly complete: ReadonlySignal<boolean>;

  readonly #transport: Transport;
  readonly #raw = new Map<TraitName, unknown>();
  readonly #stops: (() => void)[];
  #mapId = INITIAL.map_id;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(transport: Transport) {
    const { traits } = this;
    this.#transport = transport;
    this.layer = computed(() =>
      Math.max(0, Math.min(traits.selected_layer.value, traits.n_layers.value - 1)),
    );
    this.layerInfo = computed(() => traits.layers.value[this.layer.value] ?? UNPREPARED);
    this.source = computed(() => {
      const source = traits.selected_source.value;
      return source !== null && source < traits.tokens.value.length ? source : null;
    });
    this.target = computed(() => {
      const target = traits.selected_target.value;
      const source = this.source.value;
      if (target === null || source === null) return null;
      return target > source && target < traits.tokens.value.length ? target : null;
    });
    this.statisticIndex = computed(() =>
      Math.max(
        0,
        traits.statistics.value.findIndex(({ name }) => name === traits.statistic.value),
      ),
    );
    this.statistic = computed(() => traits.statistics.value[this.statisticIndex.value] ?? null);
    this.scale = computed(() => {
      this.arrived.value;
      const source = this.source.value;
      return source === null ? Number.NaN : scaleOf(this.rows.value, source, traits.layers.value);
    });
    this.complete = computed(() => {
      this.arrived.value;
      if (traits.progress.value.filling === "stopped") return true;
      const rows = this.rows.value;
      const source = this.source.value;
      return source === null
        ? rows.nSources(this.layer.value) >= rows.nTokens
        : rows.nRows(source) >= rows.nLayers;
    });
    this.#readTraits();
    this.#stops = [
      transport.onChange(() => this.#readTraits()),
      transport.onMessage((content, buffers) => this.#receive(content, buffers)),
    ];
  }

  /** Says hello to the kernel, once, when the first view opens: from then on it may use idle time. */
  greet(): void {
    if (this.connection.peek() !== "new") return;
    this.connection.value = "greeting";
    this.#timer = setTimeout(() => {
      if (this.connection.peek() === "greeting") this.connection.value = "silent";
    }, PATIENCE_MS);
    this.#transport.send({ type: "hello", protocol_version: PROTOCOL_VERSION });
  }

  cancel(): void {
    this.#transport.send({ type: "cancel" });
  }

  resume(): void {
    this.#transport.send({ type: "resume" });
  }

  /** Asks about the state of one token, or with null about none. */
  selectSource(source: number | null): void {
    if (source !== this.traits.selected_source.peek())
      this.#set({ selected_source: source, selected_target: null });
  }

  selectLayer(layer: number): void {
    if (layer !== this.traits.selected_layer.peek()) this.#set({ selected_layer: layer });
  }

  selectCell(layer: number, target: number | null): void {
    this.#set({ selected_layer: layer, selected_target: target });
  }

  selectStatistic(name: string): void {
    if (name !== this.traits.statistic.peek()) this.#set({ statistic: name });
  }

  dispose(): void {
    clearTimeout(this.#timer);
    for (const stop of this.#stops) stop();
  }

  /** Shows the change at once; the kernel hears of it. */
  #set(changes: Partial<Selection>): void {
    batch(() => {
      for (const [name, value] of Object.entries(changes)) {
        this.#raw.set(name as TraitName, value);
        (this.traits[name as TraitName] as Signal<unknown>).value = value;
      }
    });
    this.#transport.set(changes);
  }

  #readTraits(): void {
    batch(() => {
      const before = this.problem.value;
      for (const name of TRAITS) this.#readTrait(name);
      const { tokens, n_layers: nLayers, statistics, map_id: mapId, protocol_version: version } = this.traits;
      if (version.value !== PROTOCOL_VERSION) this.connection.value = "refused";
      const rows = this.rows.value;
      const sameMap =
        mapId.value === this.#mapId &&
        tokens.value.length === rows.nTokens &&
        nLayers.value === rows.nLayers &&
        statistics.value.length === rows.nStatistics;
      if (sameMap) return;
      this.#mapId = mapId.value;
      // What was wrong with the old map is none of the new one's.
      if (this.problem.value === before) this.problem.value = null;
      this.rows.value = new Rows(tokens.value.length, nLayers.value, statistics.value.length);
    });
  }

  #readTrait<K extends TraitName>(name: K): void {
    const raw = this.#transport.get(name);
    if (raw === undefined || (this.#raw.has(name) && this.#raw.get(name) === raw)) return;
    this.#raw.set(name, raw);
    // Traits are empty objects until the kernel sets them.
    const checked = checkTrait(name, isEmptyObject(raw) ? INITIAL[name] : raw);
    if (checked.ok) (this.traits[name] as Signal<Traits[K]>).value = checked.value;
    else this.#complain(checked.reason);
  }

  #receive(content: unknown, buffers: readonly DataView[]): void {
    const checked = checkToBrowser(content, buffers);
    if (checked.ok) batch(() => this.#answer(checked.value));
    else this.#complain(checked.reason);
  }

  #answer(message: ToBrowser): void {
    if (this.connection.value === "refused") return;
    switch (message.type) {
      case "welcome":
        clearTimeout(this.#timer);
        this.connection.value = message.protocol_version === PROTOCOL_VERSION ? "connected" : "refused";
        return;
      case "rejected":
        this.problem.value = {
          title: "The kernel could not read a message from this page",
          advice: "Reload the page; if that does not help, restart the kernel.",
          detail: message.reason,
        };
        return;
      case "values": {
        if (message.map_id !== this.traits.map_id.value) return;
        const reason = this.rows.value.receive(message);
        if (reason !== null) this.#complain(reason);
        else this.arrived.value += 1;
        // Values are an answer too, should `welcome` have been lost.
        if (this.connection.value === "silent") this.connection.value = "connected";
      }
    }
  }

  #complain(reason: string): void {
    this.problem.value = {
      title: "This page could not read something that the kernel sent",
      advice: "What is shown may be incomplete. Reload the page; if that does not help, restart the kernel.",
      detail: reason,
    };
  }
}

function isEmptyObject(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
  );
}

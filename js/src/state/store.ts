/** One store of signals for each model, shared by all of its views. */

import {
  batch,
  computed,
  effect,
  type ReadonlySignal,
  type Signal,
  signal,
  untracked,
} from "@preact/signals-core";
import { Connection } from "../kernel/connection";
import { ProtocolError, read, type ToBrowser } from "../kernel/messages";
import {
  type Aspect,
  type Controls,
  type Failed,
  type Layer,
  type Open,
  PROTOCOL_VERSION,
  type Problem,
  type Statistic,
} from "../kernel/protocol";
import { type Direction, INITIAL } from "../kernel/traits";
import type { Transport } from "../kernel/transport";
import { CellFindings } from "./findings";
import { History, SELECTION, type Selection } from "./history";
import { type Host, HostNews } from "./host";
import { Inquiry } from "./inquiry";
import { type Cell, cellAt, isComplete, type Reading, readingOf, selectedCell } from "./reading";
import { Rows } from "./rows";
import { scaleOf } from "./scale";
import { SyncedTraits, type TraitSignals } from "./synced";

export const MOST_PINS = 4;

const UNPREPARED: Layer = { baseline: null, shock: false, replaced: false, noise_floor: null, n_done: 0 };
const NOTHING: Pick<Selection, "selected_source" | "selected_target" | "selected_offset"> = {
  selected_source: null,
  selected_target: null,
  selected_offset: null,
};

export class Store {
  readonly #synced = new SyncedTraits();
  readonly traits: TraitSignals = this.#synced.signals;

  /** Replaced when the map changes; filled in place as values arrive. */
  readonly rows: Signal<Rows> = signal(new Rows(0, 0, 0, 0));
  readonly connection: Connection;
  /** Something received could not be read. */
  readonly problem: Signal<Problem | null> = signal(null);
  /** Something asked for could not be done; what is on the screen stays. */
  readonly failed: Signal<Failed | null> = signal(null);
  readonly findings = new CellFindings();
  readonly history = new History();
  readonly #hostNews = new HostNews();
  /** Where the request is that a remote model's host was sent. */
  readonly host: ReadonlySignal<Host | null> = this.#hostNews.now;

  /** The chosen layer, kept within the model. */
  readonly layer: ReadonlySignal<number>;
  readonly layerInfo: ReadonlySignal<Layer>;
  /** How the text is read: by a statistic, or by the influence of or on one token. */
  readonly reading: ReadonlySignal<Reading>;
  /** The selected cell of a row or a column. */
  readonly cell: ReadonlySignal<Cell | null>;
  readonly statistic: ReadonlySignal<Statistic | null>;
  readonly statisticIndex: ReadonlySignal<number>;
  /** The end of the scale that influence is coloured on; NaN before the first value. */
  readonly scale: ReadonlySignal<number>;
  /** Whether what was asked for is here, or what there was when it stopped. */
  readonly complete: ReadonlySignal<boolean>;

  readonly #transport: Transport;
  readonly #stops: (() => void)[];
  #mapId = INITIAL.map_id;
  readonly #inquiry: Inquiry;
  readonly #selected: ReadonlySignal<Selection>;
  /** Whether changes of our own are on their way into the host's model, which takes them one by one. */
  #setting = false;

  constructor(transport: Transport) {
    const { traits } = this;
    this.#transport = transport;
    this.connection = new Connection((message) => transport.send(message));
    this.#inquiry = new Inquiry(
      this.findings,
      (cell, aspect) => this.#mayAsk(cell) && this.whyNot(aspect) === undefined,
      (cell, aspects) => this.#ask(() => transport.send({ type: "inspect", ...cell, aspects })),
    );
    const shape = computed(() => [traits.tokens.value.length, traits.n_targets.value] as const);
    this.#selected = computed(
      () => Object.fromEntries(SELECTION.map((name) => [name, traits[name].value])) as unknown as Selection,
    );
    this.layer = computed(() =>
      Math.max(0, Math.min(traits.selected_layer.value, traits.n_layers.value - 1)),
    );
    this.layerInfo = computed(() => traits.layer_info.value[this.layer.value] ?? UNPREPARED);
    this.reading = computed(() => readingOf(this.#selected.value, ...shape.value));
    this.cell = computed(() =>
      selectedCell(this.#selected.value, this.reading.value, this.layer.value, ...shape.value),
    );
    this.statisticIndex = computed(() =>
      Math.max(
        0,
        traits.statistics.value.findIndex(({ name }) => name === traits.statistic.value),
      ),
    );
    this.statistic = computed(() => traits.statistics.value[this.statisticIndex.value] ?? null);
    this.scale = computed(() => {
      const fixed = traits.fixed_scale.value;
      return fixed ?? scaleOf(this.rows.value, this.reading.value, traits.layer_info.value);
    });
    this.complete = computed(() => {
      if (traits.progress.value.filling === "stopped") return true;
      return isComplete(this.rows.value, this.reading.value, this.layer.value);
    });
    this.#readTraits();
    this.history.begin(this.#selected.peek());
    this.#stops = [
      transport.onChange(() => this.#readTraits()),
      transport.onMessage((content, buffers) => this.#receive(content, buffers)),
      effect(() => {
        traits.map_id.value; // a new history begins with what is selected in it
        const now = this.#selected.value;
        untracked(() => this.history.noteSoon(now));
      }),
      effect(() => this.#hostNews.hear(traits.progress.value.host)),
      effect(() => {
        if (this.connection.state.value === "silent") untracked(() => this.findings.forgetAsked());
      }),
      effect(() => this.#inquiry.about(this.cell.value)),
    ];
  }

  // To the kernel

  /** A view opened: says hello to the kernel, the first time. */
  greet(): void {
    this.connection.greet();
  }

  cancel(): void {
    this.#ask(() => this.#transport.send({ type: "cancel" }));
  }

  resume(): void {
    this.#ask(() => this.#transport.send({ type: "resume" }));
  }

  /** Opens another map; if that cannot be, `failed` says why. */
  open(asked: Omit<Open, "type">): void {
    this.failed.value = null;
    this.#ask(() => this.#transport.send({ type: "open", ...asked }));
  }

  writeOn(nTokens: number): void {
    this.failed.value = null;
    this.#ask(() => this.#transport.send({ type: "write_on", n_tokens: nTokens }));
  }

  /** Asks for more about the selected cell than is always asked. */
  want(aspect: Aspect): void {
    const cell = this.cell.peek();
    if (cell !== null && this.whyNot(aspect) === undefined) this.findings.want(cell, aspect);
  }

  /** Why the model's host does not allow something; undefined where it does. */
  whyNot(what: Aspect | "write_on"): string | undefined {
    return this.traits.not_offered.value[what];
  }

  // Selections

  /** Reads the text by one token: what its state is used for (row), or who carries its prediction (column). */
  selectToken(position: number, direction: Direction = this.traits.direction.peek()): void {
    // Nothing predicts the first token, and nothing is read behind the last.
    const [nTokens, nTargets] = this.#shape;
    if (direction === "column" ? position < 1 || position > nTargets : position >= nTokens) return;
    const anchor = direction === "row" ? { selected_source: position } : { selected_target: position };
    this.set({ ...NOTHING, direction, ...anchor });
  }

  clearSelection(): void {
    this.set(NOTHING);
  }

  /** Reads the same token, or the same cell from its other end. */
  turn(direction: Direction): void {
    if (direction === this.traits.direction.peek()) return;
    const reading = this.reading.peek();
    if (this.cell.peek() !== null || (reading.kind !== "row" && reading.kind !== "column"))
      this.set({ direction });
    else if (reading.kind === "column") this.selectToken(Math.min(reading.target, this.#lastToken), "row");
    else if (reading.source > 0) this.selectToken(reading.source, "column");
    else this.set({ ...NOTHING, direction });
  }

  selectLayer(layer: number): void {
    this.set({ selected_layer: layer });
  }

  selectCell({ layer, source, target }: Cell): void {
    this.set({
      selected_layer: layer,
      selected_source: source,
      selected_target: target,
      selected_offset: null,
    });
  }

  /** Selects the cell between the anchor and another token, or lets go of it. */
  selectCellAt(position: number): void {
    const cell = cellAt(this.reading.peek(), this.layer.peek(), position, ...this.#shape);
    if (cell !== null) this.selectCell(cell);
  }

  /** Keeps the row or column, and lets go of the cell in it. */
  releaseCell(): void {
    this.set(this.traits.direction.peek() === "row" ? { selected_target: null } : { selected_source: null });
  }

  selectStatistic(name: string): void {
    this.set({ ...NOTHING, statistic: name });
  }

  /** Colours each token of a layer by its influence so many tokens ahead. */
  selectOffset(layer: number, offset: number | null): void {
    this.set({ ...NOTHING, selected_layer: layer, selected_offset: offset });
  }

  /** Returns whether the token is pinned now; there is room for `MOST_PINS`. */
  togglePin(source: number): boolean {
    const pins = this.traits.pinned_sources.peek();
    const pinned = pins.includes(source);
    if (pinned) this.set({ pinned_sources: pins.filter((pin) => pin !== source) });
    else if (pins.length < MOST_PINS) this.set({ pinned_sources: [...pins, source] });
    return !pinned && pins.length < MOST_PINS;
  }

  undo(): void {
    const before = this.history.undo();
    if (before !== null) this.set(before);
  }

  redo(): void {
    const after = this.history.redo();
    if (after !== null) this.set(after);
  }

  /** Shows changes at once; the kernel hears of them. */
  set(changes: Partial<Controls>): void {
    const names = Object.keys(changes) as (keyof Controls)[];
    const changed = names.filter((name) => changes[name] !== this.traits[name].peek());
    if (changed.length === 0) return;
    const news = Object.fromEntries(changed.map((name) => [name, changes[name]])) as Partial<Controls>;
    const selects = changed.some((name) => (SELECTION as readonly string[]).includes(name));
    batch(() => {
      if (selects) this.history.begin(this.#selected.peek());
      this.#synced.write(news);
      if (selects) this.history.note(this.#selected.peek());
    });
    this.#setting = true;
    try {
      this.#ask(() => this.#transport.set(news));
    } finally {
      this.#setting = false;
    }
    this.#readTraits();
  }

  dispose(): void {
    this.#inquiry.about(null);
    this.connection.dispose();
    this.#hostNews.dispose();
    this.history.clear();
    for (const stop of this.#stops) stop();
  }

  get #shape(): readonly [nTokens: number, nTargets: number] {
    return [this.traits.tokens.peek().length, this.traits.n_targets.peek()];
  }

  get #lastToken(): number {
    return this.traits.tokens.peek().length - 1;
  }

  #ask(send: () => void): void {
    send();
    this.connection.asked();
  }

  /** Nothing is asked about a cell before its value is here. */
  #mayAsk({ layer, source }: Cell): boolean {
    return this.connection.state.value === "connected" && this.rows.value.row(layer, source) !== undefined;
  }

  // From the kernel

  #readTraits(): void {
    // A half of what was set is a state that never was.
    if (this.#setting) return;
    batch(() => {
      const version = this.#transport.get("protocol_version");
      if (version !== undefined && version !== PROTOCOL_VERSION) {
        this.traits.protocol_version.value = version as number;
        this.connection.refuse();
        return;
      }
      if (this.#synced.read((name) => this.#transport.get(name))) this.connection.heard();
      const { tokens, n_targets: nTargets, n_layers: nLayers, statistics, map_id: mapId } = this.traits;
      const rows = this.rows.value;
      const sameMap =
        mapId.value === this.#mapId &&
        tokens.value.length === rows.nTokens &&
        nTargets.value === rows.nTargets &&
        nLayers.value === rows.nLayers &&
        statistics.value.length === rows.nStatistics;
      if (sameMap) return;
      this.#mapId = mapId.value;
      this.problem.value = null;
      this.failed.value = null;
      this.findings.clear();
      this.history.clear();
      this.rows.value = new Rows(tokens.value.length, nTargets.value, nLayers.value, statistics.value.length);
    });
  }

  #receive(content: unknown, buffers: readonly DataView[]): void {
    try {
      const message = read(content, buffers);
      batch(() => this.#answer(message));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#complain(error.message);
    }
  }

  #answer(message: ToBrowser): void {
    if (message.type === "welcome" && message.protocol_version !== PROTOCOL_VERSION) this.connection.refuse();
    if (this.connection.state.value === "refused") return;
    if (message.type === "welcome") this.connection.answered();
    else if (message.type === "pong") this.connection.answered(message.number);
    else this.connection.heard();
    switch (message.type) {
      case "rejected":
        this.problem.value = {
          title: "The kernel could not read a message from this page",
          advice: "Reload the page; if that does not help, restart the kernel.",
          detail: message.reason,
        };
        return;
      case "failed":
        this.failed.value = message;
        return;
      case "finding":
        if (message.map_id === this.traits.map_id.value) this.findings.receive(message);
        return;
      case "values": {
        if (message.map_id === this.traits.map_id.value) this.rows.value.receive(message);
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

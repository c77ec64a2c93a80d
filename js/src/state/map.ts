/** One map: its values as they arrive, findings about its cells, and how it is read. */

import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals-core";
import type { Finding, Values } from "../kernel/messages";
import type { Aspect, Controls, FromBrowser, Layer, MapTraits, Statistic } from "../kernel/protocol";
import { CellFindings } from "./findings";
import { HostNews } from "./host";
import { type Cell, cellAt, isComplete, type Reading, readingOf, selectedCell } from "./reading";
import { Rows } from "./rows";
import { scaleOf } from "./scale";
import type { TraitSignals } from "./synced";

export type MapSignals = { readonly [K in keyof MapTraits]: ReadonlySignal<MapTraits[K]> };

const UNPREPARED: Layer = {
  baseline: null,
  shock: false,
  replaced: false,
  noise_floor: null,
  n_done: 0,
};

export class InfluenceMap {
  readonly traits: MapSignals;
  /** What is looked at, and how; other maps may share it. */
  readonly controls: Pick<TraitSignals, keyof Controls>;
  /** Replaced when the map changes; filled in place as values arrive. */
  readonly rows: Signal<Rows> = signal(new Rows(0, 0, 0, 0));
  readonly findings = new CellFindings();
  /** Where the request to a remote model's host is. */
  readonly host = new HostNews();

  /** The chosen layer, kept within the model. */
  readonly layer: ReadonlySignal<number>;
  readonly layerInfo: ReadonlySignal<Layer>;
  /** How the text is read: by a statistic, or by the influence of or on one token. */
  readonly reading: ReadonlySignal<Reading>;
  /** The selected cell of a row or a column. */
  readonly cell: ReadonlySignal<Cell | null>;
  readonly statistic: ReadonlySignal<Statistic | null>;
  readonly statisticIndex: ReadonlySignal<number>;
  /** The end of the colour scale of influence; NaN before the first value. */
  readonly scale: ReadonlySignal<number>;
  /** Whether everything that was asked for has arrived, or the computation was stopped. */
  readonly complete: ReadonlySignal<boolean>;
  #mapId = 0;

  constructor(traits: MapSignals, controls: Pick<TraitSignals, keyof Controls>) {
    this.traits = traits;
    this.controls = controls;
    const shape = computed(() => [traits.tokens.value.length, traits.n_targets.value] as const);
    // Read one by one, so that other changes do not change the reading.
    const selected = computed(() => ({
      direction: controls.direction.value,
      selected_source: controls.selected_source.value,
      selected_target: controls.selected_target.value,
      selected_offset: controls.selected_offset.value,
    }));
    this.layer = computed(() =>
      Math.max(0, Math.min(controls.selected_layer.value, traits.n_layers.value - 1)),
    );
    this.layerInfo = computed(() => traits.layer_info.value[this.layer.value] ?? UNPREPARED);
    this.reading = computed(() => readingOf(selected.value, ...shape.value));
    this.cell = computed(() =>
      selectedCell(selected.value, this.reading.value, this.layer.value, ...shape.value),
    );
    this.statisticIndex = computed(() =>
      Math.max(
        0,
        traits.statistics.value.findIndex(({ name }) => name === controls.statistic.value),
      ),
    );
    this.statistic = computed(() => traits.statistics.value[this.statisticIndex.value] ?? null);
    this.scale = computed(
      () =>
        controls.fixed_scale.value ?? scaleOf(this.rows.value, this.reading.value, traits.layer_info.value),
    );
    this.complete = computed(() => {
      if (traits.progress.value.filling === "stopped") return true;
      return isComplete(this.rows.value, this.reading.value, this.layer.value);
    });
    this.update();
  }

  /** Begins anew where the traits describe another map; returns whether they do. */
  update(): boolean {
    const { map_id: mapId, tokens, n_targets: nTargets, n_layers: nLayers, statistics } = this.traits;
    const rows = this.rows.value;
    const same =
      mapId.value === this.#mapId &&
      tokens.value.length === rows.nTokens &&
      nTargets.value === rows.nTargets &&
      nLayers.value === rows.nLayers &&
      statistics.value.length === rows.nStatistics;
    if (same) return false;
    this.#mapId = mapId.value;
    this.findings.clear();
    this.rows.value = new Rows(tokens.value.length, nTargets.value, nLayers.value, statistics.value.length);
    return true;
  }

  /** Takes values and findings of this map; ignores those of others. */
  receive(message: Values | Finding): void {
    if (message.map_id !== this.traits.map_id.value) return;
    if (message.type === "values") this.rows.value.receive(message);
    else this.findings.receive(message);
  }

  /** The cell between the token that is read and another one, if there is one. */
  cellAt(position: number): Cell | null {
    const { nTokens, nTargets } = this.rows.peek();
    return cellAt(this.reading.peek(), this.layer.peek(), position, nTokens, nTargets);
  }

  /** Why something cannot be asked about this map; undefined where it can. */
  whyNot(what: Aspect | FromBrowser["type"]): string | undefined {
    return this.traits.not_offered.value[what];
  }

  /** Asks for more about the selected cell than is always asked. */
  want(aspect: Aspect): void {
    const cell = this.cell.peek();
    if (cell !== null && this.whyNot(aspect) === undefined) this.findings.want(cell, aspect);
  }

  /** Positions that summaries leave out. */
  get leftOut(): readonly number[] {
    return this.controls.include_sinks.value ? [] : this.traits.sinks.value;
  }
}

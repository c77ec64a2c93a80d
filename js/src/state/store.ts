/** The state of one model's widget, shared by all of its views. */

import { effect, untracked } from "@preact/signals-core";
import type { Transport } from "../kernel/transport";
import { Inquiry } from "./inquiry";
import { Kernel } from "./kernel";
import { InfluenceMap } from "./map";
import type { Cell } from "./reading";
import { Selection } from "./selection";
import type { TraitSignals } from "./synced";

export class Store {
  readonly kernel: Kernel;
  readonly traits: TraitSignals;
  /** By name. */
  readonly maps: { readonly main: InfluenceMap };
  readonly selection: Selection;
  readonly #unsubscribe: (() => void)[] = [];

  constructor(transport: Transport) {
    this.kernel = new Kernel(transport);
    this.traits = this.kernel.traits;
    this.maps = { main: new InfluenceMap(this.traits, this.traits) };
    this.selection = new Selection(this.maps.main, (changes) => this.kernel.set(changes));
    const maps = Object.values(this.maps);
    this.kernel.listen(
      () => {
        if (!maps.map((map) => map.update()).includes(true)) return;
        this.kernel.problem.value = null;
        this.kernel.failed.value = null;
      },
      (message) => {
        for (const map of maps) map.receive(message);
      },
    );
    for (const map of maps) this.#follow(map);
  }

  dispose(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.selection.dispose();
    this.kernel.dispose();
  }

  /** Asks the kernel about a map's selected cell, and follows its requests. */
  #follow(map: InfluenceMap): void {
    const { connection } = this.kernel;
    const inquiry = new Inquiry(
      map.findings,
      (cell, aspect) => this.#mayAsk(map, cell) && map.whyNot(aspect) === undefined,
      (cell, aspects) =>
        this.kernel.send({ type: "inspect", map_id: map.traits.map_id.peek(), ...cell, aspects }),
    );
    this.#unsubscribe.push(
      effect(() => {
        if (connection.state.value === "silent") untracked(() => map.findings.forgetAsked());
      }),
      effect(() => inquiry.about(map.cell.value)),
      () => inquiry.about(null),
      effect(() => map.host.hear(map.traits.progress.value.host)),
      () => map.host.dispose(),
    );
  }

  /** A cell is asked about only after its value has arrived. */
  #mayAsk({ rows }: InfluenceMap, { layer, source }: Cell): boolean {
    return this.kernel.connection.state.value === "connected" && rows.value.row(layer, source) !== undefined;
  }
}

/** The state of one model's widget, shared by all of its views. */

import { effect, untracked } from "@preact/signals-core";
import type { Aspect } from "../kernel/protocol";
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
    for (const map of maps) this.#inquire(map);
  }

  dispose(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.selection.dispose();
    this.kernel.dispose();
  }

  /** Asks for more about a map's selected cell than is always asked. */
  want(map: InfluenceMap, aspect: Aspect): void {
    const cell = map.cell.peek();
    if (cell !== null && this.whyNot(aspect) === undefined) map.findings.want(cell, aspect);
  }

  /** Why the model's host does not allow something; undefined where it does. */
  whyNot(what: Aspect | "write_on"): string | undefined {
    return this.traits.not_offered.value[what];
  }

  /** Asks the kernel about a map's selected cell. */
  #inquire(map: InfluenceMap): void {
    const { connection } = this.kernel;
    const inquiry = new Inquiry(
      map.findings,
      (cell, aspect) => this.#mayAsk(map, cell) && this.whyNot(aspect) === undefined,
      (cell, aspects) => this.kernel.send({ type: "inspect", ...cell, aspects }),
    );
    this.#unsubscribe.push(
      effect(() => {
        if (connection.state.value === "silent") untracked(() => map.findings.forgetAsked());
      }),
      effect(() => inquiry.about(map.cell.value)),
      () => inquiry.about(null),
    );
  }

  /** A cell is asked about only after its value has arrived. */
  #mayAsk({ rows }: InfluenceMap, { layer, source }: Cell): boolean {
    return this.kernel.connection.state.value === "connected" && rows.value.row(layer, source) !== undefined;
  }
}

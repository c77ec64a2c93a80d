/** What the kernel is asked about the selected cell, once the reader stays with it. */

import type { Aspect } from "../kernel/protocol";
import type { CellFindings } from "./findings";
import type { Cell } from "./reading";

/** What is found out about a cell as soon as it is selected; the rest is asked for. */
export const ALWAYS_ASKED: readonly Aspect[] = ["predictions", "direct", "baseline_sensitivity"];
/** A cell that is only passed by is not asked about. */
export const ASK_AFTER_MS = 120;

export class Inquiry {
  readonly #findings: CellFindings;
  readonly #mayAsk: (cell: Cell, aspect: Aspect) => boolean;
  readonly #ask: (cell: Cell, aspects: readonly Aspect[]) => void;
  #waiting: { readonly cell: Cell; readonly timer: ReturnType<typeof setTimeout> } | null = null;

  /** `mayAsk`: whether the kernel can answer it now. */
  constructor(
    findings: CellFindings,
    mayAsk: (cell: Cell, aspect: Aspect) => boolean,
    ask: (cell: Cell, aspects: readonly Aspect[]) => void,
  ) {
    this.#findings = findings;
    this.#mayAsk = mayAsk;
    this.#ask = ask;
  }

  /** The selected cell, told again whenever something may have changed; null: none. */
  about(cell: Cell | null): void {
    const missing = cell === null ? [] : this.#missing(cell);
    if (this.#waiting !== null) {
      // Values that stream in meanwhile do not put the question off.
      if (this.#waiting.cell === cell && missing.length > 0) return;
      clearTimeout(this.#waiting.timer);
      this.#waiting = null;
    }
    if (cell === null || missing.length === 0) return;
    const ask = (): void => {
      this.#waiting = null;
      const aspects = this.#missing(cell);
      if (aspects.length === 0) return;
      this.#findings.asked(cell, aspects);
      this.#ask(cell, aspects);
    };
    this.#waiting = { cell, timer: setTimeout(ask, ASK_AFTER_MS) };
  }

  #missing(cell: Cell): readonly Aspect[] {
    return this.#findings.missing(cell, ALWAYS_ASKED).filter((aspect) => this.#mayAsk(cell, aspect));
  }
}

/** Asks the kernel about the selected cell once the reader stays with it. */

import type { Aspect } from "../kernel/protocol";
import type { CellFindings } from "./findings";
import type { Cell } from "./reading";

/** Aspects that are asked for as soon as a cell is selected; the others wait for the reader. */
export const ALWAYS_ASKED: readonly Aspect[] = ["predictions", "direct", "baseline_sensitivity"];
/** How long a cell must stay selected. */
export const ASK_AFTER_MS = 120;

export class Inquiry {
  readonly #findings: CellFindings;
  readonly #mayAsk: (cell: Cell, aspect: Aspect) => boolean;
  readonly #ask: (cell: Cell, aspects: readonly Aspect[]) => void;
  #waiting: { readonly cell: Cell; readonly timer: ReturnType<typeof setTimeout> } | null = null;

  /** `mayAsk`: whether the kernel can answer now. */
  constructor(
    findings: CellFindings,
    mayAsk: (cell: Cell, aspect: Aspect) => boolean,
    ask: (cell: Cell, aspects: readonly Aspect[]) => void,
  ) {
    this.#findings = findings;
    this.#mayAsk = mayAsk;
    this.#ask = ask;
  }

  /** Called with the selected cell, or null, whenever something may have changed. */
  about(cell: Cell | null): void {
    const missing = cell === null ? [] : this.#missing(cell);
    if (this.#waiting !== null) {
      // Values that arrive meanwhile do not delay the question.
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

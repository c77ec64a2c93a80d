import { describe, expect, it } from "vitest";
import {
  anchorOf,
  cellAt,
  positionOf,
  type Reading,
  reach,
  readingOf,
  selectedCell,
  stripOf,
} from "../src/state/reading";
import { influence, rows, WORDS } from "./fake";

const T = WORDS.length;
const NOTHING = {
  direction: "row" as const,
  selected_source: null,
  selected_target: null,
  selected_offset: null,
};

function readings(source: number, target: number, offset: number): readonly Reading[] {
  return [
    { kind: "row", source },
    { kind: "column", target },
    { kind: "offset", offset },
  ];
}

describe("a selection", () => {
  it("is read by a statistic while nothing is selected", () => {
    expect(readingOf(NOTHING, T, T)).toEqual({ kind: "statistic" });
    expect(readingOf({ ...NOTHING, direction: "column" }, T, T)).toEqual({ kind: "statistic" });
  });

  it("is a row or a column by its direction, whatever is at the other end", () => {
    const both = { ...NOTHING, selected_source: 3, selected_target: 7 };
    expect(readingOf(both, T, T)).toEqual({ kind: "row", source: 3 });
    expect(readingOf({ ...both, direction: "column" }, T, T)).toEqual({ kind: "column", target: 7 });
  });

  it("takes precedence over an offset", () => {
    expect(readingOf({ ...NOTHING, selected_offset: 5 }, T, T)).toEqual({ kind: "offset", offset: 5 });
    expect(readingOf({ ...NOTHING, selected_source: 3, selected_offset: 5 }, T, T).kind).toBe("row");
  });

  it.each([
    ["a source after the prompt", { selected_source: T }],
    ["the first token as target", { direction: "column" as const, selected_target: 0 }],
    ["a target that is not predicted", { direction: "column" as const, selected_target: T }],
    ["an offset longer than the prompt", { selected_offset: T }],
    ["an offset of nothing", { selected_offset: 0 }],
  ])("outside the prompt counts as none: %s", (_, changes) => {
    expect(readingOf({ ...NOTHING, ...changes }, T, T - 1)).toEqual({ kind: "statistic" });
  });

  it("reaches the prediction after the prompt if the metric has one", () => {
    const column = { ...NOTHING, direction: "column" as const, selected_target: T };
    expect(readingOf(column, T, T)).toEqual({ kind: "column", target: T });
  });

  it("has a cell if its target is after its source", () => {
    const cell = (source: number | null, target: number | null, direction: "row" | "column") => {
      const selected = { ...NOTHING, direction, selected_source: source, selected_target: target };
      return selectedCell(selected, readingOf(selected, T, T), 2, T, T);
    };
    for (const direction of ["row", "column"] as const) {
      expect(cell(3, 7, direction)).toEqual({ layer: 2, source: 3, target: 7 });
      expect(cell(7, 7, direction)).toBeNull();
      expect(cell(5, 3, direction)).toBeNull();
      expect(cell(3, T + 1, direction)).toBeNull();
      expect(cell(7, T, direction)).toEqual({ layer: 2, source: 7, target: T });
    }
    expect(cell(3, null, "row")).toBeNull();
    expect(cell(null, 3, "column")).toBeNull();
  });
});

describe("a reading", () => {
  it("knows its token", () => {
    expect(readings(3, 7, 2).map(anchorOf)).toEqual([3, 7, null]);
    expect(anchorOf({ kind: "statistic" })).toBeNull();
  });

  it("reaches as far as its anchor does", () => {
    const ranges = (nTargets: number): unknown[] => readings(3, 7, 2).map((of) => reach(of, T, nTargets));
    expect(ranges(T - 1)).toEqual([
      [4, 8],
      [0, 7],
      [0, 6],
    ]);
    expect(ranges(T)).toEqual([
      [4, 9],
      [0, 7],
      [0, 7],
    ]);
    expect(reach({ kind: "column", target: T }, T, T)).toEqual([0, 8]);
    expect(reach({ kind: "row", source: 7 }, T, T - 1)).toEqual([8, 8]);
    expect(reach({ kind: "offset", offset: 7 }, T, T - 1)).toEqual([0, 1]);
  });

  it("has one cell for each position it reaches, and none elsewhere", () => {
    for (const nTargets of [T - 1, T])
      for (const reading of readings(3, 7, 2)) {
        const [first, stop] = reach(reading, T, nTargets);
        for (let position = -1; position <= T + 1; position += 1) {
          const cell = cellAt(reading, 1, position, T, nTargets);
          if (position < first || position >= stop) expect(cell).toBeNull();
          else {
            if (cell === null) throw new Error(`no cell at ${position}`);
            expect(positionOf(reading, cell)).toBe(position);
            expect(cell.target).toBeGreaterThan(cell.source);
            expect(cell.target).toBeLessThanOrEqual(nTargets);
            expect(cell.source).toBeLessThan(T);
          }
        }
      }
    expect(cellAt({ kind: "statistic" }, 1, 3, T, T)).toBeNull();
  });
});

describe("the values along the text", () => {
  it("have at each position the influence of its cell", () => {
    for (const nTargets of [T - 1, T])
      for (const reading of [
        ...readings(3, 7, 2),
        ...readings(0, 1, 1),
        ...readings(7, nTargets, nTargets),
      ]) {
        const strip = stripOf(rows(nTargets), reading, 2);
        if (strip === null) throw new Error("no strip");
        const [first, stop] = reach(reading, T, nTargets);
        expect([strip.first, strip.values.length]).toEqual([first, stop - first]);
        for (const [i, value] of strip.values.entries()) {
          const cell = cellAt(reading, 2, first + i, T, nTargets);
          if (cell === null) throw new Error("no cell");
          expect(value).toBeCloseTo(influence(2, cell.source, cell.target), 5);
        }
      }
  });

  it("are NaN at each position that has not arrived", () => {
    const some = rows(T - 1, [1]);
    for (const reading of readings(3, 7, 2)) {
      const strip = stripOf(some, reading, 2);
      expect(strip?.values.length).toBeGreaterThan(0);
      expect(strip?.values.every(Number.isNaN)).toBe(true);
    }
  });

  it("do not exist for a statistic", () => {
    expect(stripOf(rows(), { kind: "statistic" }, 1)).toBeNull();
  });
});

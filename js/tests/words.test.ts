import { describe, expect, it } from "vitest";
import type { Token } from "../src/kernel/protocol";
import { stripOf } from "../src/state/reading";
import { occurrences, representative, unitsOf, unitValue } from "../src/state/words";
import { influence, rows, WORDS } from "./fake";

/** “The lighthouse keeper.” in five tokens, three words. */
const TOKENS: readonly Token[] = [
  { text: "The", piece: null, id: null, word: 0 },
  { text: " light", piece: null, id: null, word: 1 },
  { text: "house", piece: null, id: null, word: 1 },
  { text: " keeper", piece: null, id: null, word: 2 },
  { text: ".", piece: null, id: null, word: 3 },
];

describe("words", () => {
  it("are runs of tokens, and cover the text once", () => {
    expect(unitsOf(TOKENS, 5, true)).toEqual([
      { start: 0, stop: 1 },
      { start: 1, stop: 3 },
      { start: 3, stop: 4 },
      { start: 4, stop: 5 },
    ]);
    expect(unitsOf(TOKENS, 5, false)).toHaveLength(5);
  });

  it("do not include the place after the prompt", () => {
    expect(unitsOf(TOKENS, 6, true).at(-1)).toEqual({ start: 5, stop: 6 });
  });

  it("have their state at the last token, and their prediction at the first", () => {
    expect(representative({ start: 1, stop: 3 }, "row")).toBe(2);
    expect(representative({ start: 1, stop: 3 }, "column")).toBe(1);
  });

  it("are sums as targets; as sources they are their last token", () => {
    const unit = { start: 5, stop: 7 };
    const row = { kind: "row" as const, source: 2 };
    const strip = stripOf(rows(), row, 1);
    const column = { kind: "column" as const, target: 7 };
    const carriers = stripOf(rows(), column, 1);
    if (strip === null || carriers === null) throw new Error("no strip");
    expect(unitValue(strip, unit, row, null)).toBeCloseTo(influence(1, 2, 5) + influence(1, 2, 6), 5);
    expect(unitValue(carriers, unit, column, null)).toBeCloseTo(influence(1, 6, 7), 5);
    expect(unitValue(strip, { start: 0, stop: 2 }, row, null)).toBeUndefined();
    expect(unitValue(strip, { start: 2, stop: 4 }, row, null)).toBeCloseTo(influence(1, 2, 3), 5);
    expect(unitValue(strip, { start: WORDS.length, stop: 9 }, row, null)).toBeUndefined();
  });

  it("leave out values below the noise floor, as every sum does", () => {
    const row = { kind: "row" as const, source: 2 };
    const strip = { first: 3, values: Float32Array.from([0.25, 0.5, -0.25, 2]) };
    expect(unitValue(strip, { start: 3, stop: 6 }, row, 0.25)).toBe(0.5);
    expect(unitValue(strip, { start: 3, stop: 4 }, row, 0.25)).toBe(0);
    expect(unitValue(strip, { start: 5, stop: 7 }, row, 0.2)).toBe(1.75);
  });

  it("wait for all of their tokens", () => {
    const row = { kind: "row" as const, source: 2 };
    const strip = stripOf(rows(undefined, [0]), row, 1);
    if (strip === null) throw new Error("no strip");
    expect(unitValue(strip, { start: 5, stop: 7 }, row, null)).toBeNaN();
  });
});

describe("a search text", () => {
  it("is found across tokens, in any case", () => {
    expect(occurrences(TOKENS, "LIGHTHOUSE K")).toEqual([{ start: 1, stop: 4 }]);
    expect(occurrences(TOKENS, "e")).toEqual([
      { start: 0, stop: 1 },
      { start: 2, stop: 3 },
      { start: 3, stop: 4 },
      { start: 3, stop: 4 },
      { start: 3, stop: 4 },
    ]);
    expect(occurrences(TOKENS, "lamp")).toEqual([]);
    expect(occurrences(TOKENS, "")).toEqual([]);
  });

  it("is found in characters that are split over tokens", () => {
    const split: readonly Token[] = [
      { text: "a", piece: null, id: null, word: 0 },
      { text: "é", piece: [1, 2], id: null, word: 0 },
      { text: "é", piece: [2, 2], id: null, word: 0 },
      { text: "b", piece: null, id: null, word: 0 },
    ];
    expect(occurrences(split, "aé")).toEqual([{ start: 0, stop: 3 }]);
    expect(occurrences(split, "b")).toEqual([{ start: 3, stop: 4 }]);
    expect(occurrences(split, "é")).toEqual([{ start: 1, stop: 3 }]);
  });

  it("ends for a text of any length", () => {
    const long = Array.from({ length: 2000 }, (_, word) => ({ text: "aa", piece: null, id: null, word }));
    expect(occurrences(long, "a")).toHaveLength(4000);
  });
});

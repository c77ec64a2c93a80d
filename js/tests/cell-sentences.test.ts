import { describe, expect, it } from "vitest";
import {
  carrierName,
  directNote,
  partsOf,
  probability,
  rangeNote,
  tiny,
  valueKind,
  verified,
} from "../src/page/cell-sentences";
import type { Cell } from "../src/state/reading";
import { traits } from "./fake";

const under = (...values: number[]): { baseline: string; influence: number }[] =>
  values.map((influence) => ({ baseline: "mean", influence }));

describe("what the card says", () => {
  it("gives probabilities in per cent, and the smallest differences", () => {
    expect(probability(0.413)).toBe("41.3 %");
    expect(probability(0.00042)).toBe("0.042 %");
    expect(probability(0.00001)).toBe("<0.01 %");
    expect(probability(0)).toBe("0 %");
    expect(tiny(1.2e-6)).toBe("1.2e−6");
    expect(tiny(0)).toBe("0");
    expect(tiny(0.0602)).toBe("0.060");
  });

  it("says how much is direct and how much is indirect, and whether they cancel", () => {
    const note = (direct: number, indirect: number): string =>
      directNote({ total: direct + indirect, direct, indirect, mayBeIndirect: true });
    expect(note(3, 0.5)).toBe("Read mostly from this token itself.");
    expect(note(-3, -0.5)).toBe("Read mostly from this token itself.");
    expect(note(0.2, 3)).toBe("Passed on mostly by later tokens.");
    expect(note(1, 1.2)).toContain("and passed on");
    expect(note(3, -1)).toContain("takes back some of the direct effect");
    expect(note(-1, 3)).toContain("works against");
    expect(note(0, 0)).toBe("");
  });

  it("has no indirect part if no token lies between, and takes rounding errors for 0", () => {
    const cell = (target: number): Cell => ({ layer: 1, source: 3, target });
    const found = { total: 7, direct: 6.9999962, indirect: 3.8e-6 };
    for (const target of [4, 5]) {
      const parts = partsOf({ ...found, indirect: 0.4 }, cell(target));
      expect(parts).toMatchObject({ direct: 6.9999962, indirect: 0 });
      expect(directNote(parts)).toBe("Indirect is 0: no token lies between.");
    }
    expect(partsOf({ ...found, indirect: 0.4 }, cell(6)).indirect).toBe(0.4);
    expect(partsOf(found, cell(6)).indirect).toBe(0);
    expect(partsOf({ total: 0.1, direct: 0.09998, indirect: 2e-5 }, cell(6)).indirect).toBe(2e-5);
  });

  it("gives the range over baselines, and says if they disagree about the sign", () => {
    expect(rangeNote(under(3.76, 4.51, 3.98), "nats")).toBe("+3.76 to +4.51 nats under 3 baselines.");
    expect(rangeNote(under(-0.21, 0.42), "nats")).toContain("Its sign depends on the baseline.");
    expect(rangeNote(under(0.42), "")).toBe("+0.42 under 1 baseline.");
    expect(rangeNote([], "nats")).toBe("There is no other baseline to compare with.");
  });

  it("calls a second pass the same only if rounding or noise explains the difference", () => {
    const said = (value: number, difference: number, floor: number | null = null): boolean =>
      verified({ value, reference: value - difference, difference, passes: 2 }, "nats", floor).agrees;
    expect(said(0.5, 0.9e-4)).toBe(true);
    expect(said(0.5, 1.1e-4)).toBe(false);
    expect(said(0.5, -1.1e-4)).toBe(false);
    expect(said(20, 1.9e-3)).toBe(true);
    expect(said(0.5, 1.1e-4, 2e-4)).toBe(true);
  });

  it("names heads, and says how reliable a number is", () => {
    expect(carrierName({ layer: 15, head: 1, site: "key", influence: 1 })).toBe("layer 15, head 1, keys");
    const { query } = traits();
    const layer = { baseline: "resample", shock: true, replaced: true, noise_floor: 0, n_done: 1 };
    expect(valueKind(query, layer)).toBe("exact · baseline resample");
    expect(valueKind({ ...query, exact: false }, undefined)).toBe("an estimate");
  });
});

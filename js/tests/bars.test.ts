import { describe, expect, it } from "vitest";
import { axisOf, stretchOf, twoParts } from "../src/views/drill-down/bars";

describe("bars on one axis", () => {
  it("have room for zero and every bar", () => {
    expect(axisOf([{ from: 0, to: 3 }])).toEqual([0, 3]);
    expect(
      axisOf([
        { from: 0, to: -1 },
        { from: 0, to: 3 },
      ]),
    ).toEqual([-1, 3]);
    expect(stretchOf({ from: 0, to: -1 }, [-1, 3])).toEqual({ start: 0, length: 0.25 });
    expect(stretchOf({ from: 0, to: 3 }, [-1, 3])).toEqual({ start: 0.25, length: 0.75 });
    expect(stretchOf({ from: 0, to: 0 }, [0, 0])).toEqual({ start: 0, length: 0 });
  });

  it("show how opposite parts cancel: the second begins where the first ends", () => {
    expect(twoParts(5, -1.5)).toEqual([
      { from: 0, to: 5 },
      { from: 5, to: 3.5 },
    ]);
    expect(axisOf(twoParts(-1, 3))).toEqual([-1, 2]);
  });
});

import { describe, expect, it } from "vitest";
import { MOST_PINNED } from "../src/kernel/protocol";
import { contrast, css, inkOn, pinColour } from "../src/page/colour";
import type { Reading } from "../src/state/reading";
import { Rows } from "../src/state/rows";
import { FAR, strongestLinks } from "../src/state/strongest";
import { imagesOf, placesOf } from "../src/views/text/pins";

const N = 12;

/** One layer, all rows: influence grows with the source and falls with the distance; odd targets are hindered. */
function rows(): Rows {
  const made = new Rows(N, N - 1, 1, 0);
  const sources = Array.from({ length: N }, (_, i) => i);
  const value = (source: number, target: number): number =>
    target <= source ? 0 : ((target % 2 === 0 ? 1 : -1) * (source + 1)) / (target - source);
  const influence = sources.flatMap((source) =>
    Array.from({ length: N - 1 }, (_, c) => value(source, c + 1)),
  );
  made.receive({
    type: "values",
    map_id: 1,
    layer: 0,
    sources,
    n_targets: N - 1,
    influence: Float32Array.from(influence),
    statistics: new Float32Array(),
  });
  return made;
}

const ends = (
  reading: Reading,
  most: number,
  floor: number | null = null,
  without: number[] = [],
): number[][] =>
  strongestLinks(rows(), reading, 0, most, floor, without).map(({ source, target }) => [source, target]);

describe("the strongest links", () => {
  it("of a missing row are none", () => {
    const empty = new Rows(N, N - 1, 1, 0);
    expect(strongestLinks(empty, { kind: "row", source: 2 }, 0, 3, null, [])).toEqual([]);
  });

  it("of a row are its strongest targets, whatever their sign", () => {
    expect(ends({ kind: "row", source: 2 }, 2)).toEqual([
      [2, 3],
      [2, 4],
    ]);
  });

  it("of a column are its strongest sources", () => {
    expect(ends({ kind: "column", target: 8 }, 2)).toEqual([
      [7, 8],
      [6, 8],
    ]);
  });

  it("of an offset have that offset, and leave out sinks", () => {
    expect(ends({ kind: "offset", offset: 3 }, 2, null, [8])).toEqual([
      [7, 10],
      [6, 9],
    ]);
  });

  it("of a whole layer are far ones, and leave out sinks", () => {
    expect(FAR).toBe(5);
    expect(ends({ kind: "statistic" }, 2)).toEqual([
      [6, 11],
      [5, 10],
    ]);
    expect(ends({ kind: "statistic" }, 1, null, [6])).toEqual([[5, 10]]);
  });

  it("leave out what lies below the noise floor", () => {
    expect(ends({ kind: "row", source: 2 }, 9, 1.2)).toEqual([
      [2, 3],
      [2, 4],
    ]);
  });

  it("are the same for any number of links", () => {
    const all = strongestLinks(rows(), { kind: "statistic" }, 0, 100, null, []);
    const few = strongestLinks(rows(), { kind: "statistic" }, 0, 3, null, []);
    expect(few).toEqual(all.slice(0, 3));
  });
});

describe("the colours of pins", () => {
  const papers = { light: [255, 255, 255], dark: [24, 25, 28] } as const;

  it.each(["light", "dark"] as const)("have a contrast of 3 : 1 at least with the paper (%s)", (theme) => {
    for (let pin = 0; pin < MOST_PINNED; pin += 1)
      expect(contrast(pinColour(theme, pin), papers[theme])).toBeGreaterThanOrEqual(3);
  });

  it.each(["light", "dark"] as const)("are as many as the pins allowed, and all differ (%s)", (theme) => {
    const colours = Array.from({ length: MOST_PINNED }, (_, pin) => css(pinColour(theme, pin)));
    expect(new Set(colours).size).toBe(MOST_PINNED);
  });

  it.each(["light", "dark"] as const)("have a readable number on them (%s)", (theme) => {
    for (let pin = 0; pin < MOST_PINNED; pin += 1) {
      const ground = pinColour(theme, pin);
      expect(contrast(inkOn(ground, papers[theme]), ground)).toBeGreaterThanOrEqual(4.5);
    }
  });
});

describe("the lines of pins", () => {
  it("are stacked, the first pin’s on top, and leave the colour visible", () => {
    expect(placesOf(2)).toEqual({
      places: "0 calc(100% - 3px), 0 calc(100% - 0px), 0 0",
      clips: "border-box, border-box, padding-box",
    });
  });

  it("are solid if the state is needed, dashed if removal would help, and absent below the noise floor", () => {
    const line = { pin: 1, value: -1, alpha: 255 };
    expect(imagesOf([line], 3, "light")).toBe(
      "none, repeating-linear-gradient(to right, rgb(167, 140, 65) 0 4px, transparent 4px 7px), none, none",
    );
    expect(imagesOf([{ ...line, value: 1 }], 2, "light")).toMatch(/^none, linear-gradient\(/);
    expect(imagesOf([], 3, "light")).toBe("");
  });
});

import { describe, expect, it } from "vitest";
import { alphaOf, PALETTES } from "../src/page/colour";
import { Rows } from "../src/state/rows";
import {
  cellAt,
  columnStrengths,
  cornerOf,
  gridOf,
  labelled,
  paintCells,
  within,
} from "../src/views/heat-map-geometry";
import { traits } from "./fake";

/** Three layers, four tokens, the state of token 1: targets 2 and 3. */
function rows(byLayer: Readonly<Record<number, readonly [number, number]>>): Rows {
  const map = new Rows(4, 3, 0);
  for (const [layer, [a, b]] of Object.entries(byLayer)) {
    const influence = Float32Array.from([0, a, b]);
    const reason = map.receive({
      type: "values",
      map_id: 1,
      layer: Number(layer),
      sources: [1],
      n_targets: 3,
      influence,
      statistics: new Float32Array(0),
    });
    expect(reason).toBeNull();
  }
  return map;
}

const layers = traits().layers.slice(0, 3);

describe("grid", () => {
  it("has whole pixels, neither too small nor too large", () => {
    expect(gridOf(3, 85, 30, 860)).toMatchObject({ nTargets: 81, width: 10, height: 10 });
    expect(gridOf(3, 85, 30, 256).width).toBe(3);
    expect(gridOf(0, 1000, 30, 800).width).toBe(3);
    expect(gridOf(0, 3, 4, 800)).toMatchObject({ width: 28, height: 20 });
    expect(gridOf(4, 5, 4, 800).nTargets).toBe(0);
  });

  it("finds cells under points, layer 0 at the bottom", () => {
    const grid = gridOf(3, 85, 30, 860);
    expect(cellAt(grid, 0, 0)).toEqual({ layer: 29, target: 4 });
    expect(cellAt(grid, 705, 175)).toEqual({ layer: 12, target: 74 });
    expect(cellAt(grid, 809, 299)).toEqual({ layer: 0, target: 84 });
    expect(cellAt(grid, 810, 10)).toBeNull();
    expect(cellAt(grid, -1, 10)).toBeNull();
    expect(cornerOf(grid, { layer: 12, target: 74 })).toEqual({ x: 700, y: 170 });
    expect(within(grid, { layer: 30, target: 3 })).toEqual({ layer: 29, target: 4 });
  });
});

describe("pixels", () => {
  const pixelOf = (pixels: Uint8ClampedArray, row: number, column: number): number[] => [
    ...pixels.slice(4 * (2 * row + column), 4 * (2 * row + column) + 4),
  ];

  it("have the hue of the sign and the strength as opacity", () => {
    const pixels = new Uint8ClampedArray(4 * 2 * 3);
    const painted = paintCells(pixels, rows({ 0: [1, -2], 2: [4, 0.0005] }), 1, 4, layers, PALETTES.light);
    expect(painted).toBe(2);
    expect(pixelOf(pixels, 2, 0)).toEqual([...PALETTES.light.needed, alphaOf(1, 4)]);
    expect(pixelOf(pixels, 2, 1)).toEqual([...PALETTES.light.hindering, alphaOf(-2, 4)]);
    expect(pixelOf(pixels, 0, 0)).toEqual([...PALETTES.light.needed, 255]);
  });

  it("are clear below the noise floor, and where nothing is known", () => {
    const pixels = new Uint8ClampedArray(4 * 2 * 3).fill(99);
    paintCells(pixels, rows({ 2: [Number.NaN, 0.0005] }), 1, 4, layers, PALETTES.light);
    expect([...pixels].every((channel) => channel === 0)).toBe(true);
  });
});

describe("labels", () => {
  it("go to the strongest columns, and never lie on each other", () => {
    expect(labelled([5, 4, 1, 3], 10, 13, 2)).toEqual([0, 3]);
    expect(labelled([5, 4, 1, 3], 20, 13, 2)).toEqual([0, 1, 3]);
    expect(labelled([5, 4, 1, 3], 10, 13, 2, [2])).toEqual([0, 2]);
    expect(labelled([0, 0], 10, 13, 0, [-3, 9])).toEqual([]);
  });

  it("leave out noise and layers under a shock", () => {
    const shocked = layers.map((layer, i) => ({ ...layer, shock: i === 0 }));
    const strengths = columnStrengths(rows({ 0: [9, 9], 1: [-1, 0.0001] }), 1, shocked);
    expect([...strengths]).toEqual([1, 0]);
  });
});

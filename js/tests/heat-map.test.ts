import { describe, expect, it } from "vitest";
import { alphaOf, PALETTES } from "../src/page/colour";
import type { Reading } from "../src/state/reading";
import {
  cellOf,
  columnStrengths,
  type Drilled,
  drill,
  knownOf,
  layerSums,
  pixelsOf,
  placeOf,
  valueAt,
} from "../src/views/drill-down/layers-of";
import { indexOf } from "../src/views/grid/geometry";
import { influence, N_LAYERS, rows, traits, WORDS } from "./fake";

const LAYERS = traits().layer_info;
const ROW: Reading = { kind: "row", source: 3 };
const COLUMN: Reading = { kind: "column", target: 7 };

function drilled(reading: Reading, nTargets?: number, layers?: readonly number[]): Drilled {
  const found = drill(rows(nTargets, layers), reading);
  if (found === null) throw new Error("nothing is read");
  return found;
}

/** Three layers of one row, given: [target 2, target 3] of source 1. */
function given(...strips: (readonly [number, number])[]): Drilled {
  const values = strips.map((strip) => ({ first: 2, values: Float32Array.from(strip) }));
  const reading: Reading = { kind: "row", source: 1 };
  return { reading, nTokens: 4, nTargets: 3, nLayers: 3, first: 2, nColumns: 2, strips: values };
}

function pixelOf(pixels: Uint8ClampedArray, of: Drilled, row: number, column: number): number[] {
  const at = 4 * indexOf({ nRows: of.nLayers, nColumns: of.nColumns }, { row, column });
  return [...pixels.slice(at, at + 4)];
}

describe("a row and a column at every layer", () => {
  it("have one grid column for each later or earlier token", () => {
    expect(drilled(ROW)).toMatchObject({ first: 4, nColumns: 4, nLayers: N_LAYERS });
    expect(drilled(COLUMN)).toMatchObject({ first: 0, nColumns: 7 });
    expect(drilled(ROW, WORDS.length)).toMatchObject({ first: 4, nColumns: 5 });
    expect(drilled({ kind: "column", target: 8 }, 8)).toMatchObject({ first: 0, nColumns: 8 });
    expect(drill(rows(), { kind: "statistic" })).toBeNull();
    expect(drill(rows(), { kind: "offset", offset: 2 })).toBeNull();
  });

  it("convert between places and cells", () => {
    expect(cellOf(drilled(ROW), { row: 2, column: 3 })).toEqual({ layer: 2, source: 3, target: 7 });
    expect(cellOf(drilled(COLUMN), { row: 2, column: 3 })).toEqual({ layer: 2, source: 3, target: 7 });
    expect(placeOf(drilled(ROW), { layer: 2, source: 3, target: 7 })).toEqual({ row: 2, column: 3 });
    expect(placeOf(drilled(COLUMN), { layer: 0, source: 0, target: 7 })).toEqual({ row: 0, column: 0 });
    expect(placeOf(drilled(ROW), { layer: 2, source: 4, target: 7 })).toBeNull();
    expect(placeOf(drilled(COLUMN), { layer: 2, source: 3, target: 6 })).toBeNull();
    expect(valueAt(drilled(COLUMN), { row: 1, column: 5 })).toBeCloseTo(influence(1, 5, 7));
  });

  it("know what has arrived: whole layers of a row, single cells of a column", () => {
    const row = drilled(ROW, undefined, [1, 2]);
    expect(layerSums(row, LAYERS).map(({ complete }) => complete)).toEqual([false, true, true, false]);
    expect([...knownOf(row)]).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
    const some = rows(undefined, []);
    some.receive({
      type: "values",
      map_id: 1,
      layer: 3,
      sources: [2],
      n_targets: 7,
      influence: new Float32Array(7).fill(1),
      statistics: new Float32Array(0),
    });
    const column = drill(some, COLUMN);
    if (column === null) throw new Error("nothing is read");
    expect([...knownOf(column)].indexOf(1)).toBe(2);
    expect([...knownOf(column)].filter((one) => one === 1)).toHaveLength(1);
    expect(layerSums(column, LAYERS).some(({ complete }) => complete)).toBe(false);
  });
});

describe("pixels", () => {
  it("have the hue of the sign and the strength as opacity, for every cell of a real row and column", () => {
    for (const reading of [ROW, COLUMN]) {
      const of = drilled(reading);
      const pixels = pixelsOf(of, 4, LAYERS, PALETTES.light);
      for (let layer = 0; layer < of.nLayers; layer += 1)
        for (let column = 0; column < of.nColumns; column += 1) {
          const cell = cellOf(of, { row: layer, column });
          const value = Math.fround(influence(layer, cell?.source ?? 0, cell?.target ?? 0));
          const colour = value > 0 ? PALETTES.light.needed : PALETTES.light.hindering;
          expect(pixelOf(pixels, of, layer, column)).toEqual([...colour, alphaOf(value, 4)]);
        }
    }
  });

  it("are transparent below the noise floor and before values arrive", () => {
    const of = given([Number.NaN, 0.0005], [0, -0.0009], [Number.NaN, Number.NaN]);
    const pixels = pixelsOf(of, 4, LAYERS, PALETTES.dark);
    expect(pixels).toHaveLength(4 * 2 * 3);
    expect([...pixels].every((channel) => channel === 0)).toBe(true);
  });
});

describe("beside the cells", () => {
  const shocked = LAYERS.map((layer, i) => ({ ...layer, shock: i === 0 }));

  it("labels follow the strongest cell of a column, and leave out shocks, noise and weak columns", () => {
    expect([...columnStrengths(given([9, 9], [-1, 0.0001], [0.5, 0.2]), shocked, 0)]).toEqual([
      1,
      Math.fround(0.2),
    ]);
    expect([...columnStrengths(given([0, 0], [-1, 0], [0.5, 0.2]), LAYERS, 0.4)]).toEqual([1, 0]);
  });

  it("bars add up the magnitudes of each layer above the noise floor, and a shock does not set their scale", () => {
    const [shock, half, none] = layerSums(given([90, 9], [-1, 0.0001], [Number.NaN, Number.NaN]), shocked);
    expect(shock).toMatchObject({ sum: 99, share: 1, shocked: true });
    expect(half).toMatchObject({ sum: 1, share: 1, nKnown: 2, shocked: false });
    expect(none).toMatchObject({ share: 0, nKnown: 0 });
    expect(none?.sum).toBeNaN();
    expect(layerSums(given([2, 2], [-1, 1], [1, 0]), LAYERS).map(({ share }) => share)).toEqual([
      1, 0.5, 0.25,
    ]);
    const alone = layerSums(given([90, 9], [Number.NaN, 1], [Number.NaN, Number.NaN]), shocked);
    expect(alone[1]).toMatchObject({ sum: 1, nKnown: 1, complete: false });
    expect(alone[1]?.share, "a partial sum would look like a small one").toBe(0);
    expect(layerSums(given([4, 4], [0, 0], [0, 0]), shocked)[0]?.share).toBe(1);
  });
});

import { describe, expect, it } from "vitest";
import { isAboveNoise } from "../src/kernel/traits";
import {
  alphaOf,
  contrast,
  css,
  inkOn,
  luminance,
  opaque,
  over,
  PALETTES,
  type Rgb,
} from "../src/page/colour";

const PAPERS: readonly Rgb[] = [
  [255, 255, 255],
  [247, 247, 247],
  [253, 246, 227],
  [17, 17, 17],
  [30, 30, 30],
  [43, 43, 43],
  [0, 43, 54],
  [128, 128, 128],
];
const INKS: readonly Rgb[] = [
  [27, 28, 31],
  [232, 232, 234],
  [120, 120, 120],
];

describe("opacity", () => {
  it("is the square root of the share of the scale, for both signs", () => {
    expect(alphaOf(4, 4)).toBe(255);
    expect(alphaOf(1, 4)).toBe(128);
    expect(alphaOf(-1, 4)).toBe(128);
    expect(alphaOf(0, 4)).toBe(0);
    expect(alphaOf(400, 4)).toBe(255);
    expect(alphaOf(3.76, 4)).toBe(Math.round(255 * Math.sqrt(3.76 / 4)));
  });

  it("is 0 without a value or a scale", () => {
    expect(alphaOf(Number.NaN, 4)).toBe(0);
    expect(alphaOf(1, Number.NaN)).toBe(0);
  });

  it("begins at the noise floor", () => {
    expect(isAboveNoise(0.01, 0.02)).toBe(false);
    expect(isAboveNoise(-0.03, 0.02)).toBe(true);
    expect(isAboveNoise(0, null)).toBe(false);
    expect(isAboveNoise(Number.NaN, 0.1)).toBe(false);
    expect(isAboveNoise(0.02, 0.02), "counts a value at the floor as zero, as Python does").toBe(false);
    expect(isAboveNoise(0.02, null)).toBe(true);
  });
});

describe("ink", () => {
  it("has a contrast of at least 4.5 on every colour, strength and paper", () => {
    for (const paper of PAPERS)
      for (const ink of INKS)
        for (const palette of Object.values(PALETTES))
          for (const colour of Object.values(palette) as Rgb[])
            for (let alpha = 0; alpha <= 255; alpha += 1) {
              const ground = over(colour, alpha, paper);
              expect(contrast(inkOn(ground, ink), ground)).toBeGreaterThanOrEqual(4.5);
            }
  });

  it("stays the page's own on every statistic", () => {
    expect(inkOn(PALETTES.light.amount, [27, 28, 31])).toEqual([27, 28, 31]);
    expect(inkOn(PALETTES.dark.amount, [232, 232, 234])).toEqual([232, 232, 234]);
  });
});

describe("palettes", () => {
  it("give both signs the same strength", () => {
    for (const { needed, hindering } of Object.values(PALETTES))
      expect(Math.abs(luminance(needed) - luminance(hindering))).toBeLessThan(0.03);
  });
});

describe("css", () => {
  it("writes and reads colours", () => {
    expect(css([1, 2, 3])).toBe("rgb(1, 2, 3)");
    expect(css([1, 2, 3], 51)).toBe("rgba(1, 2, 3, 0.2)");
    expect(opaque("rgb(1, 2, 3)")).toEqual([1, 2, 3]);
    expect(opaque("rgb(1 2 3 / 0.9)")).toEqual([1, 2, 3]);
    expect(opaque(" #fff ")).toEqual([255, 255, 255]);
    expect(opaque("#102030")).toEqual([16, 32, 48]);
    expect(opaque("color(srgb 1 0 0)")).toEqual([255, 0, 0]);
    expect(opaque("rgba(0, 0, 0, 0)")).toBeNull();
    expect(opaque("transparent")).toBeNull();
    expect(opaque("")).toBeNull();
  });
});

import { describe, expect, it } from "vitest";
import { barsOf, offsetAt, Profile, ticksOf } from "../src/views/text/profile";

const row = (...values: number[]): Float32Array => Float32Array.from(values);

describe("the profile of a token", () => {
  it("has a bar for each offset, wider for near ones, and none without a value", () => {
    const bars = barsOf(row(4, 0, -1, 0.0001, 0.25), 0.001, 200);
    expect(bars.map(({ own }) => own)).toEqual([true, false, false]);
    expect(bars.map(({ sign }) => sign)).toEqual([1, -1, 1]);
    expect(bars[1]?.x).toBe(Math.floor(200 * Math.sqrt(2 / 5)));
    expect(bars[0]?.width).toBeGreaterThan(bars[1]?.width ?? 0);
  });

  it("has heights by the square root of a value’s share, whatever the share of its own next token", () => {
    const bars = barsOf(row(100, 1, -0.25), null, 200);
    expect(bars.map(({ height }) => height)).toEqual([1, 1, 0.5]);
  });

  it("keeps the strongest of offsets that share a pixel", () => {
    const values = new Float32Array(4000).fill(0.01);
    values[3990] = -3;
    const bars = barsOf(values, null, 100);
    expect(bars.length).toBeLessThanOrEqual(101);
    expect(bars.at(-1)).toMatchObject({ height: 1, sign: -1 });
  });

  it("has one bar for a single later token, none for none, and skips missing values", () => {
    expect(barsOf(row(-2), null, 100)).toMatchObject([{ height: 1, sign: -1, own: true }]);
    expect(barsOf(row(), null, 100)).toEqual([]);
    expect(barsOf(row(Number.NaN, 1), null, 100)).toMatchObject([{ own: false }]);
  });

  it("labels offsets that it reaches", () => {
    expect(ticksOf(83).map(({ offset }) => offset)).toEqual([1, 4, 16, 64]);
    expect(ticksOf(3).map(({ offset }) => offset)).toEqual([1]);
    expect(offsetAt(83, 83)).toBe(1);
  });

  it("marks the window only if offsets lie beyond it", () => {
    const profile = new Profile();
    const x = (): number => Number(profile.element.querySelector(".profile-window")?.getAttribute("x1"));
    profile.draw(row(1, 1, 1, 1), null, 1);
    expect(x()).toBe(116.5);
    profile.draw(row(1, 1, 1, 1), null, 4);
    expect(x()).toBeLessThan(0);
    profile.draw(row(1, 1, 1, 1), null, null);
    expect(x()).toBeLessThan(0);
  });
});

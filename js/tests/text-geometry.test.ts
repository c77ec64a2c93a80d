import { describe, expect, it } from "vitest";
import { arcPath, rounded } from "../src/views/text/arc-geometry";
import { type Box, between, lineFrom } from "../src/views/text/boxes";

/** Ten lines of five boxes, 40 wide and 20 high, 30 from line to line. */
const BOXES: readonly Box[] = Array.from({ length: 50 }, (_, i) => {
  const left = 50 * (i % 5);
  const top = 30 * Math.floor(i / 5);
  return { left, top, right: left + 40, bottom: top + 20 };
});
const ROOM = { width: 240, margin: 10 };
const GAP = 10;

function box(index: number): Box {
  const found = BOXES[index];
  if (found === undefined) throw new Error(`no box ${index}`);
  return found;
}

/** All points of a path, control points too. */
function points(path: string): readonly (readonly [number, number])[] {
  return [...path.matchAll(/(-?[\d.]+) (-?[\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as const);
}

describe("the visible units", () => {
  it("are found by height", () => {
    expect(between(BOXES, 0, 299)).toEqual([0, 50]);
    expect(between(BOXES, 55, 95)).toEqual([10, 20]);
    expect(between(BOXES, 51, 89)).toEqual([10, 15]);
    expect(between(BOXES, 1000, 2000)).toEqual([50, 50]);
    expect(between([], 0, 10)).toEqual([0, 0]);
  });
});

describe("the line above and below", () => {
  it("is entered at the nearest unit", () => {
    expect(lineFrom(BOXES, 12, 1)).toBe(17);
    expect(lineFrom(BOXES, 12, -1)).toBe(7);
  });

  it("is the same line at both ends", () => {
    expect(lineFrom(BOXES, 2, -1)).toBe(2);
    expect(lineFrom(BOXES, 48, 1)).toBe(48);
  });

  it("may be shorter", () => {
    const short = BOXES.slice(0, 7);
    expect(lineFrom(short, 4, 1)).toBe(6);
  });
});

describe("arcs", () => {
  it("begin above the source and end above the target", () => {
    for (const [source, target] of [
      [0, 3],
      [1, 22],
      [4, 40],
    ] as const) {
      const way = points(arcPath(box(source), box(target), ROOM, GAP, 0.5));
      expect(way[0]).toEqual([box(source).left + 20, box(source).top]);
      expect(way.at(-1)).toEqual([box(target).left + 20, box(target).top]);
    }
  });

  it("never cross letters: they stay between lines or beside the text", () => {
    for (const lane of [0, 0.5, 1]) {
      for (const [source, target] of [
        [1, 22],
        [4, 40],
        [3, 8],
      ] as const) {
        for (const [x, y] of points(arcPath(box(source), box(target), ROOM, GAP, lane))) {
          const beside = x <= 0 || x >= ROOM.width;
          const above = BOXES.some(({ top }) => y <= top && y >= top - GAP);
          expect(beside || above).toBe(true);
          expect(x).toBeGreaterThanOrEqual(-ROOM.margin);
          expect(x).toBeLessThanOrEqual(ROOM.width + ROOM.margin);
        }
      }
    }
  });

  it("of different lanes do not overlap", () => {
    const ways = [0, 0.5, 1].map((lane) => arcPath(box(1), box(22), ROOM, GAP, lane));
    expect(new Set(ways).size).toBe(3);
  });

  it("run down the side that is nearer", () => {
    const xs = (source: number, target: number): number[] =>
      points(arcPath(box(source), box(target), ROOM, GAP, 0.5)).map(([x]) => x);
    expect(Math.min(...xs(0, 21))).toBeLessThan(0);
    expect(Math.max(...xs(3, 24))).toBeGreaterThan(ROOM.width);
  });

  it("have no corner tighter than the room allows", () => {
    expect(rounded([])).toBe("");
    expect(
      rounded([
        { x: 0, y: 0 },
        { x: 4, y: 0 },
        { x: 4, y: 20 },
      ]),
    ).toBe("M0 0L2 0Q4 0 4 2L4 20");
  });
});

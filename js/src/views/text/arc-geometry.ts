/** The path of an arc through the gaps between lines, never over letters. */

import type { Box, Room } from "./boxes";

interface Point {
  readonly x: number;
  readonly y: number;
}

const ROUND = 6;

/**
 * From above the source to above the target. On one line: a flat curve above it. On two lines: along the gap above the
 * source's line to the nearer margin, down, and along the gap above the target's line. `lane` (0..1) shifts arcs that
 * would overlap.
 */
export function arcPath(source: Box, target: Box, room: Room, gap: number, lane: number): string {
  const from = { x: middle(source), y: source.top };
  const to = { x: middle(target), y: target.top };
  const lift = gap * (0.35 + 0.5 * lane);
  if (Math.abs(from.y - to.y) < 2) {
    const high = Math.min(lift, 2 + Math.abs(to.x - from.x) / 4);
    return `M${at(from)}C${at({ x: from.x, y: from.y - high * 1.33 })} ${at({ x: to.x, y: to.y - high * 1.33 })} ${at(to)}`;
  }
  const left = from.x + to.x < room.width;
  const side = room.margin * (0.25 + 0.6 * lane);
  const x = left ? -side : room.width + side;
  return rounded([
    from,
    { x: from.x, y: from.y - lift },
    { x, y: from.y - lift },
    { x, y: to.y - lift },
    { x: to.x, y: to.y - lift },
    to,
  ]);
}

/** A line through points with its corners rounded. */
export function rounded(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  let path = `M${at(first)}`;
  let before = first;
  for (const [i, corner] of rest.entries()) {
    const next = rest[i + 1];
    if (next === undefined) path += `L${at(corner)}`;
    else {
      const radius = Math.min(ROUND, distance(before, corner) / 2, distance(corner, next) / 2);
      path += `L${at(towards(corner, before, radius))}Q${at(corner)} ${at(towards(corner, next, radius))}`;
    }
    before = corner;
  }
  return path;
}

function middle({ left, right }: Box): number {
  return (left + right) / 2;
}

function distance(a: Point, b: Point): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

function towards(from: Point, to: Point, by: number): Point {
  const length = distance(from, to);
  if (length === 0) return from;
  return { x: from.x + ((to.x - from.x) * by) / length, y: from.y + ((to.y - from.y) * by) / length };
}

function at({ x, y }: Point): string {
  return `${Number(x.toFixed(1))} ${Number(y.toFixed(1))}`;
}

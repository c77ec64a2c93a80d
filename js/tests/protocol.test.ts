import { describe, expect, it } from "vitest";
import recorded from "../../tests/protocol/messages.json";
import { floats, ProtocolError, read } from "../src/kernel/messages";
import { unaligned } from "./fake";

interface Recorded {
  readonly direction: string;
  readonly valid: boolean;
  readonly why?: string;
  readonly message: unknown;
  readonly buffers?: readonly (readonly (number | null)[] | string)[];
}

function bytes(buffer: readonly (number | null)[] | string): DataView {
  if (typeof buffer !== "string") return unaligned(buffer.map((value) => value ?? Number.NaN));
  return new DataView(Uint8Array.from(atob(buffer), (character) => character.charCodeAt(0)).buffer);
}

describe("messages from the kernel", () => {
  const received = (recorded as Recorded[]).filter(({ direction }) => direction === "to_browser");
  it.each(received)("valid: $valid, $why $message", ({ valid, message, buffers = [] }) => {
    if (valid) expect(read(message, buffers.map(bytes))).toMatchObject(message as object);
    else expect(() => read(message, buffers.map(bytes))).toThrow(ProtocolError);
  });
});

describe("buffers", () => {
  it("are read wherever they begin", () => {
    expect([...floats(unaligned([1.5, -0.25, 3e8]))]).toEqual([1.5, -0.25, 3e8]);
  });

  it("keep NaN", () => {
    expect([...floats(unaligned([Number.NaN, 1]))]).toEqual([Number.NaN, 1]);
  });

  it("end with their buffer's view", () => {
    const all = new Float32Array([1, 2, 3, 4]);
    expect([...floats(new DataView(all.buffer, 4, 8))]).toEqual([2, 3]);
  });

  it("are split into influence and statistics", () => {
    const head = { type: "values", map_id: 1, layer: 0, sources: [0, 1], n_targets: 2 };
    expect(read(head, [unaligned([1, 2, 0, 4]), unaligned([0.5, 0.25])])).toMatchObject({
      influence: Float32Array.of(1, 2, 0, 4),
      statistics: Float32Array.of(0.5, 0.25),
    });
  });
});

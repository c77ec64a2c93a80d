/** Messages from the kernel, as the page uses them. Their fields are described in `protocol.ts`. */

import type { Aspect, Findings, ToBrowser as Sent, ValuesHead } from "./protocol";

/** Finished rows of one layer. */
export interface Values extends ValuesHead {
  /** `sources.length × n_targets`: column `c` is the predicted token at position `c + 1`. */
  readonly influence: Float32Array;
  /** One row for each statistic: `n_statistics × sources.length`; NaN: no value. */
  readonly statistics: Float32Array;
}

type Kind<T extends Sent["type"]> = Extract<Sent, { readonly type: T }>;

/** The answer to one aspect of `inspect`. */
export type Finding = {
  [A in Aspect]: Kind<"finding"> & { readonly aspect: A; readonly found: Findings[A] | null };
}[Aspect];

export type ToBrowser = Kind<"welcome" | "pong" | "rejected" | "failed"> | Finding | Values;

/** A message that this page cannot read. */
export class ProtocolError extends Error {}

const TYPES: readonly unknown[] = ["welcome", "pong", "rejected", "failed", "finding", "values"];

/**
 * Reads a message as it came. It checks what can be wrong between a page and its own kernel: the type, and the length of
 * the buffers. Throws `ProtocolError`.
 */
export function read(content: unknown, buffers: readonly DataView[]): ToBrowser {
  const type = (content as { readonly type?: unknown } | null | undefined)?.type;
  if (!TYPES.includes(type)) throw new ProtocolError(`there is no message of type “${String(type)}”`);
  return type === "values" ? values(content as ValuesHead, buffers) : (content as ToBrowser);
}

function values(head: ValuesHead, buffers: readonly DataView[]): Values {
  const [influence, statistics] = buffers;
  const n = head.sources.length;
  if (influence?.byteLength !== 4 * n * head.n_targets)
    throw new ProtocolError(
      `influence should be ${4 * n * head.n_targets} bytes, got ${influence?.byteLength}`,
    );
  if (statistics === undefined || statistics.byteLength % (4 * n) !== 0)
    throw new ProtocolError(
      `statistics should be a multiple of ${4 * n} bytes, got ${statistics?.byteLength}`,
    );
  return { ...head, influence: floats(influence), statistics: floats(statistics) };
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Reads little-endian float32 at any byte offset: hosts do not align buffers. */
export function floats(view: DataView): Float32Array {
  const copy = new Float32Array(Math.floor(view.byteLength / 4));
  if (LITTLE_ENDIAN) {
    new Uint8Array(copy.buffer).set(new Uint8Array(view.buffer, view.byteOffset, copy.byteLength));
  } else {
    for (let i = 0; i < copy.length; i += 1) copy[i] = view.getFloat32(4 * i, true);
  }
  return copy;
}

/** What this side may send: the types of `ToKernel` as checks, for messages that both sides are tested with. */

import {
  type Check,
  count,
  list,
  Misfit,
  type Outcome,
  oneOf,
  optional,
  outcome,
  record,
  text,
  upTo,
} from "../src/kernel/check";
import { ASPECTS, type Aspect, MOST_WRITTEN, type ToKernel } from "../src/kernel/messages";
import { PROTOCOL_VERSION } from "../src/kernel/traits";

const ours: Check<number> = (value, name) => {
  if (value !== PROTOCOL_VERSION) throw new Misfit(`${name} should be ${PROTOCOL_VERSION}`);
  return value;
};

const written: Check<number> = (value, name) => {
  const number = upTo(MOST_WRITTEN)(value, name);
  if (number === 0) throw new Misfit(`${name} should be at least 1`);
  return number;
};

function some<T>(check: Check<T>): Check<readonly T[]> {
  return (value, name) => {
    const checked = list(check)(value, name);
    if (checked.length === 0) throw new Misfit(`${name} should not be empty`);
    return checked;
  };
}

const CHECKS: { readonly [T in ToKernel["type"]]: Check<ToKernel> } = {
  hello: record({ type: oneOf("hello"), protocol_version: ours }),
  ping: record({ type: oneOf("ping"), number: count }),
  cancel: record({ type: oneOf("cancel") }),
  resume: record({ type: oneOf("resume") }),
  open: record({
    type: oneOf("open"),
    prompt: text,
    metric: some(text),
    baseline: optional(some(text)),
    layers: optional(some(count)),
    n_tokens: (value, name) => (value === 0 ? 0 : written(value, name)),
  }),
  write_on: record({ type: oneOf("write_on"), n_tokens: written }),
  inspect: record({
    type: oneOf("inspect"),
    layer: count,
    source: count,
    target: count,
    aspects: some(oneOf(...(ASPECTS as Aspect[]))),
  }),
};
const TYPES = Object.keys(CHECKS) as ToKernel["type"][];

export function checkToKernel(content: unknown): Outcome<ToKernel> {
  return outcome(() => {
    const { type } = record({ type: oneOf(...TYPES) })(content, "message");
    return CHECKS[type](content, "message");
  });
}

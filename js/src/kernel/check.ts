/** Small checks for values that come from outside. Each returns the value, typed, or throws `Misfit`. */

/** Something received does not fit its description. `outcome` catches it. */
export class Misfit extends Error {}

export type Check<T> = (value: unknown, name: string) => T;

export const text: Check<string> = (value, name) => {
  if (typeof value !== "string") throw new Misfit(`${name} should be text, got ${show(value)}`);
  return value;
};

export const flag: Check<boolean> = (value, name) => {
  if (typeof value !== "boolean") throw new Misfit(`${name} should be true or false, got ${show(value)}`);
  return value;
};

export const real: Check<number> = (value, name) => {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new Misfit(`${name} should be a number, got ${show(value)}`);
  return value;
};

export const count: Check<number> = (value, name) => {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new Misfit(`${name} should be a whole number from 0, got ${show(value)}`);
  return value;
};

/** A whole number that cannot ask for more memory than there is. */
export function upTo(most: number): Check<number> {
  return (value, name) => {
    const number = count(value, name);
    if (number > most) throw new Misfit(`${name} should be at most ${most}, got ${show(value)}`);
    return number;
  };
}

export const positive: Check<number> = (value, name) => {
  const number = real(value, name);
  if (number <= 0) throw new Misfit(`${name} should be greater than 0, got ${show(value)}`);
  return number;
};

export function oneOf<const T extends string>(...choices: T[]): Check<T> {
  return (value, name) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined)
      throw new Misfit(`${name} should be one of ${choices.join(", ")}, got ${show(value)}`);
    return found;
  };
}

export function optional<T>(check: Check<T>): Check<T | null> {
  return (value, name) => (value === null || value === undefined ? null : check(value, name));
}

export function list<T>(check: Check<T>, longest = Number.POSITIVE_INFINITY): Check<readonly T[]> {
  return (value, name) => {
    if (!Array.isArray(value)) throw new Misfit(`${name} should be a list, got ${show(value)}`);
    if (value.length > longest)
      throw new Misfit(`${name} should have at most ${longest} entries, got ${value.length}`);
    return value.map((item: unknown, index) => check(item, `${name}[${index}]`));
  };
}

export function record<T>(fields: { readonly [K in keyof T]: Check<T[K]> }): Check<T> {
  return (value, name) => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new Misfit(`${name} should be an object, got ${show(value)}`);
    const found = value as Record<string, unknown>;
    const checked: Partial<T> = {};
    for (const key in fields) checked[key] = fields[key](found[key], `${name}.${key}`);
    return checked as T;
  };
}

/** Texts, each by a name. */
export const texts: Check<Readonly<Record<string, string>>> = (value, name) => {
  record({})(value, name);
  const entries = Object.entries(value as object);
  return Object.fromEntries(entries.map(([key, item]) => [key, text(item, `${name}.${key}`)]));
};

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

/** Runs a check: a misfit becomes the reason. */
export function outcome<T>(check: () => T): Outcome<T> {
  try {
    return { ok: true, value: check() };
  } catch (error) {
    if (error instanceof Misfit) return { ok: false, reason: error.message };
    throw error;
  }
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  let shown: string;
  try {
    shown = JSON.stringify(value) ?? String(value);
  } catch {
    shown = `something of type ${typeof value}`;
  }
  return shown.length > 40 ? `${shown.slice(0, 40)}…` : shown;
}

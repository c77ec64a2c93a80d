import { describe, expect, it } from "vitest";
import recorded from "../../tests/protocol/messages.json";
import { ASPECTS, checkToBrowser, floats } from "../src/kernel/messages";
import { checkTrait, INITIAL, TRAITS } from "../src/kernel/traits";
import { FOUND, finding, traits, unaligned } from "./fake";
import { checkToKernel } from "./to-kernel";

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

describe("messages that both sides check", () => {
  it.each(recorded as Recorded[])("$direction, valid: $valid, $why $message", (example) => {
    const checked =
      example.direction === "to_kernel"
        ? checkToKernel(example.message)
        : checkToBrowser(example.message, (example.buffers ?? []).map(bytes));
    expect(checked.ok).toBe(example.valid);
    if (!checked.ok) expect(checked.reason).not.toBe("");
  });
});

describe("buffers", () => {
  it("are read wherever they begin", () => {
    expect([...floats(unaligned([1.5, -0.25, 3e8]))]).toEqual([1.5, -0.25, 3e8]);
  });

  it("keep what is not a number", () => {
    expect([...floats(unaligned([Number.NaN, 1]))]).toEqual([Number.NaN, 1]);
  });

  it("end where their view ends", () => {
    const all = new Float32Array([1, 2, 3, 4]);
    expect([...floats(new DataView(all.buffer, 4, 8))]).toEqual([2, 3]);
  });

  it("are split into influence and statistics", () => {
    const head = { type: "values", map_id: 1, layer: 0, sources: [0, 1], n_targets: 2 };
    const checked = checkToBrowser(head, [unaligned([1, 2, 0, 4]), unaligned([0.5, 0.25])]);
    expect(checked).toMatchObject({ ok: true, value: { layer: 0, sources: [0, 1] } });
    if (checked.ok && checked.value.type === "values")
      expect([...checked.value.influence]).toEqual([1, 2, 0, 4]);
  });
});

describe("findings", () => {
  it.each(ASPECTS)("%s is read", (aspect) => {
    expect(checkToBrowser(finding(aspect), [])).toMatchObject({ ok: true, value: { found: FOUND[aspect] } });
    expect(checkToBrowser(finding(aspect, undefined, null), [])).toMatchObject({
      ok: true,
      value: { found: null, problem: { title: "No memory" } },
    });
  });

  it.each([
    ["of an aspect there is not", { ...finding("direct"), aspect: "constructor" }],
    ["of another aspect", { ...finding("direct"), aspect: "predictions" }],
    ["with neither a result nor a problem", { ...finding("direct"), found: null }],
    ["with both", { ...finding("direct"), problem: { title: "", advice: "", detail: "" } }],
    ["that are no numbers", finding("direct", undefined, { ...FOUND.direct, indirect: Number.NaN })],
    [
      "that nobody could read through",
      finding("carriers", undefined, new Array(10_000).fill(FOUND.carriers[0])),
    ],
  ])("%s are refused", (_, message) => {
    expect(checkToBrowser(message, []).ok).toBe(false);
  });
});

describe("traits", () => {
  it.each(TRAITS)("%s of a real map is accepted", (name) => {
    expect(checkTrait(name, traits()[name])).toEqual({ ok: true, value: traits()[name] });
    expect(checkTrait(name, INITIAL[name]).ok).toBe(true);
  });

  it.each([
    ["tokens", [{ text: 3, piece: null, id: null, word: 0 }]],
    ["tokens", [{ text: "a", piece: [2, 1], id: null, word: 0 }]],
    ["tokens", [{ text: "a", piece: [1], word: 0 }]],
    ["tokens", [{ text: "a", piece: null }]],
    ["tokens", [{ text: "a", piece: null, id: -1, word: 0 }]],
    ["tokens", "abc"],
    ["query", { method: "ablation", metric: "kl", unit: "nats", site: "residual", exact: true }],
    ["n_layers", -1],
    ["n_layers", 2 ** 31],
    ["n_targets", "7"],
    ["direction", "rows"],
    ["fixed_scale", 0],
    ["fixed_scale", Number.NaN],
    ["pinned_sources", [1, -1]],
    ["pinned_sources", new Array(10_000).fill(1)],
    ["show_words", 1],
    ["find", null],
    ["asked", { metric: ["logprob"] }],
    ["asked", null],
    ["selected_source", 1.5],
    ["selected_layer", null],
    ["state", "done"],
    ["layer_info", [{ baseline: "median", shock: false, noise_floor: null, n_done: 0 }]],
    ["layers", [1.5]],
    ["progress", { task: "", done: Number.NaN, seconds_left: null, filling: "idle" }],
    ["error", "broken"],
    ["progress", { task: "", done: 0, seconds_left: null, filling: "idle", host: 3 }],
    ["not_offered", { direct: null }],
    ["not_offered", ["direct"]],
    ["statistics", [null]],
  ] as const)("%s: %j is refused with a reason that names it", (name, value) => {
    const checked = checkTrait(name, value);
    expect(checked.ok).toBe(false);
    if (!checked.ok) expect(checked.reason).toContain(name);
  });

  it("of a kernel that says nothing of hosts are accepted", () => {
    const progress = { task: "", done: 0, seconds_left: null, filling: "idle" };
    expect(checkTrait("progress", progress)).toEqual({ ok: true, value: { ...progress, host: null } });
  });

  it("that say what is not offered are taken by name", () => {
    const reasons = JSON.parse('{"direct": "No masks.", "__proto__": "no name of ours"}') as unknown;
    const checked = checkTrait("not_offered", reasons);
    expect(checked.ok && checked.value["direct"]).toBe("No masks.");
    expect(checked.ok && checked.value["carriers"]).toBe(undefined);
  });

  it("with a cycle are refused too", () => {
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    expect(checkTrait("model_name", cycle).ok).toBe(false);
    const bare: Record<string, unknown> = Object.create(null);
    bare["self"] = bare;
    expect(checkTrait("model_name", bare).ok).toBe(false);
  });
});

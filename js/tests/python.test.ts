import { describe, expect, it } from "vitest";
import { pythonCall, pythonString } from "../src/page/python";
import { traits } from "./fake";

const STORY = { ...traits(), prompt: "Anna kept the key" };

describe("a text as a literal of Python", () => {
  it.each([
    ["plain", '"plain"'],
    ['say "hi"', '"say \\"hi\\""'],
    ["it's", '"it\'s"'],
    ["C:\\new", '"C:\\\\new"'],
    ["a\nb\r\tc", '"a\\nb\\r\\tc"'],
    ["\u0000\u001b\u007f\u0085", '"\\x00\\x1b\\x7f\\x85"'],
    ["a\u202eb\u200b\ufeff", '"a\\u202eb\\u200b\\ufeff"'],
    ["\u2028\u2029", '"\\u2028\\u2029"'],
    ["東京 naïve 🙂", '"東京 naïve 🙂"'],
    ["👩\u200d💻", '"👩\u200d💻"'],
    ["\u{e0041}", '"\\U000e0041"'],
    ["\ud800", '"\\ud800"'],
    ["{x} %s", '"{x} %s"'],
  ])("writes %j", (text, literal) => {
    expect(pythonString(text)).toBe(literal);
  });
});

describe("the call that makes a view", () => {
  it("names the model, the prompt and the layer, and no defaults", () => {
    expect(pythonCall({ ...STORY, asked: { ...STORY.asked, model: "demo" } })).toBe(
      [
        "import horizon_widget as hw",
        "",
        'model = hw.load_model("demo")',
        "widget = hw.HorizonWidget(",
        "    model,",
        '    "Anna kept the key",',
        "    selected_layer=1,",
        ")",
        "widget",
        "",
      ].join("\n"),
    );
  });

  it("says that a model is remote", () => {
    const call = pythonCall({ ...STORY, asked: { ...STORY.asked, model: "meta/llama", remote: true } });
    expect(call).toContain('\nmodel = hw.load_model("meta/llama", remote=True)\n');
  });

  it("says that a model in memory must exist", () => {
    const call = pythonCall(STORY);
    expect(call).toContain("\n# model: the one that this widget was made with");
    expect(call).not.toContain("model =");
  });

  it("writes what differs from the defaults", () => {
    const call = pythonCall({
      ...STORY,
      asked: {
        metric: ["contrast", " Paris", " Rome"],
        baseline: ["counterfactual", 'Tom "kept"'],
        site: "value",
        head: 1,
        seed: 7,
        draws: 5,
        token_ids: [1, 22, 3],
        model: "gpt2",
        remote: false,
      },
      layers: [0, 2],
      direction: "column",
      statistic: "expected_horizon",
      selected_source: 0,
      selected_target: 3,
      selected_offset: null,
      pinned_sources: [1, 2],
      fixed_scale: 2.5,
      show_words: true,
      show_arcs: true,
      include_sinks: true,
      profile_as_share: true,
      least_offset: 9,
      find: "\\key",
    });
    expect(call.split("\n").slice(4, -3)).toEqual(
      [
        "model",
        "[1, 22, 3]",
        'metric=("contrast", " Paris", " Rome")',
        'baseline=("counterfactual", "Tom \\"kept\\"")',
        'site="value"',
        "head=1",
        "seed=7",
        "draws=5",
        "layers=[0, 2]",
        "selected_layer=1",
        'direction="column"',
        "selected_source=0",
        "selected_target=3",
        'statistic="expected_horizon"',
        "pinned_sources=[1, 2]",
        "fixed_scale=2.5",
        "show_words=True",
        "show_arcs=True",
        "include_sinks=True",
        "profile_as_share=True",
        "least_offset=9",
        'find="\\\\key"',
      ].map((argument) => `    ${argument},`),
    );
  });

  it("names in comments what it cannot write, on one line each", () => {
    const call = pythonCall({
      ...STORY,
      query: { ...STORY.query, metric: "function mine\nimport os" },
      asked: { ...STORY.asked, metric: ["function", "mine\nimport os"], baseline: null },
    });
    expect(call).toContain("\n# metric: the function mine\\nimport os; pass it as metric=\n");
    expect(call).toContain("\n# baseline: as set in Python; pass it as baseline=\n");
    expect(call).not.toContain("baseline=(");
  });
});

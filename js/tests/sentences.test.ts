import { describe, expect, it } from "vitest";
import type { Layer, Query, Token } from "../src/kernel/protocol";
import {
  baselineNote,
  cellMeaning,
  hostNote,
  layersDone,
  meaningOf,
  progressNote,
  queryLabels,
  scaleEnds,
  scaleNote,
  shockLabel,
  statisticValue,
} from "../src/page/sentences";
import { OFFERED, queryOf } from "./fake";

const QUERY = queryOf("logprob");
const NAMED = queryOf("entropy", { metric: "logprob of ' Paris'" });
/** Functions of the user’s own, whose names say nothing about their meaning. */
const NAMED_LIKE_OTHERS = ["kl", "logprob", "entropy", "function kl", "<lambda>", "{amount}", "{token}"].map(
  (metric): Query => queryOf("function", { metric, short_metric: metric }),
);
const LAYER: Layer = { baseline: "mean", shock: false, replaced: false, noise_floor: 0, n_done: 2 };
const TOKENS: Token[] = [
  { text: "a", piece: null, id: null, word: 0 },
  { text: " b", piece: null, id: null, word: 1 },
];

function meaning(query: Query, value: number): string {
  return cellMeaning(
    { tokens: TOKENS, query, window: 2, layers: [LAYER], nTargets: 1, sinks: [] },
    0,
    1,
    value,
  );
}

describe("the meaning of a value", () => {
  it("is more or less likely only for the log-probability", () => {
    expect(meaning(QUERY, 2)).toMatch(/less likely by 2\S* nats/u);
    expect(meaning(QUERY, -2)).toMatch(/more likely by 2\S* nats/u);
    expect(meaning(queryOf("entropy"), 2)).toContain("lowers the entropy");
    expect(meaning(queryOf("function"), -2)).toContain("raises the function mine");
    expect(meaning(queryOf("kl"), 2)).toContain("moves the prediction");
    expect(meaning(NAMED, 2)).toContain("lowers the logprob of ' Paris' at “ b” by 2");
  });

  it("decides the words of the row and of the ends of its scale", () => {
    expect(meaningOf("row", QUERY)).toBe("nats lost at that token if this state is removed");
    expect(meaningOf("row", queryOf("logit"))).toContain("how much logit (logits) falls");
    expect(meaningOf("row", queryOf("kl"))).toContain("how far");
    expect(meaningOf("column", queryOf("kl"))).toContain("how far");
    expect(scaleEnds(QUERY)).toEqual(["removal would help", "needed here"]);
    expect(scaleEnds(QUERY, "sources")[1], "in a column the sources are coloured").toBe("needed there");
    expect(scaleEnds(queryOf("kl"))[0]).toBe("");
    expect(scaleEnds(queryOf("entropy"))).toEqual(["raised by removal", "lowered by removal"]);
    expect(scaleEnds(NAMED)).toEqual(["raised by removal", "lowered by removal"]);
    expect(scaleNote(4, queryOf("kl"))).toBe("0 to 4 nats or more");
  });

  it.each(NAMED_LIKE_OTHERS)("treats $metric as the user’s own", (query) => {
    const { metric } = query;
    expect(meaning(query, 2)).toBe(`Removing this state lowers the ${metric} at “ b” by 2.`);
    expect(meaningOf("row", query)).toBe(`how much ${metric} falls there if this state is removed`);
    expect(meaningOf("column", query)).toBe(`how much ${metric} falls here if that state is removed`);
    expect(scaleEnds(query)).toEqual(["raised by removal", "lowered by removal"]);
    expect(scaleNote(4, query)).toBe("± 4 or more");
    expect(queryLabels(query)).toEqual(["exact ablation", metric]);
  });
});

describe("a token without a value", () => {
  const statistic = { name: "x", label: "x", unit: "", low: 0, high: 1, description: "" };
  const tokens = Array.from({ length: 6 }, (_, word) => ({ text: "a", piece: null, id: null, word }));
  const said = (position: number, nTargets: number): string =>
    statisticValue(
      { tokens, query: QUERY, window: 4, layers: [LAYER], nTargets, sinks: [] },
      statistic,
      position,
      Number.NaN,
    );

  it("has too few later predictions, or only noise; the prediction after the prompt counts", () => {
    expect(said(2, 5)).toBe("no value: only 3 predictions after it, fewer than the window of 4");
    expect(said(2, 6)).toBe("no value: only noise");
    expect(said(5, 6)).toBe("no value: only 1 prediction after it, fewer than the window of 4");
    expect(said(1, 5)).toBe("no value: only noise");
  });
});

describe("labels", () => {
  it("distinguishes estimates from exact values, and names a site other than the residual stream", () => {
    expect(queryLabels(QUERY)).toEqual(["exact ablation", "log p (nats)"]);
    expect(queryLabels({ ...QUERY, exact: false, method: "gradient", site: "value, head 1" })).toEqual([
      "estimated gradient",
      "log p (nats)",
      "site: value, head 1",
    ]);
  });

  it.each(["mean", "zero", "resample", "counterfactual"])("says what the baseline %s is", (baseline) => {
    expect(baselineNote(0, { ...LAYER, baseline }, OFFERED)).toMatch(/^Removed: replaced by /u);
  });

  it("says if a baseline is a shock, and if another stands in for it", () => {
    const shock = { ...LAYER, shock: true };
    expect(baselineNote(3, shock, OFFERED)).toMatch(/^At layer 3 the mean state is itself a shock/u);
    expect(shockLabel(shock, OFFERED)).toBe("flawed baseline: mostly its shock");
    const replaced = { ...shock, baseline: "resample", replaced: true };
    expect(baselineNote(3, replaced, OFFERED)).toBe(
      "At layer 3 the mean state is itself a shock to the model, so another token’s state is used instead (resample).",
    );
    expect(shockLabel(replaced, OFFERED)).toBe("flawed mean: resampled instead");
  });
});

describe("progress", () => {
  const progress = {
    task: "layer 12",
    done: 0.431,
    seconds_left: 8,
    filling: "running" as const,
    host: null,
  };
  const layers = { done: 3, asked: 30, all: true };

  it("says what is computed, how much of it is done, and how much remains", () => {
    expect(progressNote(progress, "computing", layers)).toBe(
      "Computing layer 12 · 43 % · about 8 s left · 3 of 30 layers done",
    );
    expect(progressNote({ ...progress, filling: "waiting" }, "ready", layers)).toBe(
      "In the background: layer 12 · 43 % · waits for the running cell · 3 of 30 layers done",
    );
    expect(progressNote({ ...progress, filling: "behind" }, "ready", layers)).toBe(
      "In the background: layer 12 · 43 % · waits for another widget · 3 of 30 layers done",
    );
    expect(progressNote({ ...progress, filling: "complete" }, "ready", { ...layers, done: 30 })).toBe(
      "All 30 layers are computed",
    );
    expect(progressNote({ ...progress, filling: "on request" }, "ready", layers)).toBe(
      "3 of 30 layers done · the rest, about 8 s, on request: the host is shared",
    );
    expect(progressNote({ ...progress, filling: "on request", seconds_left: null }, "ready", layers)).toBe(
      "3 of 30 layers done · the rest on request: the host is shared",
    );
    const writing = { ...progress, task: "writing, 2 of 6 tokens", filling: "writing" as const };
    expect(progressNote(writing, "computing", layers)).toBe(
      "The model is writing, 2 of 6 tokens · 43 % · about 8 s left",
    );
    expect(progressNote({ ...progress, task: "" }, "ready", layers)).toBe("");
  });

  it("shows the state of a pending request instead of the time left", () => {
    const words = "queued on ndif.example, position 3";
    expect(progressNote(progress, "computing", layers, words)).toBe(
      "Computing layer 12 · 43 % · queued on ndif.example, position 3",
    );
    expect(progressNote(progress, "ready", layers, words)).toBe(
      "In the background: layer 12 · 43 % · queued on ndif.example, position 3",
    );
    const writing = { ...progress, task: "writing, 2 of 6 tokens", filling: "writing" as const };
    expect(progressNote(writing, "computing", layers, "sent")).toBe(
      "The model is writing, 2 of 6 tokens · 43 % · sent",
    );
    const complete = { ...progress, filling: "complete" as const };
    expect(progressNote(complete, "ready", layers, "sent")).toBe("All 30 layers are computed · sent");
    const onRequest = { ...progress, filling: "on request" as const };
    expect(progressNote(onRequest, "ready", layers, "sent"), "a cell is inspected").toBe(
      "3 of 30 layers done · sent",
    );
    const stopped = { ...progress, filling: "stopped" as const };
    expect(progressNote(stopped, "ready", layers, words), "nobody waits for the request any more").toBe(
      "Stopped: layer 12 · 43 % · 3 of 30 layers done",
    );
  });

  it.each(["stopped", "on request"] as const)(
    "says what a click asks for while the rest is %s",
    (filling) => {
      expect(progressNote({ ...progress, filling }, "computing", layers)).toBe(
        "Computing layer 12 · 43 % · about 8 s left · 3 of 30 layers done",
      );
    },
  );

  it.each([
    [0.2, "sent"],
    [3, "sent"],
    [3.1, "sent · for 3 s"],
    [119.9, "sent · for 119 s"],
    [120, "sent · for 2 min"],
    [7300, "sent · for 121 min"],
  ])("says after %d s: %s", (seconds, words) => {
    expect(hostNote("sent", seconds).replaceAll("\u00a0", " ")).toBe(words);
  });

  it("counts the layers that are asked for", () => {
    const info = [2, 1, 2].map((n_done) => ({ ...LAYER, n_done }));
    expect(layersDone(info, null, 2)).toEqual({ done: 2, asked: 3, all: true });
    expect(layersDone(info, [1, 2], 2)).toEqual({ done: 1, asked: 2, all: false });
    expect(progressNote({ ...progress, filling: "complete" }, "ready", layersDone(info, [2], 2))).toBe(
      "Computed: 1 layer",
    );
  });
});

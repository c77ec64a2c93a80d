import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Finding } from "../src/kernel/messages";
import { CellFindings } from "../src/state/findings";
import { ALWAYS_ASKED, ASK_AFTER_MS } from "../src/state/inquiry";
import { type FakeModel, FOUND, finding, openStore, tellLayer, traits, welcome } from "./fake";

const CELL = { layer: 1, source: 3, target: 7 };

describe("the findings about a cell", () => {
  it("arrive aspect by aspect", () => {
    const findings = new CellFindings();
    expect(findings.missing(CELL, ALWAYS_ASKED)).toEqual(ALWAYS_ASKED);
    findings.receive(finding("direct") as unknown as Finding);
    expect(findings.of(CELL).direct?.found).toEqual(FOUND.direct);
    expect(findings.missing(CELL, ALWAYS_ASKED)).toEqual(["predictions", "baseline_sensitivity"]);
    expect(findings.of({ ...CELL, target: 6 })).toEqual({});
  });

  it("are not asked for twice, unless the kernel was asked about another cell since", () => {
    const findings = new CellFindings();
    findings.asked(CELL, ["predictions", "direct"]);
    expect(findings.missing(CELL, ALWAYS_ASKED)).toEqual(["baseline_sensitivity"]);
    findings.asked(CELL, ["baseline_sensitivity"]);
    expect(findings.missing(CELL, ALWAYS_ASKED)).toEqual([]);
    findings.asked({ ...CELL, target: 6 }, ALWAYS_ASKED);
    expect(findings.missing(CELL, ALWAYS_ASKED)).toEqual(ALWAYS_ASKED);
  });

  it("are asked for again after a failure if the reader wants it", () => {
    const findings = new CellFindings();
    findings.want(CELL, "verification");
    findings.asked(CELL, ["verification"]);
    findings.receive(finding("verification", CELL, null) as unknown as Finding);
    expect(findings.missing(CELL, [])).toEqual([]);
    expect(findings.of(CELL).verification?.problem?.title).toBe("No memory");
    findings.want(CELL, "verification");
    expect(findings.missing(CELL, [])).toEqual(["verification"]);
  });

  it("are kept for the cells seen last", () => {
    const findings = new CellFindings();
    const cell = (target: number) => ({ ...CELL, target });
    for (let target = 4; target < 5000; target += 1) {
      findings.receive(finding("direct", cell(target)) as unknown as Finding);
      findings.receive(finding("direct", cell(4)) as unknown as Finding);
      findings.want(cell(target), "carriers");
    }
    expect(findings.of(cell(4)).direct).toBeDefined();
    expect(findings.of(cell(4999)).direct).toBeDefined();
    const kept = Array.from({ length: 5000 }, (_, target) => cell(target));
    expect(kept.filter((one) => findings.of(one).direct !== undefined)).toHaveLength(500);
    expect(kept.filter((one) => findings.isWanted(one, "carriers"))).toHaveLength(500);
  });
});

describe("the kernel is asked about the selected cell", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function connected(): ReturnType<typeof openStore> {
    const opened = openStore();
    opened.store.kernel.greet();
    welcome(opened.model);
    return opened;
  }

  function inspections(model: FakeModel): unknown[] {
    return model.asked.filter((content) => (content as { readonly type: string }).type === "inspect");
  }

  it("once its value has arrived and the reader stays with it", () => {
    const { model, store } = connected();
    store.selection.selectCell(CELL);
    vi.advanceTimersByTime(10 * ASK_AFTER_MS);
    expect(inspections(model)).toEqual([]);
    tellLayer(model, 1);
    vi.advanceTimersByTime(ASK_AFTER_MS);
    expect(inspections(model)).toEqual([{ type: "inspect", map_id: 1, ...CELL, aspects: ALWAYS_ASKED }]);
    vi.advanceTimersByTime(10 * ASK_AFTER_MS);
    expect(inspections(model)).toHaveLength(1);
  });

  it("and not about cells that the reader passes", () => {
    const { model, store } = connected();
    tellLayer(model, 1);
    for (const target of [4, 5, 6, 7]) {
      store.selection.selectCell({ ...CELL, target });
      vi.advanceTimersByTime(ASK_AFTER_MS / 2);
    }
    vi.advanceTimersByTime(ASK_AFTER_MS);
    expect(inspections(model)).toEqual([{ type: "inspect", map_id: 1, ...CELL, aspects: ALWAYS_ASKED }]);
  });

  it("even while values keep arriving", () => {
    const { model, store } = connected();
    tellLayer(model, 1);
    store.selection.selectCell(CELL);
    for (let passed = 0; passed < 2 * ASK_AFTER_MS; passed += 20) {
      vi.advanceTimersByTime(20);
      tellLayer(model, 2, [passed % 8]);
    }
    expect(inspections(model)).toHaveLength(1);
  });

  it("for more if the reader wants more", () => {
    const { model, store } = connected();
    tellLayer(model, 1);
    store.maps.main.want("carriers"); // no cell: nothing to ask about
    store.selection.selectCell(CELL);
    vi.advanceTimersByTime(ASK_AFTER_MS);
    for (const aspect of ALWAYS_ASKED) model.tell(finding(aspect));
    store.maps.main.want("verification");
    vi.advanceTimersByTime(ASK_AFTER_MS);
    expect(inspections(model).at(-1)).toEqual({
      type: "inspect",
      map_id: 1,
      ...CELL,
      aspects: ["verification"],
    });
    model.tell(finding("verification"));
    expect(store.maps.main.findings.of(CELL).verification?.found).toEqual(FOUND.verification);
    vi.advanceTimersByTime(10 * ASK_AFTER_MS);
    expect(inspections(model)).toHaveLength(2);
  });

  it("but not for aspects that the model’s host does not allow, until it does", () => {
    const { model, store } = connected();
    model.fromKernel({ not_offered: { direct: "No masks.", carriers: "No masks." } });
    tellLayer(model, 1);
    store.selection.selectCell(CELL);
    store.maps.main.want("carriers");
    vi.advanceTimersByTime(10 * ASK_AFTER_MS);
    expect(inspections(model)).toEqual([
      { type: "inspect", map_id: 1, ...CELL, aspects: ["predictions", "baseline_sensitivity"] },
    ]);
    model.fromKernel({ not_offered: {} });
    vi.advanceTimersByTime(10 * ASK_AFTER_MS);
    expect(inspections(model).slice(1)).toEqual([
      { type: "inspect", map_id: 1, ...CELL, aspects: ["direct"] },
    ]);
  });

  it("and everything is forgotten with the map", () => {
    const { model, store } = connected();
    tellLayer(model, 1);
    store.selection.selectCell(CELL);
    model.tell(finding("direct"));
    model.tell({ ...finding("predictions"), map_id: 9 });
    expect(Object.keys(store.maps.main.findings.of(CELL))).toEqual(["direct"]);
    model.fromKernel({ map_id: 2, tokens: traits().tokens.slice(1), n_targets: 6 });
    expect(store.maps.main.findings.of(CELL)).toEqual({});
  });
});

import { afterEach, describe, expect, it, vi } from "vitest";
import { frame, influence, tellLayer, traits, WORDS } from "./fake";
import { click, closeAll, filled, labelOf, type Opened, opened, press } from "./opened";

afterEach(closeAll);

const kinds = ({ token }: Opened): string[] => WORDS.map((_, i) => token(i).dataset["kind"] ?? "");

describe("the text", () => {
  it("is text, whatever a token contains", () => {
    const tokens = ["<img src=x onerror=alert(1)>", " a\u202eb", "\n"].map((text, word) => ({
      text,
      piece: null,
      word,
    }));
    const { find } = opened({ tokens, n_targets: 2 });
    expect(find(".text").textContent).toBe("<img src=x onerror=alert(1)> a⟨U+202E⟩b↵\n");
    expect(find(".text").querySelector("img")).toBeNull();
  });

  it("is coloured by the statistic, and says why a token has no value", async () => {
    const view = opened();
    expect(kinds(view)).toEqual(WORDS.map(() => "pending"));
    tellLayer(view.model, 1);
    await frame();
    expect(view.token(1).style.backgroundColor).toMatch(/^rgba\(57, 155, 149, 0\.3/);
    expect(labelOf(view.token(1))).toBe("“ kept”, token 1: own share 0.30");
    expect(view.token(6).dataset["kind"]).toBe("none");
    expect(labelOf(view.token(6))).toContain("only 1 prediction after it");
    expect(view.find('[data-key="none"]').hidden).toBe(false);
    expect(view.find('[data-key="pending"]').hidden).toBe(true);
  });

  it("scales a statistic without an upper end to the layer’s greatest value, sinks left out", async () => {
    const statistics = traits().statistics.map((statistic) => ({ ...statistic, high: null }));
    const { find, token } = await filled({ statistics, sinks: [3] });
    // 0.10, 0.30, 0.50 and, for the sink, 0.70.
    expect(find(".legend-high").textContent).toBe("0.5");
    expect(find(".legend-scale").textContent).toContain("greatest");
    expect(token(2).style.backgroundColor).toBe("rgb(57, 155, 149)");
    expect(token(3).hasAttribute("data-sink")).toBe(true);
    expect(token(0).hasAttribute("data-sink")).toBe(false);
  });

  it("reads a row: earlier tokens are out of reach", async () => {
    const view = await filled();
    click(view.token(3));
    await frame();
    expect(kinds(view)).toEqual([
      "outside",
      "outside",
      "outside",
      "source",
      "value",
      "value",
      "value",
      "value",
    ]);
    expect(view.token(7).style.backgroundColor).toMatch(/^rgba\(46, 105, 178/);
    expect(labelOf(view.token(7))).toBe("“ key”, token 7: +3.76 nats, 4 tokens ahead");
    expect(influence(1, 3, 6)).toBeLessThan(0);
    expect(view.token(6).style.backgroundColor).toMatch(/^rgba\(162, 78, 16/);
    expect(view.find(".legend-title").textContent).toBe("Layer 1 · where “ key” (3) is used");
  });

  it("reads a column: tokens that come too late are out of reach", async () => {
    const view = await filled({ direction: "column", selected_target: 5 });
    expect(kinds(view)).toEqual([
      "value",
      "value",
      "value",
      "value",
      "value",
      "target",
      "outside",
      "outside",
    ]);
    expect(labelOf(view.token(4))).toContain("its own next token");
    expect(labelOf(view.token(6))).toContain("too late");
    expect(view.find(".legend-title").textContent).toContain("what carries the prediction of “ the” (5)");
  });

  it("reads an offset: each token by its influence that far ahead", async () => {
    const view = await filled({ selected_offset: 4 });
    expect(kinds(view).slice(4)).toEqual(["outside", "outside", "outside", "outside"]);
    expect(labelOf(view.token(3))).toBe("“ key”, token 3: +3.76 nats for “ key” (7), 4 tokens ahead");
  });

  it("does not colour values below the noise floor, and says so", async () => {
    const layer_info = traits().layer_info.map((layer) => ({ ...layer, noise_floor: 0.3 }));
    const view = await filled({ layer_info, selected_source: 3 });
    expect(influence(1, 3, 6)).toBeCloseTo(-0.25);
    expect(view.token(6).dataset["kind"]).toBe("noise");
    expect(view.token(6).style.backgroundColor).toBe("");
    expect(labelOf(view.token(6))).toContain("nothing above the noise floor of 0.30 nats");
    expect(view.find('[data-key="noise"]').textContent).toContain("0.30 nats");
  });

  it("has a place for the prediction after the prompt if there is one", async () => {
    const view = opened({ n_targets: WORDS.length });
    await frame();
    const end = view.token(WORDS.length);
    expect(end.textContent).toBe("after the prompt");
    click(end);
    expect(view.model.saved).toEqual([{ direction: "column", selected_target: WORDS.length }]);
    await frame();
    expect(end.dataset["kind"]).toBe("target");
  });

  it("separates text that the model wrote", async () => {
    const view = await filled({ written_from: 5 });
    expect(view.find(".text").textContent).toBe("Anna kept the key towritten by the modelthe old key");
    expect(view.find(".written").nextElementSibling).toBe(view.token(5));
    expect(labelOf(view.token(4))).not.toContain("written by the model");
    expect(labelOf(view.token(6))).toContain("written by the model");
    expect(view.find('[data-key="written"]').hidden).toBe(false);
  });

  it("marks the places that a search finds", async () => {
    const { model, token } = await filled({ find: "KEY" });
    const found = (): number[] => WORDS.flatMap((_, i) => (token(i).hasAttribute("data-found") ? [i] : []));
    expect(found()).toEqual([3, 7]);
    model.fromKernel({ find: "to the" });
    await frame();
    expect(found()).toEqual([4, 5]);
  });

  it("warns of a layer with a flawed baseline", async () => {
    const layer_info = traits().layer_info.map((layer, i) => ({ ...layer, shock: i === 1 }));
    const { find } = await filled({ layer_info });
    expect(find(".text").hasAttribute("data-shock")).toBe(true);
    expect(find(".legend-notes").textContent).toContain("itself a shock to the model");
    expect(find('[data-key="shock"]').hidden).toBe(false);
  });
});

describe("words", () => {
  // “ old key” is one word of two tokens.
  const tokens = WORDS.map((text, i) => ({ text, piece: null, id: null, word: Math.min(i, 6) }));

  it("are read as one, by their last token or by the sum over their tokens", async () => {
    const view = await filled({ tokens, show_words: true, selected_source: 3 });
    expect(view.token(6).textContent).toBe("old key");
    const sum = influence(1, 3, 6) + influence(1, 3, 7);
    expect(labelOf(view.token(6))).toContain(`tokens 6 to 7: +${sum.toFixed(2)} nats`);
    expect(view.find(".legend-notes").textContent).toContain("sum over its tokens");
    click(view.token(6));
    expect(view.model.saved.at(-1)).toMatchObject({ selected_source: 7 });
    click(view.token(6), { shiftKey: true });
    expect(view.model.saved.at(-1)).toMatchObject({ direction: "column", selected_target: 6 });
  });

  it("are one step of the arrow keys", async () => {
    const { root, token } = await filled({ tokens, show_words: true });
    token(0).focus();
    press(token(0), "End");
    expect(root.shadowRoot?.activeElement).toBe(token(6));
    press(token(6), "ArrowLeft");
    expect(root.shadowRoot?.activeElement).toBe(token(5));
  });
});

describe("clicks and keys", () => {
  it("leave the focus on the token, also with Shift, and a cleared selection returns it", async () => {
    const { root, token, find } = await filled({ selected_source: 3 });
    click(token(6), { shiftKey: true });
    expect(root.shadowRoot?.activeElement).toBe(token(6));
    await frame();
    find(".close").focus();
    find(".close").click(); // as by a key: no button of a mouse was pressed
    expect(root.shadowRoot?.activeElement).toBe(token(6));
  });

  it("read the other direction with Shift, or C", async () => {
    const { model, token, find } = await filled();
    click(token(3), { shiftKey: true });
    expect(model.saved).toEqual([{ direction: "column", selected_target: 3 }]);
    token(2).focus();
    press(token(2), "c");
    expect(model.saved.at(-1)).toEqual({ direction: "row", selected_source: 2, selected_target: null });
    click(token(0), { shiftKey: true });
    expect(find(".page > .unseen").textContent).toBe("Nothing predicts the first token.");
  });

  it("select the cell of a token with Alt, or S, and release it the same way", async () => {
    const { model, token } = await filled({ selected_source: 3 });
    click(token(7), { altKey: true });
    expect(model.saved.at(-1)).toEqual({ selected_target: 7 });
    await frame();
    expect(token(7).hasAttribute("data-target")).toBe(true);
    token(7).focus();
    press(token(7), "s");
    expect(model.saved.at(-1)).toEqual({ selected_target: null });
    await frame();
    expect(token(7).hasAttribute("data-target")).toBe(false);
  });

  it("pin with Ctrl, or P, and say when the limit is reached", async () => {
    const { model, token, find } = await filled();
    click(token(1), { ctrlKey: true });
    for (const position of [2, 3, 4]) {
      token(position).focus();
      press(token(position), "p");
    }
    expect(model.saved.at(-1)).toEqual({ pinned_sources: [1, 2, 3, 4] });
    token(5).focus();
    press(token(5), "p");
    expect(find(".page > .unseen").textContent).toBe("No more than 4 tokens can be pinned.");
    click(token(1), { metaKey: true });
    expect(model.saved.at(-1)).toEqual({ pinned_sources: [2, 3, 4] });
  });

  it("release step by step with Escape: tooltip, cell, selection", async () => {
    const { model, token, find } = await filled({ selected_source: 3, selected_target: 7 });
    token(4).focus();
    await frame();
    expect(find(".tooltip").hidden).toBe(false);
    press(token(4), "Escape");
    expect(find(".tooltip").hidden).toBe(true);
    expect(model.saved).toEqual([]);
    press(token(4), "Escape");
    press(token(4), "Escape");
    expect(model.saved).toEqual([{ selected_target: null }, { selected_source: null }]);
  });

  it("go to the nearest token on the line below and above", () => {
    const { root, token } = opened();
    // Two lines of four tokens.
    for (const [position] of WORDS.entries())
      vi.spyOn(token(position), "getBoundingClientRect").mockReturnValue(
        new DOMRect(50 * (position % 4), 30 * Math.floor(position / 4), 40, 20),
      );
    for (const [position] of WORDS.entries())
      vi.spyOn(token(position), "getClientRects").mockReturnValue([] as unknown as DOMRectList);
    token(2).focus();
    press(token(2), "ArrowDown");
    expect(root.shadowRoot?.activeElement).toBe(token(6));
    press(token(6), "ArrowUp");
    expect(root.shadowRoot?.activeElement).toBe(token(2));
  });

  it("are explained in a line that changes with the selection", async () => {
    const { token, find } = await filled();
    expect(find(".hint").textContent).toContain("Click a token");
    click(token(3));
    await frame();
    expect(find(".hint").textContent).toContain("Alt+click a later token");
    token(4).focus();
    await frame();
    expect(find(".hint").textContent).toContain("Enter reads a token");
  });

  it("announce their result until something else is selected", async () => {
    const { model, token, find } = await filled({ selected_source: 3 });
    click(token(7), { altKey: true });
    await frame();
    expect(find(".hint").textContent).toBe("Cell selected.");
    model.fromKernel({ selected_source: null, selected_target: null });
    await frame();
    expect(find(".hint").textContent).toContain("Click a token");
  });
});

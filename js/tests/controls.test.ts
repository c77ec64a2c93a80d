import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { PROTOCOL_VERSION } from "../src/kernel/protocol";
import { frame, traits } from "./fake";
import { button, closeAll, type Opened, opened, press, type } from "./opened";

afterEach(() => {
  closeAll();
  vi.unstubAllGlobals();
});

describe("direction and statistic", () => {
  it("are chosen by radio buttons, each with a name", () => {
    const { model, find, all } = opened();
    expect(all("legend").map(({ textContent }) => textContent)).toContain("What a click on a token asks");
    find('input[value="column"]').click();
    find('input[value="expected_horizon"]').click();
    expect(model.saved).toEqual([{ direction: "column" }, { statistic: "expected_horizon" }]);
  });

  it("turn a row into the column of the same token", async () => {
    const { model, find } = opened({ selected_source: 3 });
    find('input[value="column"]').click();
    expect(model.saved).toEqual([{ direction: "column", selected_source: null, selected_target: 3 }]);
    await frame();
    expect(find('input[value="column"]')).toMatchObject({ checked: true });
  });

  it("show that a selection is active, and lead back to the statistic", async () => {
    const { model, find } = opened({ selected_source: 3 });
    await frame();
    expect(find(".statistics").hasAttribute("data-inactive")).toBe(true);
    expect(find(".statistic-select")).toMatchObject({ value: "" });
    find('input[value="own_share"]').click();
    await frame();
    expect(model.saved).toEqual([{ selected_source: null }]);
    expect(find(".statistics").hasAttribute("data-inactive")).toBe(false);
    expect(find(".statistic-select")).toMatchObject({ value: "own_share" });
  });

  it("are a list in narrow panes", () => {
    const { model, find } = opened();
    type(find(".statistic-select"), "expected_horizon");
    expect(model.saved).toEqual([{ statistic: "expected_horizon" }]);
  });
});

describe("the layer", () => {
  it("is changed by the slider, and by brackets outside fields", async () => {
    const { model, find } = opened();
    type(find(".layer-slider"), "2");
    press(find(".text"), "]");
    press(find(".text"), "]");
    press(find(".text"), "[", { ctrlKey: true, altKey: true });
    press(find(".find-field"), "[");
    await frame();
    expect(model.saved).toEqual([{ selected_layer: 2 }, { selected_layer: 3 }, { selected_layer: 2 }]);
    expect(find(".layer-label").textContent).toBe("layer 2 of 4");
    expect(find(".layer-slider").getAttribute("aria-valuetext")).toBe("layer 2 of 4");
  });

  it("shows how much of each is computed, and which were not asked for", async () => {
    const layerInfo = traits().layer_info.map((layer, i) => ({ ...layer, n_done: 2 * i }));
    const { all } = opened({ layer_info: layerInfo, layers: [0, 1, 2] });
    await frame();
    const strip = all(".layer-strip i");
    expect(strip.map((cell) => cell.style.getPropertyValue("--share"))).toEqual([
      "0.00",
      "0.25",
      "0.50",
      "0.75",
    ]);
    expect(strip.map((cell) => cell.hasAttribute("data-unasked"))).toEqual([false, false, false, true]);
  });
});

describe("find", () => {
  it("counts the places, steps through them, wraps around, and clears", async () => {
    const { model, find } = opened();
    const field = find(".find-field");
    type(field, "the");
    await frame();
    expect(find(".find-count").textContent).toBe("2 found");
    for (const options of [{}, {}, {}, { shiftKey: true }]) press(field, "Enter", options);
    await frame();
    expect(model.saved.map((changes) => changes["selected_source"]).filter(Boolean)).toEqual([2, 5, 2, 5]);
    expect(find(".find-count").textContent).toBe("2 of 2");
    type(field, "there");
    await frame();
    expect(find(".find-count").textContent).toBe("none");
    press(field, "Escape");
    await frame();
    expect(field).toMatchObject({ value: "" });
    expect(find(".find-count").textContent).toBe("");
    expect(model.saved.at(-1)).toEqual({ find: "" });
  });

  it("reads the place in the chosen direction", () => {
    const { model, find } = opened({ direction: "column", find: "key" });
    press(find(".find-field"), "Enter");
    expect(model.saved).toEqual([{ selected_target: 3 }]);
  });
});

describe("undo", () => {
  it("goes back and forth by keys and buttons, but not in fields", async () => {
    const within = opened();
    const { model, find } = within;
    find('[data-position="3"]').click();
    find('[data-position="4"]').click();
    press(find(".text"), "z", { ctrlKey: true });
    press(find(".find-field"), "z", { ctrlKey: true });
    press(find(".text"), "Z", { metaKey: true, shiftKey: true });
    button(within, "Undo the selection").click();
    press(find(".text"), "y", { ctrlKey: true });
    expect(model.saved.map((changes) => changes["selected_source"])).toEqual([3, 4, 3, 4, 3, 4]);
    await frame();
    expect(button(within, "Redo the selection").getAttribute("aria-disabled")).toBe("true");
    expect(button(within, "Undo the selection").hasAttribute("aria-disabled")).toBe(false);
  });
});

describe("words and arcs", () => {
  it("are switched on and off", async () => {
    const within = opened({ show_arcs: true });
    await frame();
    expect(button(within, "arcs").getAttribute("aria-pressed")).toBe("true");
    button(within, "words").click();
    button(within, "arcs").click();
    await frame();
    expect(within.model.saved).toEqual([{ show_words: true }, { show_arcs: false }]);
    expect(button(within, "words").getAttribute("aria-pressed")).toBe("true");
  });
});

describe("writing on", () => {
  const submit = ({ find }: Opened): void => {
    find(".write-on").dispatchEvent(new Event("submit", { cancelable: true }));
  };

  it("asks for the given number of tokens", async () => {
    const within = opened();
    button(within, "Edit prompt").click();
    await frame();
    submit(within);
    type(within.find(".number"), "7");
    submit(within);
    expect(within.model.asked.slice(1)).toEqual([
      { type: "write_on", n_tokens: 20 },
      { type: "write_on", n_tokens: 7 },
    ]);
  });

  it.each(["0", "1.5", "", "1001"])(
    "shows what is wrong with %j at the field, and sends nothing",
    async (n) => {
      const within = opened();
      button(within, "Edit prompt").click();
      type(within.find(".number"), n);
      submit(within);
      await frame();
      expect(within.model.asked).toHaveLength(1);
      expect(within.find(".write-on .field-error").hidden).toBe(false);
      expect(within.find(".write-on .field-error").textContent).toContain(
        "Give a whole number from 1 to 1000.",
      );
      expect(within.find(".notice").hidden).toBe(true);
      expect(within.find(".number").getAttribute("aria-invalid")).toBe("true");
      expect(within.find(".number").getAttribute("aria-describedby")).toBe(
        within.find(".write-on .field-error").id,
      );
      type(within.find(".number"), "1000");
      submit(within);
      await frame();
      expect(within.model.asked.at(-1)).toEqual({ type: "write_on", n_tokens: 1000 });
      expect(within.find(".write-on .field-error").hidden).toBe(true);
    },
  );
});

describe("copying", () => {
  const answered = async (): Promise<void> => {
    await Promise.resolve();
    await frame();
  };

  it("puts the Python call into the clipboard", async () => {
    const writeText = vi.fn<(text: string) => Promise<void>>().mockResolvedValue();
    vi.stubGlobal("navigator", { clipboard: { writeText } });
    const within = opened({ prompt: 'Anna "kept"' });
    button(within, "Copy as Python").click();
    await answered();
    expect(writeText.mock.calls[0]?.[0]).toContain('hw.HorizonWidget(\n    model,\n    "Anna \\"kept\\"",');
    expect(within.find(".copy-panel").hidden).toBe(true);
  });

  it("shows it selected if the clipboard is refused", async () => {
    vi.stubGlobal("navigator", { clipboard: { writeText: () => Promise.reject(new Error("no")) } });
    const within = opened({ prompt: "Anna" });
    button(within, "Copy as Python").click();
    await answered();
    const panel = within.find(".toolbar .copy-panel");
    const area = within.find(".toolbar .copy-panel textarea") as HTMLTextAreaElement;
    expect(panel.hidden).toBe(false);
    expect(area.value).toContain("import horizon_widget as hw");
    expect(within.shadow.activeElement).toBe(area);
    press(area, "Escape");
    expect(panel.hidden).toBe(true);
    expect(within.shadow.activeElement).toBe(button(within, "Copy as Python"));
  });
});

describe("full screen", () => {
  it("is not offered if the page does not allow it", () => {
    const within = opened();
    expect(document.fullscreenEnabled === true).toBe(false);
    expect(button(within, "Full screen").hidden).toBe(true);
  });
});

describe("progress", () => {
  const progress = { task: "all layers", done: 0.43, seconds_left: 8, filling: "running" as const };

  it("says how much is done and how much remains; stops and resumes", async () => {
    const layerInfo = traits().layer_info.map((layer, i) => ({ ...layer, n_done: i < 2 ? 8 : 3 }));
    const { model, find } = opened({ progress, layer_info: layerInfo });
    expect(find(".progress-words").textContent).toBe(
      "In the background: all layers · 43 % · about 8 s left · 2 of 4 layers done",
    );
    expect(find(".progress-bar").getAttribute("aria-valuenow")).toBe("43");
    find(".progress button").click();
    model.fromKernel({ progress: { ...progress, filling: "stopped", seconds_left: null } });
    await frame();
    expect(find(".progress-words").textContent).toBe("Stopped: all layers · 43 % · 2 of 4 layers done");
    find(".progress button").click();
    expect(model.asked).toEqual([
      { type: "hello", protocol_version: PROTOCOL_VERSION },
      { type: "cancel" },
      { type: "resume" },
    ]);
  });

  it("leaves the rest to the reader if the host is shared, and can cancel a click", async () => {
    const onRequest = { ...progress, seconds_left: null, filling: "on request" as const };
    const { model, find, shadow } = opened({ progress: onRequest });
    const offered = (): unknown =>
      [...shadow.querySelectorAll<HTMLElement>(".progress button span")]
        .filter(({ style }) => style.visibility !== "hidden")
        .map(({ textContent }) => textContent);
    expect(find(".progress-words").textContent).toBe(
      "4 of 4 layers done · the rest on request: the host is shared",
    );
    expect(find(".progress").hasAttribute("data-busy")).toBe(false);
    expect(offered()).toEqual(["Compute the rest"]);
    model.fromKernel({ state: "computing", progress: { ...onRequest, task: "token 3 at every layer" } });
    await frame();
    expect(offered()).toEqual(["Cancel"]);
    find(".progress button").click();
    model.fromKernel({ state: "ready", progress: onRequest });
    await frame();
    find(".progress button").click();
    expect(model.asked.slice(1)).toEqual([{ type: "cancel" }, { type: "resume" }]);
    model.fromKernel({ progress });
    await frame();
    expect(offered()).toEqual(["Cancel"]);
  });

  it("tells a screen reader when it is complete", async () => {
    const { model, all } = opened({ progress });
    await frame();
    model.fromKernel({ progress: { ...progress, done: 1, seconds_left: null, filling: "complete" } });
    await frame();
    const spoken = all("[aria-live]").map(({ textContent }) => textContent);
    expect(spoken).toContain("All 4 layers are computed");
  });

  it("offers no button when everything is computed", () => {
    const { find } = opened({ progress: { ...progress, done: 1, filling: "complete" } });
    expect(find(".progress-words").textContent).toBe("All 4 layers are computed");
    expect(find(".progress button").hidden).toBe(true);
    expect(find(".progress").hasAttribute("data-busy")).toBe(false);
  });
});

describe("status", () => {
  const failure = { title: "n_tokens: too many.", advice: "Use fewer.", detail: "" };

  it("shows an error with its advice and details, as text", () => {
    const error = { title: "No memory", advice: "Use less.", detail: "<b>Traceback</b>" };
    const { root, find } = opened({ state: "error", error });
    expect(root.dataset["state"]).toBe("error");
    expect(find(".notice").getAttribute("role")).toBe("alert");
    expect(find(".notice").textContent).toContain("No memoryUse less.");
    expect(find(".status-detail").textContent).toBe("<b>Traceback</b>");
  });

  it("shows a failure until it is dismissed", async () => {
    const within = opened();
    within.model.tell({ type: "failed", field: "n_tokens", problem: failure });
    await frame();
    expect(within.find(".notice").textContent).toContain("too many");
    button(within, "Dismiss").click();
    await frame();
    expect(within.find(".notice").hidden).toBe(true);
  });

  it("says if the kernel uses another version of the protocol", () => {
    const { root, find } = opened({ protocol_version: PROTOCOL_VERSION + 1 });
    expect(root.dataset["state"]).toBe("error");
    expect(find(".notice").textContent).toContain("use different versions");
    expect(find(".status-detail").textContent).toContain(`kernel: protocol ${PROTOCOL_VERSION + 1}`);
  });

  describe("of a kernel that does not answer", () => {
    beforeEach(() => {
      vi.useFakeTimers({
        toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame"],
      });
    });
    afterEach(() => {
      vi.useRealTimers();
    });

    it("is shown, asks again on request, and ends when it answers", () => {
      const within = opened();
      vi.advanceTimersByTime(3000);
      expect(within.find(".notice").textContent).toContain("The kernel does not answer");
      const before = within.model.sent.length;
      button(within, "Ask again").click();
      expect(within.model.sent.slice(before)).toEqual([expect.objectContaining({ type: "ping" })]);
      const { number } = within.model.sent.at(-1) as { number: number };
      within.model.tell({ type: "pong", number });
      vi.advanceTimersByTime(50);
      expect(within.find(".notice").hidden).toBe(true);
    });
  });

  it("shows a silent kernel before any other problem", () => {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame"],
    });
    const error = { title: "No memory", advice: "Use less.", detail: "" };
    const within = opened({ state: "error", error });
    within.model.tell({ type: "failed", field: null, problem: failure });
    vi.advanceTimersByTime(6000);
    expect(within.find(".notice").textContent).toContain("The kernel does not answer");
    const { number } = within.model.sent.at(-1) as { number: number };
    within.model.tell({ type: "pong", number });
    vi.advanceTimersByTime(50);
    expect(within.find(".notice").textContent).toContain("No memory");
    vi.useRealTimers();
  });

  it("shows how to begin if there is no prompt", () => {
    const { find } = opened({ tokens: [], n_targets: 0, state: "empty" });
    expect(find(".empty").textContent).toBe("No prompt yet: “Edit prompt” takes one.");
  });
});

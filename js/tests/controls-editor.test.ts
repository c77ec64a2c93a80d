import { afterEach, describe, expect, it } from "vitest";
import { LONGEST_TEXT } from "../src/kernel/protocol";
import {
  asMeant,
  choiceValue,
  layersText,
  metricChoice,
  parseLayers,
  tooLong,
} from "../src/views/controls/asking";
import { frame, OFFERED, traits } from "./fake";
import { button, closeAll, type Opened, opened, press, type } from "./opened";

afterEach(closeAll);

const ASKED = traits().asked;

async function editing(changes = {}): Promise<Opened> {
  const within = opened({ prompt: "Anna kept the key", ...changes });
  button(within, "Edit prompt").click();
  await frame();
  return within;
}

const field = ({ find }: Opened, name: string, control: string): HTMLElement =>
  find(`[data-field="${name}"] ${control}`);

describe("the editor", () => {
  it("replaces the text, and shows the question of the map", async () => {
    const within = await editing({
      asked: { ...ASKED, metric: ["contrast", " Paris", " Rome"], baseline: ["counterfactual", "Tom"] },
      layers: [0, 1, 3],
    });
    expect(within.root.hasAttribute("data-editing")).toBe(true);
    expect(within.find(".editor").hidden).toBe(false);
    expect(field(within, "prompt", "textarea")).toMatchObject({ value: "Anna kept the key" });
    expect(within.shadow.activeElement).toBe(field(within, "prompt", "textarea"));
    expect(field(within, "metric", "select")).toMatchObject({ value: "contrast 2" });
    expect(
      within.all('[data-field="metric"] input').map((input) => (input as HTMLInputElement).value),
    ).toEqual([" Paris", " Rome"]);
    expect(field(within, "baseline", "textarea")).toMatchObject({ value: "Tom", hidden: false });
    expect(field(within, "layers", "input")).toMatchObject({ value: "0-1, 3" });
  });

  it("sends unedited tokens unchanged, also those that no field can hold", async () => {
    const asked = { ...ASKED, metric: ["contrast", "\n", "A #68"], baseline: ["zero"] };
    const within = await editing({ asked });
    const [first, second] = within.all('[data-field="metric"] input') as HTMLInputElement[];
    expect(first?.value).toBe("");
    type(field(within, "layers", "input"), "0");
    button(within, "Run").click();
    expect(within.model.asked.at(-1)).toMatchObject({ metric: ["contrast", "\n", "A #68"] });
    type(second as HTMLElement, " Rome");
    button(within, "Run").click();
    expect(within.model.asked.at(-1)).toMatchObject({ metric: ["contrast", "\n", " Rome"] });
    type(first as HTMLElement, " Paris");
    button(within, "Run").click();
    expect(within.model.asked.at(-1)).toMatchObject({ metric: ["contrast", " Paris", " Rome"] });
  });

  it("runs with Ctrl+Enter, and closes when the new map has arrived", async () => {
    const within = await editing();
    const prompt = field(within, "prompt", "textarea");
    type(prompt, "Tom kept\nthe tin");
    type(field(within, "metric", "select"), "logprob 1");
    const [token] = within.all('[data-field="metric"] input');
    type(token as HTMLElement, " key");
    type(field(within, "baseline", "select"), "zero");
    type(field(within, "layers", "input"), "0, 2-3");
    press(prompt, "Enter", { ctrlKey: true });
    expect(within.model.asked.at(-1)).toEqual({
      type: "open",
      prompt: "Tom kept\nthe tin",
      metric: ["logprob", " key"],
      baseline: ["zero"],
      layers: [0, 2, 3],
      n_tokens: 0,
    });
    await frame();
    expect(within.find(".editor").hidden).toBe(false);
    within.model.fromKernel({ map_id: 2, prompt: "Tom kept\nthe tin" });
    await frame();
    await frame();
    expect(within.find(".editor").hidden).toBe(true);
    expect(within.root.hasAttribute("data-editing")).toBe(false);
  });

  it("shows a failure at its field, and keeps the typed text", async () => {
    const within = await editing();
    type(field(within, "prompt", "textarea"), "x");
    button(within, "Run").click();
    const problem = { title: "prompt: it has 1 token.", advice: "Give two.", detail: "" };
    within.model.tell({ type: "failed", field: "prompt", problem });
    await frame();
    const prompt = field(within, "prompt", "textarea");
    expect(prompt.getAttribute("aria-invalid")).toBe("true");
    const told = within.find('[data-field="prompt"] .field-error');
    expect(prompt.getAttribute("aria-describedby")).toContain(told.id);
    expect(told.textContent).toBe("prompt: it has 1 token. Give two.");
    expect(prompt).toMatchObject({ value: "x" });
    expect(within.find(".notice").hidden).toBe(true);
    button(within, "Run").click();
    expect(prompt.hasAttribute("aria-invalid")).toBe(false);
  });

  it("removes the failure of a field when the field changes", async () => {
    const within = await editing();
    type(field(within, "layers", "input"), "0-9");
    button(within, "Run").click();
    const told = within.find('[data-field="layers"] .field-error');
    expect(told.hidden).toBe(false);
    type(field(within, "prompt", "textarea"), "other");
    expect(told.hidden).toBe(false);
    type(field(within, "layers", "input"), "0-3");
    expect(told.hidden).toBe(true);
    button(within, "Run").click();
    const problem = { title: "prompt: it has 1 token.", advice: "Give two.", detail: "" };
    within.model.tell({ type: "failed", field: "prompt", problem });
    await frame();
    type(field(within, "prompt", "textarea"), "another");
    await frame();
    expect(within.find('[data-field="prompt"] .field-error').hidden).toBe(true);
    within.find(".write-on input").setAttribute("value", "0");
    type(within.find(".write-on input"), "0");
    button(within, "Write on").click();
    await frame();
    expect(within.find(".write-on .field-error").hidden).toBe(false);
    type(within.find(".write-on input"), "5");
    await frame();
    expect(within.find(".write-on .field-error").hidden).toBe(true);
  });

  it("sends no prompt that is too long for the kernel", async () => {
    const within = await editing();
    const prompt = field(within, "prompt", "textarea");
    type(prompt, "a".repeat(LONGEST_TEXT + 1));
    button(within, "Run").click();
    expect(within.model.asked).toHaveLength(1);
    expect(within.find('[data-field="prompt"] .field-error').textContent).toContain("at most 1,000,000");
    expect(prompt.getAttribute("aria-invalid")).toBe("true");
    type(prompt, "Tom");
    type(field(within, "baseline", "select"), "counterfactual");
    type(field(within, "baseline", "textarea"), "a".repeat(LONGEST_TEXT + 1));
    button(within, "Run").click();
    expect(within.model.asked).toHaveLength(1);
    expect(within.find('[data-field="prompt"] .field-error').hidden).toBe(true);
    expect(within.find('[data-field="baseline"] .field-error').hidden).toBe(false);
    expect(within.shadow.activeElement).toBe(field(within, "baseline", "select"));
  });

  it("counts characters as Python does", () => {
    expect(tooLong("🔑".repeat(LONGEST_TEXT))).toBeNull();
    expect(tooLong("🔑".repeat(LONGEST_TEXT + 1))).not.toBeNull();
  });

  it("stops waiting when the kernel could not read the message", async () => {
    const within = await editing();
    button(within, "Run").click();
    const note = within.find(".editor-actions [role=status]");
    expect(note.textContent).toContain("Asking the kernel");
    within.model.tell({ type: "rejected", reason: "prompt should be text" });
    await frame();
    expect(note.textContent).toBe("");
    expect(within.find(".notice").textContent).toContain("could not read a message");
  });

  it("leaves failures without a field to the status", async () => {
    const within = await editing();
    within.model.tell({
      type: "failed",
      field: null,
      problem: { title: "No memory", advice: "", detail: "" },
    });
    await frame();
    expect(within.find(".notice").textContent).toContain("No memory");
    expect(within.find(".editor").hidden).toBe(false);
  });

  it("sends no layers that it cannot read", async () => {
    const within = await editing();
    type(field(within, "layers", "input"), "0-9");
    button(within, "Run").click();
    expect(within.model.asked).toHaveLength(1);
    expect(within.find('[data-field="layers"] .field-error').textContent).toContain("There is no layer 9.");
    expect(within.shadow.activeElement).toBe(field(within, "layers", "input"));
  });

  it("discards changes on Escape, and gives the focus back", async () => {
    const within = await editing();
    type(field(within, "prompt", "textarea"), "other");
    press(field(within, "prompt", "textarea"), "Escape");
    await frame();
    await frame();
    expect(within.find(".editor").hidden).toBe(true);
    expect(within.shadow.activeElement).toBe(button(within, "Edit prompt"));
    button(within, "Edit prompt").click();
    await frame();
    expect(field(within, "prompt", "textarea")).toMatchObject({ value: "Anna kept the key" });
  });

  it("keeps what only Python can express", async () => {
    const within = await editing({ asked: { ...ASKED, metric: ["function"], baseline: null } });
    expect(field(within, "metric", "select").textContent).toContain("as set in Python");
    button(within, "Run").click();
    expect(within.model.asked.at(-1)).toMatchObject({ metric: ["function"], baseline: null });
  });
});

describe("line breaks", () => {
  it.each([
    ["a\r\nb\rc\nd", "a\nb\nc\nd", "a\r\nb\rc\nd"],
    ["a\r\nb\r\nc", "a\nb\nx\nc", "a\r\nb\r\nx\nc"],
    ["a\r\nb\r\nc", "a\nx\nc", "a\r\nx\r\nc"],
    ["a\r\nb", "x", "x"],
    ["a\r\nb", "", ""],
    ["", "x\ny", "x\ny"],
    ["aa", "aaa", "aaa"],
    ["🔑\r\n🔒", "🔒\n🔒", "🔒\r\n🔒"],
  ])("of %j, shown and edited as %j, stay outside the edit", (before, typed, meant) => {
    expect(asMeant(typed, before)).toBe(meant);
  });

  it("are sent unchanged", async () => {
    const within = await editing({ prompt: "Anna\r\nkept the key" });
    type(field(within, "prompt", "textarea"), "Anna\nkept the tin");
    button(within, "Run").click();
    expect(within.model.asked.at(-1)).toMatchObject({ prompt: "Anna\r\nkept the tin" });
  });
});

describe("writing on", () => {
  it("continues at once a map that agrees with the editor", async () => {
    const within = await editing();
    button(within, "Write on").click();
    expect(within.model.asked.slice(1)).toEqual([{ type: "write_on", n_tokens: 20 }]);
  });

  it("opens the editor's map first if it is another one", async () => {
    const within = await editing();
    type(field(within, "prompt", "textarea"), "Tom kept the tin");
    button(within, "Write on").click();
    expect(within.model.asked.slice(1)).toMatchObject([
      { type: "open", prompt: "Tom kept the tin", n_tokens: 20 },
    ]);
    within.model.fromKernel({ map_id: 2, prompt: "Tom kept the tin" });
    await frame();
    expect(within.find(".editor").hidden).toBe(true);
  });

  it("sends nothing while a field cannot be read", async () => {
    const within = await editing();
    type(field(within, "layers", "input"), "9");
    button(within, "Write on").click();
    expect(within.model.asked).toHaveLength(1);
    expect(within.find('[data-field="layers"] .field-error').hidden).toBe(false);
  });
});

describe("metrics", () => {
  it("are recognised from what is sent", () => {
    for (const choice of OFFERED.metrics) {
      const sent = [choice.name, ...Array.from({ length: choice.n_tokens }, () => " a")];
      expect(metricChoice(OFFERED, sent)).toBe(choice);
    }
    expect(metricChoice(OFFERED, ["function"])).toBeUndefined();
  });

  it("have different values in the list", () => {
    expect(new Set(OFFERED.metrics.map(choiceValue)).size).toBe(OFFERED.metrics.length);
  });
});

describe("layers", () => {
  it.each([
    ["all", null],
    [" ALL ", null],
    ["", null],
    ["3", [3]],
    ["0-2, 5", [0, 1, 2, 5]],
    ["0 – 2 5;7", [0, 1, 2, 5, 7]],
    ["5, 5, 4-5", [4, 5]],
    ["0-9", null],
  ])("are read: %j", (text, value) => {
    expect(parseLayers(text, 10)).toEqual({ ok: true, value });
  });

  it.each([
    ["x", "“x” is no layer"],
    ["1.5", "“1.5” is no layer"],
    ["-1", "“-1” is no layer"],
    ["10", "There is no layer 10"],
    ["5-2", "The range 5-2 runs backwards"],
    ["0-9999999999", "There is no layer 9999999999"],
  ])("that do not exist are named: %j", (text, title) => {
    expect(parseLayers(text, 10)).toMatchObject({
      ok: false,
      title,
      advice: expect.stringContaining("0 to 9"),
    });
  });

  it("are written in the form that is read", () => {
    for (const layers of [null, [0], [0, 1, 2, 5], [7, 9]])
      expect(parseLayers(layersText(layers), 10)).toEqual({ ok: true, value: layers });
  });
});

/** The page of a remote model: where its request is, and what its host does not allow. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { INITIAL } from "../src/kernel/traits";
import { finding, frame, tellLayer, traits } from "./fake";
import { button, closeAll, filled, type Opened, opened } from "./opened";

afterEach(() => {
  closeAll();
});

describe("the host of a remote model", () => {
  beforeEach(() => {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame", "Date"],
    });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const progress = { task: "layer 1", done: 0.5, seconds_left: 8, filling: "running" as const };
  const computing = (host: string | null): object => ({
    state: "computing",
    progress: { ...progress, host },
  });
  const words = ({ find }: Opened): string => find(".progress-words").textContent ?? "";
  const spoken = ({ find }: Opened): string => find(".page > [aria-live]").textContent ?? "";
  const heard = (within: Opened, host: string | null): void => {
    within.model.fromKernel(computing(host));
    vi.advanceTimersByTime(50);
  };

  it("is shown as it changes, and with its duration after a while", () => {
    const within = opened(computing("sent"));
    expect(words(within)).toBe("Computing layer 1 · 50 % · sent");
    heard(within, "queued, position 3");
    expect(words(within)).toBe("Computing layer 1 · 50 % · queued, position 3");
    vi.advanceTimersByTime(5000);
    expect(words(within)).toBe("Computing layer 1 · 50 % · queued, position 3 · for\u00a05\u00a0s");
    expect(within.find(".progress-bar").getAttribute("aria-valuetext"), "no clock is read out").toBe(
      "Computing layer 1 · 50 % · queued, position 3",
    );
    heard(within, "running");
    expect(words(within)).toBe("Computing layer 1 · 50 % · running");
  });

  it("has its room only if the model is remote", () => {
    const { model, find } = opened();
    expect(find(".progress").hasAttribute("data-remote")).toBe(false);
    model.fromKernel({ asked: { ...traits().asked, remote: true } });
    vi.advanceTimersByTime(50);
    expect(find(".progress").hasAttribute("data-remote")).toBe(true);
  });

  it("leaves no gap between two requests, and ends after the last", () => {
    const within = opened(computing("running"));
    vi.advanceTimersByTime(10_000);
    heard(within, null);
    heard(within, null);
    expect(words(within)).toContain("running");
    heard(within, "running");
    expect(words(within), "another request").toBe("Computing layer 1 · 50 % · running");
    heard(within, null);
    vi.advanceTimersByTime(500);
    expect(words(within)).toBe("Computing layer 1 · 50 % · about 8 s left · 4 of 4 layers done");
  });

  it("is announced once for each state that lasts", () => {
    const within = opened(computing("sent"));
    heard(within, "queued");
    expect(spoken(within)).toBe("");
    vi.advanceTimersByTime(1100);
    expect(spoken(within)).toBe("queued");
    within.find(".page > [aria-live]").textContent = ""; // all that is said from now on
    heard(within, null);
    heard(within, "queued");
    vi.advanceTimersByTime(5000);
    expect(spoken(within), "another request in the same state").toBe("");
    heard(within, "running");
    vi.advanceTimersByTime(1100);
    expect(spoken(within)).toBe("running");
  });

  it("ends with an error, computed values stay, and Resume asks again", () => {
    const within = opened(computing("running"));
    tellLayer(within.model, 1);
    vi.advanceTimersByTime(50);
    const before = within.find(".text").innerHTML;
    const error = { title: "The host was lost.", advice: "Resume tries again.", detail: "Traceback" };
    within.model.fromKernel({
      state: "error",
      error,
      progress: { ...progress, seconds_left: null, filling: "stopped", host: null },
    });
    vi.advanceTimersByTime(500);
    expect(words(within)).toBe("Stopped: layer 1 · 50 % · 4 of 4 layers done");
    expect(within.find(".notice").textContent).toContain("The host was lost.");
    expect(within.find(".text").innerHTML).toBe(before);
    within.find(".progress button").click();
    expect(within.model.asked.at(-1)).toEqual({ type: "resume" });
    within.model.fromKernel({ error: null, ...computing("sent") });
    vi.advanceTimersByTime(50);
    expect(within.find(".notice").hidden).toBe(true);
    expect(words(within)).toBe("Computing layer 1 · 50 % · sent");
  });
});

describe("what the model’s host does not allow", () => {
  const REASON = "This host runs one pass alone.";

  it("disables writing on, and says why", async () => {
    const within = opened({ not_offered: { write_on: REASON } });
    const submit = (): void => {
      within.find(".write-on").dispatchEvent(new Event("submit", { cancelable: true }));
    };
    button(within, "Edit prompt").click();
    await frame();
    const write = button(within, "Write on");
    expect(write.getAttribute("aria-disabled")).toBe("true");
    expect(write).toMatchObject({ disabled: false, title: REASON });
    const reason = within.find(`#${write.getAttribute("aria-describedby") ?? ""}`);
    expect(reason.textContent).toBe(REASON);
    submit();
    expect(within.model.asked).toHaveLength(1);
    within.model.fromKernel({ not_offered: {} });
    await frame();
    expect(write.hasAttribute("aria-disabled")).toBe(false);
    expect(reason.textContent).toContain("become one map");
    submit();
    expect(within.model.asked).toHaveLength(2);
  });

  it("takes away the editor, Cancel and Resume", async () => {
    const progress = { ...INITIAL.progress, task: "layer 1", filling: "stopped" } as const;
    const { model, find } = opened({ progress, not_offered: { open: REASON, resume: REASON } });
    await frame();
    const edit = find(".actions > .swap");
    expect(edit.getAttribute("aria-disabled")).toBe("true");
    expect(edit.title).toBe(REASON);
    edit.click();
    await frame();
    expect(find(".editor").hidden).toBe(true);
    expect(find(".progress .swap").hidden).toBe(true);
    model.fromKernel({ not_offered: {} });
    await frame();
    expect(edit.hasAttribute("aria-disabled")).toBe(false);
    expect(find(".progress .swap").hidden).toBe(false);
  });

  it("replaces the answer about a cell, or the offer of a button", async () => {
    const cell = { selected_layer: 1, selected_source: 3, selected_target: 7 };
    const { model, find } = await filled({ ...cell, not_offered: { direct: REASON, carriers: REASON } });
    expect(find("[data-aspect=direct] .aspect-note").textContent).toBe(REASON);
    expect(find("[data-aspect=direct] .ask").hidden).toBe(true);
    expect(find("[data-aspect=direct] h4").hidden).toBe(false);
    const ask = find("[data-aspect=carriers] .ask");
    expect(ask).toMatchObject({ hidden: false, disabled: false, title: REASON });
    expect(ask.getAttribute("aria-disabled")).toBe("true");
    expect(find(`#${ask.getAttribute("aria-describedby") ?? ""}`).textContent).toBe(REASON);
    ask.click();
    model.tell(finding("direct", undefined, null));
    await frame();
    expect(find("[data-aspect=carriers]").dataset["status"]).toBe("refused");
    expect(find("[data-aspect=direct]").dataset["status"], "the reason says more").toBe("refused");
    model.fromKernel({ not_offered: {} });
    await frame();
    expect(find("[data-aspect=carriers]").dataset["status"], "the click is not kept").toBe("unasked");
    expect(ask.hasAttribute("aria-disabled")).toBe(false);
    expect(ask.hasAttribute("title")).toBe(false);
  });
});

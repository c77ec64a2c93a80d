import { signal } from "@preact/signals-core";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { listen } from "../src/page/dom";
import { Frames } from "../src/page/frames";

let frames: Frames;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["requestAnimationFrame", "cancelAnimationFrame"] });
  frames = new Frames();
});

afterEach(() => {
  frames.dispose();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const nextFrame = (): void => void vi.advanceTimersToNextFrame();

describe("what is watched", () => {
  it("runs once a frame, however many of its signals change", () => {
    const [a, b] = [signal(1), signal(2)];
    const seen: number[] = [];
    frames.watch(() => void seen.push(a.value + b.value));
    expect(seen).toEqual([]);
    nextFrame();
    a.value = 10;
    b.value = 20;
    a.value = 11;
    expect(seen).toEqual([3]);
    nextFrame();
    nextFrame();
    expect(seen).toEqual([3, 31]);
  });

  it("follows only the signals that it read last", () => {
    const [open, inside] = [signal(false), signal(0)];
    const act = vi.fn(() => open.value && inside.value);
    frames.watch(act);
    nextFrame();
    inside.value = 1;
    expect(vi.getTimerCount()).toBe(0);
    open.value = true;
    nextFrame();
    inside.value = 2;
    nextFrame();
    expect(act).toHaveBeenCalledTimes(3);
    open.value = false;
    nextFrame();
    inside.value = 3;
    expect(vi.getTimerCount()).toBe(0);
  });

  it("runs in the order in which it was watched, and in the same frame as its cause", () => {
    const [given, derived] = [signal(1), signal(0)];
    const seen: number[] = [];
    frames.watch(() => {
      derived.value = 2 * given.value;
    });
    frames.watch(() => void seen.push(derived.value));
    nextFrame();
    given.value = 4;
    nextFrame();
    expect(seen).toEqual([2, 8]);
  });

  it("may set what it reads: it runs once more", () => {
    const within = signal(7);
    const act = vi.fn(() => {
      if (within.value > 5) within.value = 5;
    });
    frames.watch(act);
    nextFrame();
    expect(act).toHaveBeenCalledTimes(1);
    nextFrame();
    expect(act).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not follow signals that a listener reads", () => {
    const [pointed, shown] = [signal(0), signal(false)];
    const button = document.createElement("button");
    frames.onDispose(listen(button, "blur", () => void pointed.value));
    const act = vi.fn(() => shown.value && button.dispatchEvent(new FocusEvent("blur")));
    shown.value = true;
    frames.watch(act);
    nextFrame();
    pointed.value = 1;
    expect(vi.getTimerCount()).toBe(0);
  });

  it("continues after an error, as do the others, and the error is reported", () => {
    const reports: (() => void)[] = [];
    vi.spyOn(globalThis, "queueMicrotask").mockImplementation((report) => void reports.push(report));
    const given = signal(0);
    const seen: number[] = [];
    frames.watch(() => {
      if (given.value === 1) throw new Error("odd");
      seen.push(given.value);
    });
    frames.watch(() => void seen.push(10 + given.value));
    for (const value of [0, 1, 2]) {
      given.value = value;
      nextFrame();
    }
    expect(seen).toEqual([0, 10, 11, 2, 12]);
    expect(reports).toHaveLength(1);
    expect(reports[0]).toThrow("odd");
  });

  it("stops when the view is closed, even by one of its own acts", () => {
    const given = signal(0);
    const act = vi.fn(() => given.value);
    frames.watch(() => {
      if (given.value === 2) frames.dispose();
    });
    frames.watch(act);
    nextFrame();
    given.value = 1;
    nextFrame();
    given.value = 2;
    nextFrame();
    given.value = 3;
    frames.flush();
    expect(act).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("an event", () => {
  it("is a change of its signal, and of no other signal that is read", () => {
    const [happened, other] = [signal(0), signal(0)];
    const act = vi.fn(() => other.value);
    frames.on(happened, act);
    nextFrame();
    expect(act).not.toHaveBeenCalled();
    happened.value = 1;
    nextFrame();
    other.value = 1;
    expect(vi.getTimerCount()).toBe(0);
    expect(act).toHaveBeenCalledTimes(1);
  });
});

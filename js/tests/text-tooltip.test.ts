import { afterEach, describe, expect, it, vi } from "vitest";
import { frame } from "./fake";
import { click, closeAll, filled, hover, labelOf } from "./opened";

afterEach(closeAll);

describe("the tooltip", () => {
  it("has the label of the token under the pointer, and shows how its influence spreads", async () => {
    const { token, find } = await filled({ selected_source: 3 });
    hover(token(5));
    await vi.waitFor(() => expect(find(".tooltip").hidden).toBe(false));
    expect(find(".tip-name").textContent).toBe("“ the”, token 5");
    expect(labelOf(token(5))).toBe(`${find(".tip-name").textContent}: ${find(".tip-value").textContent}`);
    expect(find(".profile-own").getAttribute("d")).toMatch(/^M0 /);
    expect(find(".tip-summary").hidden).toBe(false);
    expect(find(".tip-summary").textContent).toContain("only 2 predictions after it");
    hover(token(2));
    await frame();
    expect(find(".tip-value").textContent).toContain("nothing can flow back");
    expect(find(".tip-summary").textContent).toContain("own share 0.50");
  });

  it("does not cover the result of a click", async () => {
    const { token, find } = await filled();
    hover(token(3));
    await vi.waitFor(() => expect(find(".tooltip").hidden).toBe(false));
    click(token(3));
    await frame();
    expect(find(".tooltip").hidden).toBe(true);
    hover(token(4));
    await vi.waitFor(() => expect(find(".tooltip").hidden).toBe(false));
  });

  it("closes when the pointer leaves", async () => {
    const { token, find } = await filled();
    hover(token(5));
    await vi.waitFor(() => expect(find(".tooltip").hidden).toBe(false));
    find(".text").dispatchEvent(new PointerEvent("pointerleave"));
    await vi.waitFor(() => expect(find(".tooltip").hidden).toBe(true));
  });

  it("describes the focused token", async () => {
    const { token, find } = await filled();
    token(2).focus();
    await vi.waitFor(() => expect(find(".tooltip").hidden).toBe(false));
    expect(find(`#${token(2).getAttribute("aria-describedby")}`).textContent).toContain("own share 0.50");
    token(3).focus();
    await frame();
    expect(token(2).hasAttribute("aria-describedby")).toBe(false);
  });
});

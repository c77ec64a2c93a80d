// @vitest-environment node
import { describe, expect, it } from "vitest";
// `npm test` builds it first.
import source from "../../horizon_widget/static/widget.js?raw";

describe("the bundle", () => {
  it("names no host", () => {
    const urls = source.match(/\b(?:https?|wss?):\/\/[^\s"'`)]+/g) ?? [];
    expect(urls.filter((url) => !url.startsWith("http://www.w3.org/"))).toEqual([]);
  });

  it("loads nothing, evaluates nothing and parses no markup", () => {
    for (const forbidden of [
      /\bfetch\(/,
      /XMLHttpRequest/,
      /\bimport\s*\(/,
      /^import\b/m,
      /\beval\(/,
      /new Function\b/,
      /\.innerHTML/,
      /\.outerHTML/,
      /insertAdjacentHTML/,
      /document\.write/,
      /@import/,
    ])
      expect(source).not.toMatch(forbidden);
  });

  it("is small when compressed", async () => {
    const stream = new Blob([source]).stream().pipeThrough(new CompressionStream("gzip"));
    expect((await new Response(stream).arrayBuffer()).byteLength).toBeLessThan(60 * 1024);
  });

  it("is one module with a default export", () => {
    expect(source).toMatch(/export\{\w+ as default\}/);
  });
});

import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vitest/config";

/** Style sheets are text, as in the bundle (see `build.mjs`). */
const cssAsText: Plugin = {
  name: "css-as-text",
  enforce: "pre",
  resolveId(source, importer) {
    if (!source.endsWith(".css") || importer === undefined) return null;
    return `\0${new URL(source, `file://${importer}`).pathname}?text`;
  },
  load(id) {
    if (!id.startsWith("\0") || !id.endsWith(".css?text")) return null;
    return `export default ${JSON.stringify(readFileSync(id.slice(1, -"?text".length), "utf8"))};`;
  },
};

export default defineConfig({
  plugins: [cssAsText],
  // The bundle, and the messages that both sides check, are outside this folder.
  server: { fs: { allow: [".."] } },
  test: { environment: "happy-dom", include: ["tests/**/*.test.ts"] },
});

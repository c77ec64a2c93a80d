// Builds each entry into one module, styles included; `--watch` rebuilds, `--dev` builds the development page.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build, context, transform } from "esbuild";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const dev = process.argv.includes("--dev");

/** Style sheets become text in the module, so that the widget is one file. */
const styles = {
  name: "styles",
  setup({ onLoad }) {
    onLoad({ filter: /\.css$/ }, async ({ path: file }) => {
      const { code } = await transform(await readFile(file, "utf8"), { loader: "css", minify: true });
      return { contents: code, loader: "text" };
    });
  },
};

const options = {
  entryPoints: dev ? [path("dev/page.ts")] : [path("src/widget.ts")],
  outdir: path(dev ? "dev/dist" : "../horizon_widget/static"),
  bundle: true,
  format: dev ? "iife" : "esm",
  target: "es2022",
  plugins: [styles],
  minify: !dev,
  legalComments: "none",
  logLevel: "info",
};

if (process.argv.includes("--watch")) {
  await (await context(options)).watch();
} else {
  await build(options);
}

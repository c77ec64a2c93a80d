/** The development page: the views over made-up values. `?theme=dark&width=800&source=3&target=74&layers=12…` */

import { Store } from "../src/state/store";
import { mount } from "../src/view";
import { MadeUpKernel } from "./kernel";
import { hardTokens, N_LAYERS, storyTokens } from "./story";

const query = new URLSearchParams(location.search);
const integer = (name: string): number | null => (query.has(name) ? Number(query.get(name)) : null);

const dark = query.get("theme") === "dark";
document.documentElement.style.background = dark ? "#131417" : "#ffffff";
document.documentElement.style.colorScheme = dark ? "dark" : "light";
const room = document.createElement("div");
room.style.cssText = `margin: 16px auto; max-width: ${query.get("width") ?? "1160"}px; padding: 0 16px`;
document.body.append(room);

const tokens = query.has("hard") ? hardTokens() : storyTokens(integer("repeat") ?? 1);
const kernel = new MadeUpKernel(
  tokens,
  integer("pace") ?? 0,
  query.has("silent"),
  integer("layers") ?? N_LAYERS,
);
kernel.change({
  selected_layer: integer("layer") ?? 12,
  selected_source: integer("source"),
  selected_target: integer("target"),
  selected_offset: integer("offset"),
  direction: query.get("direction") === "column" ? "column" : "row",
  pinned_sources: (query.get("pins") ?? "").split(",").filter(Boolean).map(Number),
  show_words: query.has("words"),
  show_arcs: query.has("arcs"),
  find: query.get("find") ?? "",
  written_from: integer("written"),
  statistic: query.get("statistic") ?? "own_share",
});
if (query.has("error"))
  kernel.change({
    state: "error",
    error: {
      title: "The model does not fit into memory",
      advice: "Choose a smaller model, or close other notebooks.",
      detail: "RuntimeError: DefaultCPUAllocator: can’t allocate memory: you tried to allocate 538 MB.",
    },
  });
const store = new Store(kernel);
mount(store, room);
store.greet();
Object.assign(window, { kernel, store });

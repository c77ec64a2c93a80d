/** The development page: the views over made-up values. `?theme=dark&width=800&source=3&target=74&layers=12…` */

/** A message from a host, longer than its room, with long paths. */
const REMOTE_TRACEBACK = [
  "Traceback (most recent call last):",
  ...Array.from({ length: 24 }, (_, n) => [
    `  File "/usr/local/lib/python3.11/site-packages/ray/serve/_private/replica_${n}.py", line ${100 + n}, in call`,
    "    return await self._user_callable_wrapper.call_user_method(request_metadata, request_args, request_kwargs)",
  ]).flat(),
  "RuntimeError: The size of tensor a (9) must match the size of tensor b (8) at non-singleton dimension 1",
].join("\n");
const REASON = "This host runs the model in a sandbox, where no attention mask can be changed.";

import { INITIAL } from "../src/kernel/traits";
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
kernel.change({
  asked: { ...INITIAL.asked, remote: query.has("host") || query.get("error") === "remote" },
  not_offered: Object.fromEntries((query.get("not") ?? "").split(",").map((name) => [name, REASON])),
});
const store = new Store(kernel);
mount(store, room);
store.kernel.greet();
// Computed values stay.
if (query.has("host"))
  kernel.change({
    state: "computing",
    progress: { task: "layer 12", done: 0.43, seconds_left: 8, filling: "running", host: query.get("host") },
  });
if (query.get("error") === "remote")
  kernel.change({
    state: "error",
    error: {
      title: "The host ndif.example failed while it computed: RuntimeError.",
      advice: "Computed values are kept; Resume tries again.",
      detail: REMOTE_TRACEBACK,
    },
    progress: { task: "layer 12", done: 0.43, seconds_left: null, filling: "stopped", host: null },
  });
else if (query.has("error"))
  kernel.change({
    state: "error",
    error: {
      title: "The model does not fit into memory",
      advice: "Choose a smaller model, or close other notebooks.",
      detail: "RuntimeError: DefaultCPUAllocator: can’t allocate memory: you tried to allocate 538 MB.",
    },
  });
Object.assign(window, { kernel, store });

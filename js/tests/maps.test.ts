/** A view draws the map that it is given; what is looked at is shared. */

import { signal } from "@preact/signals-core";
import { afterEach, expect, it } from "vitest";
import { InfluenceMap } from "../src/state/map";
import type { Store } from "../src/state/store";
import { mount } from "../src/view";
import { frame, influence, openStore, tellMap, traits, WORDS } from "./fake";

const close: (() => void)[] = [];

afterEach(() => {
  for (const each of close.splice(0)) each();
});

function shown(store: Store, map: InfluenceMap): ShadowRoot {
  const el = document.createElement("div");
  document.body.append(el);
  close.push(mount(store, el, map), () => el.remove());
  const root = el.querySelector(".horizon-widget")?.shadowRoot;
  if (root === null || root === undefined) throw new Error("no root");
  return root;
}

it("two maps are drawn side by side, each with its own tokens, values and state", async () => {
  const { model, store } = openStore();
  close.push(() => store.dispose());
  const { main } = store.maps;
  const tokens = WORDS.map((text, word) => ({ text: text.toUpperCase(), piece: null, id: null, word }));
  const error = { title: "No memory", advice: "", detail: "" };
  const other = new InfluenceMap(
    {
      ...store.traits,
      map_id: signal(2),
      tokens: signal(tokens),
      error: signal(error),
      not_offered: signal({ open: "It is compared with another one." }),
    },
    store.traits,
  );
  const [left, right] = [shown(store, main), shown(store, other)];
  tellMap(model);
  other.receive({
    type: "values",
    map_id: 2,
    layer: 1,
    sources: [3],
    n_targets: WORDS.length - 1,
    influence: Float32Array.from(WORDS.slice(1), (_, c) => -influence(1, 3, c + 1)),
    statistics: new Float32Array(traits().statistics.length),
  });
  left.querySelector<HTMLElement>('.text [data-position="3"]')?.click();
  await frame();
  const label = (root: ShadowRoot): string | null | undefined =>
    root.querySelector('.text [data-position="7"]')?.getAttribute("aria-label");
  expect(label(left)).toContain("+3.76 nats");
  expect(label(right)).toContain("−3.76 nats");
  expect(label(right)).toContain("KEY");
  expect(left.querySelector<HTMLElement>(".notice")?.hidden).toBe(true);
  expect(right.querySelector(".notice")?.textContent).toContain("No memory");
  expect(right.querySelector(".actions > .swap")?.getAttribute("title")).toContain("compared");
});

/** After any change, the page looks as if it had been opened just now. */

import { afterEach, describe, expect, it, vi } from "vitest";
import type { Traits } from "../src/kernel/protocol";
import { frame, traits } from "./fake";
import { closeAll, filled, type Opened } from "./opened";

afterEach(closeAll);

const { statistics, layer_info: layers, tokens } = traits();
/** A statistic whose colours end at the layer's greatest value. */
const OPEN_ENDED = statistics.map((statistic) => ({ ...statistic, high: null }));
const QUERY = { ...traits().query, unit: "bits" };
/** The greatest value that arrives is that of token 3. */
const CHANGES: readonly Partial<Traits>[] = [
  { sinks: [3] },
  { sinks: [0, 5], include_sinks: true },
  { window: 2 },
  { window: null },
  { query: QUERY },
  { tokens: tokens.map((token) => ({ ...token, text: token.text.toUpperCase() })) },
  { layer_info: layers.map((layer) => ({ ...layer, shock: true, noise_floor: 0.3 })) },
  { written_from: 6 },
  { find: "key" },
  { pinned_sources: [2] },
  { show_words: true },
  { show_arcs: false },
  { fixed_scale: 8 },
  { layers: [1] },
  { state: "computing" },
  { not_offered: { carriers: "Not here.", write_on: "Not here either." } },
  { statistics: OPEN_ENDED.map((statistic) => ({ ...statistic, label: "another" })) },
];
const READINGS: Readonly<Record<string, Partial<Traits>>> = {
  statistic: {},
  row: { selected_source: 2 },
  offset: { selected_offset: 2 },
  cell: { direction: "column", selected_source: 2, selected_target: 6 },
};
/** Pins, sinks, arcs and such exist from the start, so that they could become stale. */
const START: Partial<Traits> = {
  statistics: OPEN_ENDED,
  sinks: [0],
  pinned_sources: [1, 3],
  show_arcs: true,
  find: "the",
};

/** Words, attributes in one order, and colours of the page; neither hidden text nor announcements. */
function shownBy({ shadow }: Opened): string {
  const page = shadow.querySelector(".page")?.cloneNode(true) as Element;
  for (const element of page.querySelectorAll("[hidden], [aria-live]")) element.remove();
  const lines = [...page.querySelectorAll<HTMLElement>("*")].map((element) => {
    const attributes = [...element.attributes]
      .filter(({ name }) => !["id", "for", "aria-describedby", "style"].includes(name))
      .map(({ name, value }) => `${name}=${value}`);
    const words = element.childElementCount === 0 ? element.textContent : "";
    return [element.localName, ...attributes.sort(), element.style?.backgroundColor, words].join(" ");
  });
  return lines.join("\n");
}

describe("the legend", () => {
  it("follows the attention sinks that its scale leaves out", async () => {
    const { model, find } = await filled({ statistics: OPEN_ENDED });
    expect(find(".legend-high").textContent).toBe("0.8");
    model.fromKernel({ sinks: [3] });
    await frame();
    expect(find(".legend-high").textContent).toBe("0.5");
    model.fromKernel({ include_sinks: true });
    await frame();
    expect(find(".legend-high").textContent).toBe("0.8");
  });

  it("says why a token has no value, in the window of the map", async () => {
    const { model, find } = await filled({ window: 2 });
    model.fromKernel({ window: 4 });
    await frame();
    expect(find('[data-key="none"]').textContent).toContain("fewer than 4 later tokens");
  });
});

describe("a view", () => {
  it.each(Object.keys(READINGS))(
    "read by %s always equals one opened just now",
    async (reading) => {
      let now: Partial<Traits> = { ...START, ...READINGS[reading] };
      const followed = await filled(now);
      for (const change of CHANGES) {
        now = { ...now, ...change };
        followed.model.fromKernel(change);
        const fresh = await filled(now);
        // The summary of the map is updated a few times a second.
        const compared = (): void => expect(shownBy(followed), JSON.stringify(change)).toBe(shownBy(fresh));
        await vi.waitFor(compared, 3000);
      }
    },
    60_000,
  );
});

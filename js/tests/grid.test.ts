import { afterEach, describe, expect, it, vi } from "vitest";
import { Frames } from "../src/page/frames";
import {
  cornerOf,
  evenly,
  indexOf,
  labelled,
  layOut,
  type Place,
  placeAt,
  step,
  within,
} from "../src/views/grid/geometry";
import { GridView } from "../src/views/grid/grid";
import type { Picture } from "../src/views/grid/picture";
import { COLUMNS_AT_ONCE } from "../src/views/grid/table";

afterEach(() => {
  document.body.replaceChildren();
  vi.restoreAllMocks();
});

describe("geometry", () => {
  it("has whole pixels, neither too small nor too large", () => {
    expect(layOut(30, 81, 860)).toEqual({ nRows: 30, nColumns: 81, width: 10, height: 10 });
    expect(layOut(30, 81, 256).width).toBe(4);
    expect(layOut(30, 1000, 800).width).toBe(4);
    expect(layOut(4, 2, 800)).toMatchObject({ width: 48, height: 20 });
    expect(layOut(0, 0, 0)).toMatchObject({ nRows: 0, nColumns: 0 });
  });

  it("finds cells under points, row 0 at the bottom", () => {
    const shape = layOut(30, 81, 860);
    expect(placeAt(shape, 0, 0)).toEqual({ row: 29, column: 0 });
    expect(placeAt(shape, 705, 175)).toEqual({ row: 12, column: 70 });
    expect(placeAt(shape, 809, 299)).toEqual({ row: 0, column: 80 });
    expect(placeAt(shape, 810, 10)).toBeNull();
    expect(placeAt(shape, -1, 10)).toBeNull();
    expect(placeAt(shape, 5, 300)).toBeNull();
    expect(cornerOf(shape, { row: 12, column: 70 })).toEqual({ x: 700, y: 170 });
    expect(indexOf(shape, { row: 29, column: 3 })).toBe(3);
    expect(indexOf(shape, { row: 0, column: 0 })).toBe(29 * 81);
    expect(within(shape, { row: 30, column: -1 })).toEqual({ row: 29, column: 0 });
  });

  it("moves the cursor by keys, and never out of the grid", () => {
    const shape = layOut(30, 81, 860);
    const from = { row: 12, column: 4 };
    expect(step("ArrowUp", false, from, shape)).toEqual({ row: 13, column: 4 });
    expect(step("ArrowLeft", true, from, shape)).toEqual({ row: 12, column: 0 });
    expect(step("ArrowRight", true, from, shape)).toEqual({ row: 12, column: 14 });
    expect(step("Home", false, from, shape)).toEqual({ row: 12, column: 0 });
    expect(step("End", false, from, shape)).toEqual({ row: 12, column: 80 });
    expect(step("PageUp", false, from, shape)).toEqual({ row: 20, column: 4 });
    expect(step("PageDown", false, { row: 3, column: 4 }, shape)).toEqual({ row: 0, column: 4 });
    expect(step("a", false, from, shape)).toBeNull();
    expect(step("constructor", false, from, shape)).toBeNull();
  });

  it("labels the strongest columns without overlap", () => {
    expect(labelled([5, 4, 1, 3], 10, 13, 2)).toEqual([0, 3]);
    expect(labelled([5, 4, 1, 3], 20, 13, 2)).toEqual([0, 1, 3]);
    expect(labelled([5, 4, 1, 3], 10, 13, 2, [2])).toEqual([0, 2]);
    expect(labelled([0, 0], 10, 13, 0, [-3, 9])).toEqual([]);
    expect(labelled([3, 2, 1], 20, (index) => (index === 0 ? 50 : 10), 0)).toEqual([0, 2]);
    const many = labelled(
      Array.from({ length: 1000 }, (_, i) => 1 + ((i * 7919) % 1000)),
      4,
      13,
      0,
    );
    expect(many.length).toBeGreaterThan(100);
    expect(many.slice(1).every((column, i) => (column - (many[i] ?? 0)) * 4 >= 13)).toBe(true);
  });

  it("labels numbers evenly, including the last", () => {
    expect(labelled(evenly(30, 10, 13), 10, 13, 0)).toEqual([0, 5, 10, 15, 20, 25, 29]);
    expect(labelled(evenly(4, 20, 13), 20, 13, 0)).toEqual([0, 2, 3]);
  });
});

function picture(nRows: number, nColumns: number, changes: Partial<Picture> = {}): Picture {
  return {
    name: "A grid.",
    caption: "Its numbers",
    corner: "layer",
    rows: { count: nRows, label: String, name: (row) => `layer ${row}` },
    columns: {
      count: nColumns,
      label: (column) => `c${column}`,
      name: (column) => `column ${column}`,
      strengths: new Float32Array(nColumns).fill(1),
    },
    pixels: new Uint8ClampedArray(4 * nRows * nColumns),
    known: new Uint8Array(nRows * nColumns).fill(1),
    paper: [255, 255, 255],
    hatched: () => false,
    value: ({ row, column }) => `${row}/${column}`,
    words: ({ row, column }) => `row ${row}, column ${column}`,
    ...changes,
  };
}

interface Shown {
  readonly grid: GridView;
  readonly find: (selector: string) => HTMLElement;
  readonly all: (selector: string) => HTMLElement[];
  readonly press: (key: string) => KeyboardEvent;
  readonly pointed: (Place | null)[];
  readonly selected: Place[];
  readonly left: () => number;
}

/** A grid whose owner marks the cell under the pointer. */
function shown(first: Picture): Shown {
  const pointed: (Place | null)[] = [];
  const selected: Place[] = [];
  let left = 0;
  const grid: GridView = new GridView({
    frames: new Frames(),
    canvas: "cells",
    upright: true,
    onPoint: (place) => {
      pointed.push(place);
      grid.mark({ row: 0, cell: null, cursor: place });
    },
    onSelect: (place) => selected.push(place),
    onLeave: () => {
      left += 1;
    },
  });
  document.body.append(grid.element);
  grid.show(first);
  const all = (selector: string): HTMLElement[] => [...grid.element.querySelectorAll<HTMLElement>(selector)];
  const find = (selector: string): HTMLElement => {
    const [found] = all(selector);
    if (found === undefined) throw new Error(`no ${selector}`);
    return found;
  };
  const press = (key: string): KeyboardEvent => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
    find(".plot").dispatchEvent(event);
    return event;
  };
  return { grid, find, all, press, pointed, selected, left: () => left };
}

describe("a grid", () => {
  it("gives the pixels to the canvas unchanged, one for each cell", () => {
    const drawn: { data: Uint8ClampedArray; width: number; height: number }[] = [];
    vi.stubGlobal(
      "ImageData",
      class {
        constructor(
          readonly data: Uint8ClampedArray,
          readonly width: number,
          readonly height: number,
        ) {}
      },
    );
    vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue({
      putImageData: (image: (typeof drawn)[number]) => drawn.push(image),
    } as unknown as never);
    const pixels = Uint8ClampedArray.from({ length: 4 * 3 * 2 }, (_, i) => i);
    const { grid } = shown(picture(3, 2, { pixels }));
    expect(grid.canvas).toMatchObject({ width: 2, height: 3, className: "grid-cells cells" });
    expect(drawn).toEqual([{ data: pixels, width: 2, height: 3 }]);
    vi.unstubAllGlobals();
  });

  it("has a grain where values are missing, and a hatch where they are unreliable", () => {
    const known = Uint8Array.from([1, 1, 0, 1, 0, 0]);
    const { grid, find, all } = shown(picture(3, 2, { known, hatched: (row) => row === 2 }));
    expect(all(".ground > *").map(({ className }) => className)).toEqual(["shock", "pending", "pending"]);
    expect(find(".grid-veil").hidden).toBe(false);
    grid.show(picture(3, 2));
    expect(all(".ground > *").map(({ className }) => className)).toEqual(["done", "done", "done"]);
    expect(find(".grid-veil").hidden).toBe(true);
  });

  it("is one stop of the Tab key; arrows move its cursor, and a screen reader hears it", () => {
    const { press, find, pointed, selected, left } = shown(picture(3, 20));
    expect(find(".plot").tabIndex).toBe(0);
    expect(find(".plot").getAttribute("aria-label")).toContain("A grid.");
    expect(press("ArrowRight").defaultPrevented).toBe(true);
    expect(pointed).toEqual([{ row: 0, column: 0 }]);
    press("ArrowRight");
    press("ArrowUp");
    expect(find("[aria-live]").textContent).toBe("row 1, column 1");
    press("End");
    expect(find("[aria-live]").textContent).toBe("row 1, column 19");
    press("Enter");
    expect(selected).toEqual([{ row: 1, column: 19 }]);
    expect(press("x").defaultPrevented).toBe(false);
    press("Escape");
    expect(left()).toBe(1);
    expect(pointed.at(-1)).toBeNull();
  });

  it("always labels the row and column of the cursor, and moves neighbours aside", () => {
    const { grid, find, all } = shown(picture(3, 20));
    grid.mark({ row: 2, cell: null, cursor: { row: 1, column: 7 } });
    expect(find(".row-labels .here").textContent).toBe("1");
    expect(find(".column-labels .here").textContent).toBe("c7");
    const hidden = all(".column-labels span:not(.here)").filter(({ style }) => style.visibility === "hidden");
    expect(hidden.length).toBeGreaterThan(0);
    grid.mark({ row: 2, cell: null, cursor: null });
    expect(find(".column-labels .here").hidden).toBe(true);
    expect(find(".row-labels .here").textContent).toBe("2");
    expect(hidden.every(({ style }) => style.visibility === "")).toBe(true);
  });

  it("frames the marked cells and no others", () => {
    const { grid, find } = shown(picture(3, 20));
    grid.mark({ row: 2, cell: { row: 0, column: 19 }, cursor: null });
    expect(find(".row-frame").hidden).toBe(false);
    expect(find(".cell-frame").style.left).toBe("76px");
    expect(find(".cell-frame").style.top).toBe("40px");
    expect(find(".cursor-frame").hidden).toBe(true);
    // A cell of a grid that is no longer shown.
    grid.show(picture(3, 5));
    expect(find(".cell-frame").hidden).toBe(true);
  });

  it("has a bar for each row, in the order of the rows, that can be clicked", () => {
    const rows: number[] = [];
    const grid = new GridView({
      frames: new Frames(),
      canvas: "cells",
      upright: false,
      onPoint: () => undefined,
      onSelect: () => undefined,
      onSelectRow: (row) => rows.push(row),
    });
    const sums = [0.2, 1].map((share, row) => ({
      share,
      text: `${row}`,
      words: `sum ${row}`,
      hatched: row === 0,
    }));
    grid.show(picture(2, 5, { sums, sumsName: "sum" }));
    const bars = [...grid.element.querySelectorAll<HTMLElement>(".row-sum")];
    expect(bars.map(({ title }) => title)).toEqual(["sum 1", "sum 0"]);
    expect(bars.map((bar) => bar.hasAttribute("data-hatched"))).toEqual([false, true]);
    bars[0]?.click();
    expect(rows).toEqual([1]);
  });

  it("continues from where the last key led, however fast keys come", () => {
    const chosen: unknown[] = [];
    const grid = new GridView({
      frames: new Frames(),
      canvas: "cells",
      upright: false,
      onPoint: () => undefined,
      onSelect: (place) => chosen.push(place),
    });
    grid.show(picture(3, 5));
    const plot = grid.element.querySelector(".plot");
    for (const key of ["ArrowRight", "End", "ArrowUp", "Enter"])
      plot?.dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
    expect(chosen).toEqual([{ row: 1, column: 4 }]);
  });
});

describe("the same numbers as a table", () => {
  const sums = [0, 1, 2].map((row) => ({ share: 1, text: `Σ${row}`, words: "", hatched: false }));

  it("are made when it is opened, with headings for rows and columns", () => {
    const { find, all, grid } = shown(picture(3, 4, { sums, sumsName: "sum" }));
    const toggle = find(".grid-table button");
    expect(all("td")).toHaveLength(0);
    expect(toggle.getAttribute("aria-expanded")).toBe("false");
    toggle.click();
    expect(toggle.getAttribute("aria-expanded")).toBe("true");
    expect(find("caption").textContent).toBe("Its numbers");
    expect(all("th[scope=col]").map(({ textContent }) => textContent)).toEqual([
      "column 0",
      "column 1",
      "column 2",
      "column 3",
      "sum",
    ]);
    expect(all("th[scope=row]").map(({ textContent }) => textContent)).toEqual([
      "layer 2",
      "layer 1",
      "layer 0",
    ]);
    expect(find("tbody tr").textContent).toBe("layer 22/02/12/22/3Σ2");
    const cell = all("tbody td")[1];
    grid.show(picture(3, 4, { sums, value: () => "new" }));
    expect(cell?.textContent).toBe("new");
    toggle.click();
    expect(all("tbody td")).toHaveLength(0);
  });

  it("show some columns at a time, beginning with those of the selected cell", () => {
    const { find, all, grid } = shown(picture(2, 1000));
    grid.mark({ row: 0, cell: { row: 0, column: 500 }, cursor: null });
    find(".grid-table button").click();
    const heads = (): (string | null)[] => all("th[scope=col]").map(({ textContent }) => textContent);
    expect(heads()).toHaveLength(COLUMNS_AT_ONCE);
    expect(heads()).toContain("column 500");
    const [before, after] = all(".grid-table-pages button");
    after?.click();
    expect(heads()[0]).toBe("column 504");
    before?.click();
    before?.click();
    expect(heads()[0]).toBe("column 480");
    expect(find("[role=status]").textContent).toBe("Columns 481 to 492 of 1000");
    grid.show(picture(2, 5));
    expect(heads()).toHaveLength(5);
    expect(find(".grid-table-pages").hidden).toBe(true);
  });
});

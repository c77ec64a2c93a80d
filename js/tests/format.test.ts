import { describe, expect, it } from "vitest";
import {
  duration,
  mark,
  number,
  parts,
  quote,
  quoteAll,
  shortLabel,
  signed,
  withUnit,
} from "../src/page/format";

const shown = (text: string): string =>
  parts({ text, piece: null, id: null, word: 0 })
    .map(({ mark: isMark, text: part }) => (isMark ? `[${part}]` : part))
    .join("");

describe("tokens", () => {
  it.each([
    [" key", " key"],
    ["\n", "[↵\n]"],
    ["):\n\n", "):[↵\n↵\n]"],
    ["\tx", "[⇥\t]x"],
    ["\u0000a\u001b", "[␀]a[␛]"],
    ["\u007f", "[␡]"],
    ["\u0085", "[⟨U+0085⟩]"],
    ["a\u202eb", "a[⟨U+202E⟩]b"],
    ["\u200b", "[⟨U+200B⟩]"],
    ["\ufeff", "[⟨U+FEFF⟩]"],
    ["\u{e0041}", "[⟨U+E0041⟩]"],
    ["\ud800", "[⟨U+D800⟩]"],
    ["<b>&amp;", "<b>&amp;"],
    ["❤️", "❤️"],
    ["👩‍🚀", "👩‍🚀"],
    ["שלום", "שלום"],
    ["", "[∅]"],
    ["�", "�"],
  ])("%j", (text, expected) => {
    expect(shown(text)).toBe(expected);
  });

  it("that share a character show it once", () => {
    expect(parts({ text: "🙂", piece: [1, 2], id: null, word: 0 })).toEqual([{ mark: false, text: "🙂" }]);
    expect(parts({ text: "🙂", piece: [2, 2], id: null, word: 0 })).toEqual([{ mark: true, text: "·" }]);
  });

  it("are quoted on one line", () => {
    expect(quote({ text: " key", piece: null, id: null, word: 0 })).toBe("“ key”");
    expect(quote({ text: "\n", piece: null, id: null, word: 0 })).toBe("“↵”");
    expect(quote({ text: "é", piece: [2, 2], id: null, word: 0 })).toBe("“é”, piece 2 of 2");
    expect(quote({ text: "a".repeat(80), piece: null, id: null, word: 0 })).toHaveLength(26);
    expect(quote(undefined)).toBe("“?”");
  });

  it("that look like another one are shown with their id", () => {
    const token = { text: "A", piece: null, id: 318, word: 0 };
    expect(quote(token)).toBe("“A” #318");
    expect(quote({ ...token, text: "A".repeat(80) })).toMatch(/…” #318$/u);
    expect(quoteAll([token])).toBe("“A” #318");
    expect(shortLabel(token, 8)).toBe("A #318");
    expect(shortLabel({ ...token, text: "é", piece: [1, 2], id: null }, 8)).toBe("é 1/2");
    expect(shortLabel({ ...token, text: " ", id: null }, 8)).toBe("␣");
  });

  it("are quoted as the word that they make", () => {
    const word = ["libr", "🙂", "🙂", "an"].map((text, i) => ({
      text,
      piece: text === "🙂" ? ([i, 2] as const) : null,
      id: null,
      word: 0,
    }));
    expect(quoteAll(word)).toBe("“libr🙂an”");
    expect(quoteAll(word.slice(1, 2))).toBe("“🙂”, piece 1 of 2");
    expect(quoteAll([])).toBe("“?”");
  });
});

describe("numbers", () => {
  it.each([
    [0, "0"],
    [3.759, "+3.76"],
    [-3.759, "−3.76"],
    [0.2, "+0.20"],
    [31.84, "+31.8"],
    [-0.0042, "−0.0042"],
    [0.0000123, "+0.000012"],
    [1402.5, "+1403"],
    [9.996, "+10.0"],
    [16, "+16"],
    [-8.3e-12, "−8e−12"],
  ])("%d", (value, expected) => {
    expect(signed(value)).toBe(expected);
  });

  it("carry their unit", () => {
    expect(withUnit(number(0.2), "")).toBe("0.20");
    expect(withUnit(number(31.8), "tokens")).toBe("31.8 tokens");
    expect([mark(0), mark(16), mark(2.5), mark(-1)]).toEqual(["0", "16", "2.5", "−1"]);
  });

  it("give approximate times", () => {
    expect([duration(0.2), duration(8.3), duration(130), duration(8000)]).toEqual([
      "less than 1 s",
      "about 8 s",
      "about 2 min",
      "about 2 h",
    ]);
  });
});

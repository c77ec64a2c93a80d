/** Colours of data. Zero is the background. Opacity shows strength, on a square-root scale. Ink stays readable. */

export type Rgb = readonly [number, number, number];
export type Theme = "light" | "dark";

export interface Palette {
  /** Positive influence: needed. */
  readonly needed: Rgb;
  /** Negative influence: removal would help. */
  readonly hindering: Rgb;
  /** Statistics. */
  readonly amount: Rgb;
}

/**
 * Blue and orange have the same lightness and chroma (OKLCH .52 .13 and .72 .13), so that neither sign looks stronger.
 * They differ in the common forms of colour blindness, which spare the blue–yellow axis. The teal is no darker than the
 * page's ink allows.
 */
export const PALETTES: { readonly [T in Theme]: Palette } = {
  light: { needed: [46, 105, 178], hindering: [162, 78, 16], amount: [57, 155, 149] },
  dark: { needed: [106, 167, 244], hindering: [228, 139, 83], amount: [23, 114, 109] },
};

/**
 * Colours of pinned tokens, in order. They differ from each other and from the colours of influence in the common forms
 * of colour blindness (by OKLab .13 and .07 at least), with a contrast of 3 : 1 to the paper. Each pin also has a number.
 */
export const PIN_COLOURS: { readonly [T in Theme]: readonly Rgb[] } = {
  light: [
    [80, 0, 78],
    [167, 140, 65],
    [76, 39, 159],
    [119, 90, 98],
  ],
  dark: [
    [194, 75, 161],
    [210, 236, 125],
    [239, 163, 199],
    [132, 133, 56],
  ],
};

/** The colour of the pin with this number, counted from 0. */
export function pinColour(theme: Theme, number: number): Rgb {
  const colours = PIN_COLOURS[theme];
  return colours[number % colours.length] ?? BLACK;
}

/** Opacity 0..255 of a signed value. The square root makes small values visible; the hue shows the sign. */
export function alphaOf(value: number, scale: number): number {
  const alpha = Math.round(255 * Math.sqrt(Math.min(1, Math.abs(value) / scale)));
  return Number.isNaN(alpha) ? 0 : alpha;
}

/** Opacity 0..255 of a statistic between its `low` and `high`. */
export function amountAlpha(value: number, low: number, high: number): number {
  const share = high > low ? (value - low) / (high - low) : 0;
  return Math.round(255 * Math.min(1, Math.max(0, share)));
}

/** `colour` at opacity `alpha` (0..255) over `paper`. */
export function over(colour: Rgb, alpha: number, paper: Rgb): Rgb {
  const mix = (c: number, p: number): number => p + ((c - p) * alpha) / 255;
  return [mix(colour[0], paper[0]), mix(colour[1], paper[1]), mix(colour[2], paper[2])];
}

/** Relative luminance (WCAG 2). */
export function luminance([r, g, b]: Rgb): number {
  const linear = (channel: number): number => {
    const c = channel / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}

export function contrast(a: Rgb, b: Rgb): number {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

const READABLE = 4.5;
const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];

/** The page's ink where it is readable on `ground`; else its opposite; else black or white. */
export function inkOn(ground: Rgb, ink: Rgb): Rgb {
  const [opposite, last] = luminance(ink) < 0.18 ? [WHITE, BLACK] : [BLACK, WHITE];
  return [ink, opposite].find((candidate) => contrast(candidate, ground) >= READABLE) ?? last;
}

export function css(colour: Rgb, alpha = 255): string {
  const [r, g, b] = colour.map(Math.round);
  return alpha === 255
    ? `rgb(${r}, ${g}, ${b})`
    : `rgba(${r}, ${g}, ${b}, ${Number((alpha / 255).toFixed(4))})`;
}

/** Parses a computed colour; null where it is none or transparent. */
export function opaque(value: string): Rgb | null {
  const hex = /^\s*#([0-9a-f]{6}|[0-9a-f]{3})\s*$/i.exec(value)?.[1];
  if (hex !== undefined) {
    const full = hex.length === 3 ? [...hex].map((digit) => digit + digit).join("") : hex;
    const bits = Number.parseInt(full, 16);
    return [bits >> 16, (bits >> 8) & 255, bits & 255];
  }
  const parts = /^\s*(rgba?|color)\(\s*(srgb )?([^)]*)\)\s*$/.exec(value);
  if (parts === null || (parts[1] === "color" && parts[2] === undefined)) return null;
  const numbers = (parts[3] ?? "").split(/[\s,/]+/).map((part) => Number.parseFloat(part));
  const [r, g, b, alpha = 1] = numbers;
  if (r === undefined || g === undefined || b === undefined || alpha < 0.5) return null;
  const unit = parts[1] === "color" ? 255 : 1;
  return [r * unit, g * unit, b * unit];
}

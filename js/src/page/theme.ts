/** The theme (light or dark) of the page around the widget, and the colours for it. */

import { type ReadonlySignal, signal } from "@preact/signals-core";
import { luminance, opaque, PALETTES, type Palette, type Rgb, type Theme } from "./colour";

export interface Surroundings {
  readonly theme: Theme;
  readonly paper: Rgb;
  readonly ink: Rgb;
  readonly palette: Palette;
}

const PAPERS: { readonly [T in Theme]: Rgb } = { light: [255, 255, 255], dark: [24, 25, 28] };
const INKS: { readonly [T in Theme]: Rgb } = { light: [27, 28, 31], dark: [232, 232, 234] };
/** Custom properties in which hosts give the background of their output, where they paint none. */
const HOST_PAPERS = [
  "--jp-layout-color0",
  "--vscode-notebook-editorBackground",
  "--vscode-editor-background",
];
/** Attributes that hosts change when they switch themes. */
const SWITCHES = [
  "class",
  "style",
  "data-theme",
  "data-color-mode",
  "data-jp-theme-light",
  "data-vscode-theme-kind",
];

export function look(element: Element): Surroundings {
  const paper = paperBehind(element) ?? PAPERS[prefersDark(element) ? "dark" : "light"];
  const theme = luminance(paper) < 0.18 ? "dark" : "light";
  return { theme, paper, ink: INKS[theme], palette: PALETTES[theme] };
}

/** Follows the surroundings of `element` until the returned function is called. */
export function watchSurroundings(element: Element): [ReadonlySignal<Surroundings>, () => void] {
  const current = signal(look(element));
  const refresh = (): void => {
    const next = look(element);
    if (JSON.stringify(next) !== JSON.stringify(current.peek())) current.value = next;
  };
  const { documentElement, body, defaultView } = element.ownerDocument;
  const observer = new MutationObserver(refresh);
  for (const node of [documentElement, body]) {
    observer.observe(node, { attributes: true, attributeFilter: SWITCHES });
  }
  const media = defaultView?.matchMedia?.("(prefers-color-scheme: dark)");
  media?.addEventListener("change", refresh);
  // Hosts may attach the view after `render`, and load their style sheets later still.
  const settled = setTimeout(refresh, 300);
  const frame = requestAnimationFrame(refresh);
  return [
    current,
    () => {
      observer.disconnect();
      media?.removeEventListener("change", refresh);
      clearTimeout(settled);
      cancelAnimationFrame(frame);
    },
  ];
}

function paperBehind(element: Element): Rgb | null {
  for (let node: Element | null = element; node !== null; node = parentOf(node)) {
    const paper = opaque(getComputedStyle(node).backgroundColor);
    if (paper !== null) return paper;
  }
  const style = getComputedStyle(element);
  for (const name of HOST_PAPERS) {
    const paper = opaque(style.getPropertyValue(name));
    if (paper !== null) return paper;
  }
  return null;
}

/** The parent on the page; the parent of a shadow root is its host. */
function parentOf(node: Element): Element | null {
  if (node.parentElement !== null) return node.parentElement;
  const root = node.getRootNode();
  return root instanceof ShadowRoot ? root.host : null;
}

function prefersDark(element: Element): boolean {
  const { body, defaultView } = element.ownerDocument;
  const kind = body.getAttribute("data-vscode-theme-kind");
  if (kind !== null) return kind.includes("dark") || kind === "vscode-high-contrast";
  return defaultView?.matchMedia?.("(prefers-color-scheme: dark)").matches ?? false;
}

/** Opens a widget over a stand-in for the kernel. */

import widget from "../src/widget";
import { FakeModel, frame, N_LAYERS, proxy, tellLayer, traits } from "./fake";

const open: (() => void)[] = [];

/** To be called after each test. */
export function closeAll(): void {
  for (const close of open.splice(0)) close();
  document.body.replaceChildren();
}

export interface Opened {
  readonly model: FakeModel;
  readonly root: HTMLElement;
  readonly shadow: ShadowRoot;
  readonly find: (selector: string) => HTMLElement;
  readonly all: (selector: string) => HTMLElement[];
  /** Of the text. */
  readonly token: (position: number) => HTMLElement;
}

export function opened(changes = {}): Opened {
  const model = new FakeModel(traits(changes));
  const instance = widget();
  open.push(instance.initialize({ model: proxy(model) }));
  const el = document.createElement("div");
  document.body.append(el);
  open.push(instance.render({ model: proxy(model), el }));
  const root = el.querySelector<HTMLElement>(".horizon-widget");
  const shadow = root?.shadowRoot;
  if (root === null || shadow === null || shadow === undefined) throw new Error("no root");
  const find = (selector: string): HTMLElement => {
    const found = shadow.querySelector<HTMLElement>(selector);
    if (found === null) throw new Error(`no ${selector}`);
    return found;
  };
  return {
    model,
    root,
    shadow,
    find,
    all: (selector) => [...shadow.querySelectorAll<HTMLElement>(selector)],
    token: (position) => find(`.text [data-position="${position}"]`),
  };
}

/** With all values there and painted. */
export async function filled(changes = {}): Promise<Opened> {
  const within = opened(changes);
  for (let layer = 0; layer < N_LAYERS; layer += 1) tellLayer(within.model, layer);
  await frame();
  return within;
}

/** What a screen reader says of an element. */
export function labelOf(element: HTMLElement): string {
  return element.getAttribute("aria-label") ?? "";
}

export function click(element: HTMLElement, modifiers: MouseEventInit = {}): void {
  element.dispatchEvent(new MouseEvent("click", { bubbles: true, ...modifiers }));
}

export function hover(element: HTMLElement): void {
  element.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
}

export function press(element: HTMLElement, key: string, more: KeyboardEventInit = {}): void {
  element.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, composed: true, cancelable: true, ...more }),
  );
}

/** Types into a field, as the reader would: its text is replaced. */
export function type(field: HTMLElement, text: string): void {
  const input = field as HTMLInputElement;
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

export function button(within: Opened, words: string): HTMLElement {
  const found = within
    .all("button")
    .find((one) => one.getAttribute("aria-label") === words || one.textContent?.includes(words) === true);
  if (found === undefined) throw new Error(`no button ${words}`);
  return found;
}

/** Opens a widget over a stand-in for the kernel. */

import widget from "../src/widget";
import { FakeModel, proxy, traits } from "./fake";

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
  };
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

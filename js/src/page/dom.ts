/** Makes elements. Text reaches the page as text, never as markup. */

import { untracked } from "@preact/signals-core";

type Attributes = Readonly<Record<string, string | number | boolean>>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children);
  return element;
}

/** Changes the page only where the value differs; false removes the attribute. */
export function setAttribute(element: Element, name: string, value: string | number | boolean): void {
  if (value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value === true ? "" : value))
    element.setAttribute(name, String(value === true ? "" : value));
}

export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Marks a button as one that does nothing, for this reason; undefined: as one that can be used. */
export function setRefused(button: Element, reason: string | undefined): void {
  setAttribute(button, "aria-disabled", reason !== undefined && "true");
  setAttribute(button, "title", reason ?? false);
}

/** Listens until the returned function is called. Signals read by the listener are not tracked. */
export function listen<K extends keyof HTMLElementEventMap>(
  element: HTMLElement,
  type: K,
  listener: (event: HTMLElementEventMap[K]) => void,
): () => void {
  const heard = (event: HTMLElementEventMap[K]): void => untracked(() => listener(event));
  element.addEventListener(type, heard);
  return () => element.removeEventListener(type, heard);
}

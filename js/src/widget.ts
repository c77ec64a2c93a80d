/** The entry for anywidget: adapts the host, and nothing else. `initialize` owns the connection, `render` a view. */

import { Store } from "./store";
import { type Model, ModelTransport } from "./transport";
import { mount } from "./view";

interface Context {
  readonly model: Model;
  readonly signal?: AbortSignal;
}

const stores = new WeakMap<Model, Store>();

function connect(model: Model): Store {
  const store = stores.get(model) ?? new Store(new ModelTransport(model));
  stores.set(model, store);
  return store;
}

function initialize({ model, signal }: Context): () => void {
  const store = connect(model);
  return once(signal, () => {
    store.dispose();
    if (stores.get(model) === store) stores.delete(model);
  });
}

function render({ model, el, signal }: Context & { readonly el: HTMLElement }): () => void {
  const store = connect(model);
  const close = once(signal, mount(store, el));
  // Not in `initialize`: hosts run that for widgets which nobody looks at, and hello lets the kernel use idle time.
  store.greet();
  return close;
}

/** Cleans up once, whether the host calls or aborts, or both. */
function once(signal: AbortSignal | undefined, cleanup: () => void): () => void {
  let done = false;
  const run = (): void => {
    if (done) return;
    done = true;
    signal?.removeEventListener("abort", run);
    cleanup();
  };
  signal?.addEventListener("abort", run);
  return run;
}

export default { initialize, render };

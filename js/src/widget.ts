/** The entry for anywidget. `initialize` makes the store, `render` a view. */

import { type Model, ModelTransport } from "./kernel/transport";
import { Store } from "./state/store";
import { mount } from "./view";

interface Context {
  readonly model: Model;
  readonly signal?: AbortSignal;
}

interface Widget {
  initialize(context: Context): () => void;
  render(context: Context & { readonly el: HTMLElement }): () => void;
}

/**
 * Hosts call this once per model. They give `initialize` and each `render` different objects for the same model, so the
 * store that views share is kept here.
 */
export default function widget(): Widget {
  let shared: Store | undefined;
  return {
    initialize({ model, signal }) {
      const store = new Store(new ModelTransport(model));
      shared = store;
      return once(signal, () => {
        store.dispose();
        if (shared === store) shared = undefined;
      });
    },
    render({ model, el, signal }) {
      const store = shared ?? new Store(new ModelTransport(model));
      const own = store !== shared;
      const close = mount(store, el);
      // Not in `initialize`: hosts run that for widgets that are not shown, and hello lets the kernel use idle time.
      store.kernel.greet();
      return once(signal, () => {
        close();
        if (own) store.dispose();
      });
    },
  };
}

/** Runs `cleanup` once, whether the host calls it, aborts, or both. */
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

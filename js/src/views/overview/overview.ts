/** Where each layer's influence goes, how myopic each layer is, and the strongest links of the whole map. */

import { h } from "../../page/dom";
import type { View } from "../shared";

export class OverviewView {
  readonly element = h("section", { class: "overview", "aria-label": "The whole map" });

  constructor(_view: View) {}
}

"""Which token's output is a language model's hidden state working for?

    import horizon_widget as hw

    model = hw.load_model("demo")
    hmap = hw.attribute(model, "The keys ...")
    hw.HorizonWidget(model, "The keys ...")

Importing the package loads neither torch nor nnsight; they are imported when a model is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from horizon_widget.attribution.attribute import AttributionInterrupted, attribute
    from horizon_widget.attribution.cell import carriers, predictions, verify
    from horizon_widget.attribution.closer import ablate_together, direct, direct_links, robustness
    from horizon_widget.attribution.estimate import estimate
    from horizon_widget.attribution.findings import Verification
    from horizon_widget.baseline import Baseline
    from horizon_widget.errors import HorizonError, HostError, MapFileError, ModelError, QueryError
    from horizon_widget.horizon_map import HorizonMap
    from horizon_widget.metric import Metric
    from horizon_widget.models.layout import Layout, Place, register_architecture, separate_heads
    from horizon_widget.models.load import load_model
    from horizon_widget.models.model import Model
    from horizon_widget.widget import HorizonWidget

__version__ = "0.1.0"

_HOME = {
    "AttributionInterrupted": "attribution.attribute",
    "HorizonError": "errors",
    "HostError": "errors",
    "HorizonMap": "horizon_map",
    "HorizonWidget": "widget",
    "MapFileError": "errors",
    "Model": "models.model",
    "ModelError": "errors",
    "QueryError": "errors",
    "Verification": "attribution.findings",
    "Baseline": "baseline",
    "Layout": "models.layout",
    "Metric": "metric",
    "Place": "models.layout",
    "ablate_together": "attribution.closer",
    "attribute": "attribution.attribute",
    "carriers": "attribution.cell",
    "direct": "attribution.closer",
    "direct_links": "attribution.closer",
    "estimate": "attribution.estimate",
    "load_model": "models.load",
    "predictions": "attribution.cell",
    "register_architecture": "models.layout",
    "robustness": "attribution.closer",
    "separate_heads": "models.layout",
    "verify": "attribution.cell",
}

__all__ = [
    "AttributionInterrupted",
    "Baseline",
    "HorizonError",
    "HorizonMap",
    "HorizonWidget",
    "HostError",
    "Layout",
    "MapFileError",
    "Metric",
    "Model",
    "ModelError",
    "Place",
    "QueryError",
    "Verification",
    "__version__",
    "ablate_together",
    "attribute",
    "carriers",
    "direct",
    "direct_links",
    "estimate",
    "load_model",
    "predictions",
    "register_architecture",
    "robustness",
    "separate_heads",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

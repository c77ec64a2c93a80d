"""Which token's output is a language model's hidden state working for?

    import horizon_widget as hw

    model = hw.load_model("demo")
    hmap = hw.attribute(model, "The keys ...")
    hw.HorizonWidget(model, "The keys ...")

Importing the package loads neither torch nor nnsight. Loading a model does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from horizon_widget.api.attribute import AttributionInterrupted, attribute
    from horizon_widget.api.cell import carriers, predictions, verify
    from horizon_widget.api.effects import ablate_together, baseline_sensitivity, direct, direct_links
    from horizon_widget.api.estimate import estimate
    from horizon_widget.api.load import load_model
    from horizon_widget.compute.findings import Verification
    from horizon_widget.errors import HorizonError, HostError, MapFileError, ModelError, QueryError
    from horizon_widget.models.layout import Layout, Place, register_architecture, separate_heads
    from horizon_widget.models.model import Model
    from horizon_widget.question.baseline import Baseline
    from horizon_widget.question.metric import Metric
    from horizon_widget.result.horizon_map import HorizonMap
    from horizon_widget.widget.widget import HorizonWidget

__version__ = "0.1.0"

_HOME = {
    "AttributionInterrupted": "api.attribute",
    "HorizonError": "errors",
    "HostError": "errors",
    "HorizonMap": "result.horizon_map",
    "HorizonWidget": "widget.widget",
    "MapFileError": "errors",
    "Model": "models.model",
    "ModelError": "errors",
    "QueryError": "errors",
    "Verification": "compute.findings",
    "Baseline": "question.baseline",
    "Layout": "models.layout",
    "Metric": "question.metric",
    "Place": "models.layout",
    "ablate_together": "api.effects",
    "attribute": "api.attribute",
    "carriers": "api.cell",
    "direct": "api.effects",
    "direct_links": "api.effects",
    "estimate": "api.estimate",
    "load_model": "api.load",
    "predictions": "api.cell",
    "register_architecture": "models.layout",
    "baseline_sensitivity": "api.effects",
    "separate_heads": "models.layout",
    "verify": "api.cell",
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
    "baseline_sensitivity",
    "carriers",
    "direct",
    "direct_links",
    "estimate",
    "load_model",
    "predictions",
    "register_architecture",
    "separate_heads",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

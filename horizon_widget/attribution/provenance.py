"""An empty map that says where its values come from."""

from __future__ import annotations

from importlib import metadata

from horizon_widget.horizon_map import HorizonMap
from horizon_widget.models.model import Model
from horizon_widget.query import Query

PACKAGES = ("horizon-widget", "torch", "transformers", "nnsight")


def empty_map(model: Model, query: Query) -> HorizonMap:
    """A map of a query with nothing computed yet, and the model, its dtype and library versions noted in it."""
    versions = {f"version_{name.replace('-', '_')}": metadata.version(name) for name in PACKAGES}
    attrs = {
        "model": model.name,
        "model_type": str(model.config.model_type),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
        **versions,
        **model.provenance,
    }
    return HorizonMap.empty(query, model.read_tokens(query.token_ids), n_layers=model.n_layers, attrs=attrs)

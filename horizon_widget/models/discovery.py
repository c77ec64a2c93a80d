"""Find the layout of a model in one recorded forward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from horizon_widget.errors import ModelError
from horizon_widget.models.layout import PLACES, Layout, Place, known_places, part_of, registered_layout
from horizon_widget.models.parts import NotFoundError, calls_of_blocks, find_parts
from horizon_widget.models.places import find_places
from horizon_widget.models.recording import Recording

REGISTER = """import horizon_widget as hw
hw.register_architecture("{model_type}", hw.Layout(blocks="model.layers", norm="model.norm", head="lm_head"))"""


def layout_of(name: str, recording: Recording) -> Layout:
    """The layout of a model. Parts and sites that a user has registered are taken from there.

    Args:
        name: The model's name, as shown.
        recording: A forward pass over ``recorded_ids``.

    Raises:
        ModelError: if its parts are not found, or if they are not a list of blocks with one residual stream. The
            message shows how to register them.
    """
    hf_model = recording.hf_model
    model_type = str(getattr(hf_model.config, "model_type", ""))
    registered = registered_layout(model_type)
    try:
        if registered is not None and not _fits(registered, hf_model):
            raise NotFoundError(f"it does not have the parts that are registered for {model_type}")
        layout = registered or Layout(*find_parts(recording))
        calls_of_blocks(recording, layout.blocks)
    except NotFoundError as error:
        raise ModelError(
            f"{name} ({model_type or type(hf_model).__name__}) cannot be used: {error}.",
            advice="If these are not its blocks, say where its parts are (print the model to see them):\n"
            + REGISTER.format(model_type=model_type),
        ) from error
    if recording.output.logits.is_meta:
        return replace(layout, **_missing(layout, known_places(model_type)))
    places, lacks = find_places(part_of(hf_model, layout.blocks), recording.calls, recording.cache)
    return replace(layout, **_missing(layout, places), lacks=lacks)


def _missing(layout: Layout, places: dict[str, Place]) -> dict[str, Any]:
    """The places of sites that a layout does not name."""
    return {site: place for site, place in places.items() if layout.place(site) is None}


def _fits(layout: Layout, hf_model: Any) -> bool:
    try:
        block = part_of(hf_model, layout.blocks)[0]
        for path in (*layout.norms, layout.head):
            part_of(hf_model, path)
        for place in map(layout.place, PLACES):
            if place is not None:
                part_of(block, place.module)
    except (AttributeError, TypeError, IndexError):
        return False
    return True

"""Find the layout of a model in one recorded forward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from horizon_widget.errors import ModelError
from horizon_widget.models.layout import PLACES, Layout, known_places, model_type_of, part_of, registered_layout
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
    config, model_type = hf_model.config.get_text_config(), model_type_of(hf_model)
    registered = registered_layout(model_type)
    try:
        if registered is not None:
            check_registered(registered, recording)
        layout = registered or Layout(*find_parts(recording))
        calls_of_blocks(recording, layout.blocks)
    except NotFoundError as error:
        raise ModelError(
            f"{name} ({model_type}) cannot be used: {error}.",
            advice="If these are not its blocks, say where its parts are (print the model to see them):\n"
            + REGISTER.format(model_type=model_type),
        ) from error
    if recording.output.logits.is_meta:
        places, lacks = known_places(str(config.model_type)), dict[str, str]()
    else:
        places, lacks = find_places(part_of(hf_model, layout.blocks), recording.calls, recording.cache)
    missing: dict[str, Any] = {site: place for site, place in places.items() if layout.place(site) is None}
    return with_columns(replace(layout, lacks=lacks, **missing), config)


def with_columns(layout: Layout, config: Any) -> Layout:
    """The layout with the columns of heads as arrays, and with reasons for missing sites only.

    Args:
        layout: A layout. Its heads may be functions.
        config: The model's configuration, which they read.
    """
    places: dict[str, Any] = {}
    lacks = dict(layout.lacks)
    for site in PLACES:
        place = layout.place(site)
        try:
            places[site] = place and replace(place, heads=place.columns(config))
        except AttributeError as error:
            places[site], lacks[site] = None, f"the function of its heads does not fit its configuration ({error})"
    return replace(layout, **places, lacks={site: why for site, why in lacks.items() if places[site] is None})


def check_registered(layout: Layout, recording: Recording) -> None:
    """Refuse a registered layout that does not fit a model.

    Raises:
        NotFoundError: naming what is not there, or not called.
    """
    called = {call.path for call in recording.calls}
    try:
        blocks = part_of(recording.hf_model, layout.blocks)
        n_blocks = len(blocks)
        norms = [path for path in layout.norms if part_of(recording.hf_model, path) is not None]
        for place in filter(None, map(layout.place, PLACES)):
            for block in blocks:
                part_of(block, place.module)
    except (AttributeError, TypeError) as error:
        raise NotFoundError(f"it does not have the parts that are registered ({error})") from error
    for path in (*(f"{layout.blocks}.{layer}" for layer in range(n_blocks)), *norms, layout.head):
        if path not in called:
            raise NotFoundError(f"{path}, which is registered, is not called for text alone")

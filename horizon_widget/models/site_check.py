"""Check on the user's prompt that a site is where its layout says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from horizon_widget.errors import QueryError
from horizon_widget.models.agreeing import adds_up, are_cached, factors_of
from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.hooks import has_user_hooks
from horizon_widget.models.places import SMALLEST_FACTOR
from horizon_widget.models.sites import Site

if TYPE_CHECKING:
    from horizon_widget.models.local_model import LocalModel

ADDED = ("attention_output", "mlp_output")


def check_site(model: LocalModel, clean: CleanRun, site: Site) -> None:
    """Check that a site is where its layout says.

    Keys and values are compared with those in attention's cache. The outputs of attention and MLP must add up to the
    change of the residual stream.

    Raises:
        QueryError: if the values differ.
    """
    if site.place is None:
        return
    if site.name in ADDED:
        fits = _fits_residual_stream(model, clean)
        reason = "the residual stream is not the sum of what the blocks are said to add."
    else:
        fits, reason = _fits_cache(clean, site), "the attention's cache holds other values."
    if not fits:
        raise QueryError(
            "site",
            f"{site.name!r} of {model.name} ({model.model_type}) is not where its layout says: {reason}",
            advice='Use site="residual", or hw.register_architecture with the right place.'
            + (" A hook on a block changes that sum too." if has_user_hooks(model.hf_model) else ""),
        )


def _fits_cache(clean: CleanRun, site: Site) -> bool:
    if not clean.cached:
        return True
    for call, values in zip(clean.calls, clean.site_values, strict=True):
        cached = call.keys if site.name == "key" else call.values
        assert cached is not None
        if not are_cached(values.unflatten(-1, (-1, site.d_head))[None], cached, site.name):
            return False
    return True


def _fits_residual_stream(model: LocalModel, clean: CleanRun) -> bool:
    if any(model.layout.place(name) is None for name in ADDED):
        return True  # the other one was found together with one that differs from layer to layer
    written = [model.capture(clean.input_ids, model.site(name)).site_values for name in ADDED]
    blocks = list(zip(clean.states[:-1], clean.states[1:], zip(*written, strict=True), strict=True))
    factors = factors_of(blocks)
    adds = bool((factors > SMALLEST_FACTOR).all())
    return adds and all(adds_up(before, after, added, factors) for before, after, added in blocks)

"""Nothing before a source changes. A state that leaves the last block changes only its own position."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import horizon_widget as hw
from tests import reference
from tests.conftest import PROMPT

SHORT = PROMPT[:14]
SOURCE = 6


def full_logits(model, replacement):
    return reference.logits_with(
        model.hf_model,
        model.tokenize(SHORT),
        [] if replacement is None else [(1, "residual", SOURCE, replacement, None)],
    )


def test_nothing_before_a_source_moves_on_the_full_path(any_model):
    """The plain model itself, without masking, is causal within float tolerance."""
    clean, ablated = full_logits(any_model, None), full_logits(any_model, torch.zeros(any_model.d_model))
    spread = float(clean.std())
    assert float((clean - ablated)[:SOURCE].abs().max()) < 1e-5 * spread
    assert float((clean - ablated)[SOURCE].abs().max()) > 1e-3 * spread


def test_acausal_cells_are_exactly_zero(any_model):
    hmap = hw.attribute(any_model, SHORT, progress=False)
    acausal = hmap.dataset["offset"].values < 1
    assert (hmap.values.values[:, acausal] == 0.0).all()
    assert np.isfinite(hmap.values.values).all()


def test_a_state_that_leaves_the_last_block_moves_its_own_position_only(any_model):
    model = any_model.hf_model
    ids = torch.tensor([any_model.tokenize(SHORT)])
    last = reference.blocks_of(model)[-1]

    def overwrite(_module, _args, output):
        states = (output[0] if isinstance(output, tuple) else output).clone()
        states[:, SOURCE] = 0.0
        return (states, *output[1:]) if isinstance(output, tuple) else states

    with torch.no_grad():
        clean = model(ids, use_cache=False).logits[0]
        handle = last.register_forward_hook(overwrite)
        try:
            ablated = model(ids, use_cache=False).logits[0]
        finally:
            handle.remove()
    moved = (clean - ablated).abs().amax(dim=-1) > 1e-5 * float(clean.std())
    assert moved.nonzero().flatten().tolist() == [SOURCE]


@pytest.mark.parametrize("site", ["key", "value"])
def test_later_positions_read_keys_and_values_of_the_last_layer(model, site):
    """Unlike a state after the last block, keys and values of the last block have influence on later tokens."""
    hmap = hw.attribute(model, SHORT, layers=-1, site=site, progress=False)
    later = hmap.values.sel(layer=3, source=4, target=slice(6, None))
    assert float(np.abs(later).max()) > 1e-3

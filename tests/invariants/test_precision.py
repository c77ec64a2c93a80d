"""The noise floor, and half precision."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import horizon_widget as hw
from tests import reference
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT, architectures

SHORT = PROMPT[:16]


def loaded(dtype, tokenizer, architecture="llama"):
    return hw.load_model(ARCHITECTURES[architecture]().to(dtype), tokenizer=tokenizer)


def test_a_state_replaced_by_itself_changes_nothing_beyond_the_noise_floor(any_model):
    hmap = hw.attribute(any_model, SHORT, progress=False)
    floor = hmap.dataset["noise_floor"].values
    assert np.isfinite(floor).all()
    assert (floor < 1e-4).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("architecture", architectures("llama", "gpt2", "gemma3_text", "mamba"))
def test_half_precision_agrees_with_a_hook_in_the_same_precision_within_its_noise(architecture, dtype, byte_tokenizer):
    model = loaded(dtype, byte_tokenizer, architecture)
    ids = model.tokenize(SHORT)
    hmap = hw.attribute(model, SHORT, baseline="zero", progress=False)
    assert hmap.dataset.attrs["dtype"] == str(dtype).removeprefix("torch.")
    exact = hw.attribute(loaded(torch.float32, byte_tokenizer, architecture), SHORT, baseline="zero", progress=False)
    spread = float(np.abs(exact.values).max())
    for layer, source in ((0, 2), (2, 5)):
        zero = torch.zeros(model.d_model)
        expected = reference.ablated_row(model.hf_model, ids, layer, source, zero)[source:]
        got = hmap.values.values[layer, source, source:]
        error = 0.2 if dtype == torch.bfloat16 else 0.03
        np.testing.assert_allclose(got, expected, atol=error * spread)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_noise_floor_in_half_precision_is_far_below_ablation_effects(dtype, byte_tokenizer):
    hmap = hw.attribute(loaded(dtype, byte_tokenizer), PROMPT, progress=False)
    greatest = np.abs(hmap.values).max(["source", "target"])
    assert (hmap.dataset["noise_floor"] < 0.1 * greatest).all()


@pytest.mark.demo_model
def test_the_noise_floor_of_the_demo_model_in_both_precisions(demo_model):
    """At most the tolerance of 1e-4 nats in float32, and far below ablation effects in bfloat16."""
    text = "The key to the old library was in a blue tin, and nobody but Anna knew where the key was."
    exact = hw.attribute(demo_model, text, layers=[5, 20], sources=3, progress=False)
    half = hw.load_model(copy.deepcopy(demo_model.hf_model).to(torch.bfloat16), tokenizer=demo_model.tokenizer)
    rough = hw.attribute(half, text, layers=[5, 20], sources=3, progress=False)
    assert float(exact.dataset["noise_floor"].max()) < 1e-4
    for layer in (5, 20):
        floor = float(rough.dataset["noise_floor"].sel(layer=layer))
        assert 0 <= floor < 0.1 * float(np.abs(rough.values.sel(layer=layer, source=3)).max())


def test_metrics_are_scored_in_float32_whatever_the_model_s_precision(byte_tokenizer):
    model = loaded(torch.bfloat16, byte_tokenizer)
    seen = []

    def metric(logits, _input_ids):
        seen.append(logits.dtype)
        return logits.logsumexp(-1)

    hw.attribute(model, SHORT, layers=1, metric=metric, progress=False)
    assert set(seen) == {torch.float32}


def test_influence_below_the_floor_counts_as_0_in_shares(model):
    hmap = hw.attribute(model, PROMPT, baseline="zero", progress=False)
    hmap.dataset["noise_floor"].values[:] = 1e9
    assert np.isnan(hmap.own_share()).all()

"""A remote model gives the values of the same local model, on both kinds of host."""

from __future__ import annotations

import nnsight
import numpy as np
import pytest
import torch

import horizon_widget as hw
from tests.remote.conftest import SANDBOXED, TRUSTED

PROMPT = "The keys to the old cabinet are on the table by the door"
ABLATION = 1e-4  # nats, in float32
CELLS = {"layers": [0, 15, 28], "sources": [2, 5]}
GRADIENT = 1e-4  # relative to the largest


def surprise(logits, input_ids):
    """A user's own metric: how uncertain the prediction is."""
    return 1 - torch.softmax(logits.float(), dim=-1).amax(dim=-1)


_loaded = {}


def loaded(server):
    """One model for each kind of user, so that the host's capabilities are requested once."""
    user = (server.url, nnsight.CONFIG.API.APIKEY)
    if user not in _loaded:
        _loaded[user] = hw.load_model("demo", remote=True)
    return _loaded[user]


@pytest.fixture
def remote(either):
    return loaded(either)


@pytest.fixture
def of_trusted(trusted):
    return loaded(trusted)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"metric": "logit", "baseline": "zero"},
        {"metric": "centred_logit", "baseline": ("mean", ["Another text of some length.", "And one more."])},
        {"metric": "entropy", "baseline": ("counterfactual", PROMPT.replace("keys", "plans"))},
        {"metric": "kl", "baseline": "resample", "draws": 2},
        {"metric": ("contrast", " table", " door")},
        {"metric": surprise},
        {"site": "attention_output"},
        {"site": "mlp_output"},
        {"site": "key"},
        {"site": "value", "head": 1},
    ],
    ids=lambda arguments: ", ".join(f"{k}={getattr(v, '__name__', v)}" for k, v in arguments.items()) or "defaults",
)
def test_ablation(remote, demo_model, arguments):
    there = hw.attribute(remote, PROMPT, **CELLS, progress=False, **arguments)
    here = hw.attribute(demo_model, PROMPT, **CELLS, progress=False, **arguments)
    assert np.abs(here.values).max() > 0.01
    np.testing.assert_allclose(there.values, here.values, atol=ABLATION)
    for name in ("baseline", "baseline_shock", "resample_positions"):
        np.testing.assert_array_equal(there.dataset[name], here.dataset[name])


@pytest.mark.parametrize("method", ["gradient", "energy"])
def test_gradients(of_trusted, demo_model, method):
    there = hw.attribute(of_trusted, PROMPT, targets=[6, 12], method=method, progress=False)
    here = hw.attribute(demo_model, PROMPT, targets=[6, 12], method=method, progress=False)
    np.testing.assert_allclose(there.values, here.values, atol=GRADIENT * float(np.nanmax(np.abs(here.values))))


def test_what_is_computed_for_a_cell(remote, demo_model):
    layer, source, target = 27, 4, 8
    there, here = (hw.predictions(m, PROMPT, layer, source, target) for m in (remote, demo_model))
    assert there["token"].tolist() == here["token"].tolist()
    np.testing.assert_allclose(there[["kept", "removed"]], here[["kept", "removed"]], atol=1e-5)
    there, here = (hw.direct(m, PROMPT, layer, source, targets=target) for m in (remote, demo_model))
    np.testing.assert_allclose(there["direct"], here["direct"], atol=ABLATION)
    there, here = (hw.baseline_sensitivity(m, PROMPT, layer, source, target) for m in (remote, demo_model))
    np.testing.assert_allclose(there, here, atol=ABLATION)
    there, here = (hw.carriers(m, PROMPT, layer, source, target, n=3) for m in (remote, demo_model))
    np.testing.assert_allclose(there["influence"], here["influence"], atol=ABLATION)
    there, here = (hw.ablate_together(m, PROMPT, [(27, 3), (28, 4)], targets=8) for m in (remote, demo_model))
    np.testing.assert_allclose(there, here, atol=ABLATION)


def test_what_the_model_writes(remote, demo_model):
    ids = demo_model.tokenize(PROMPT)
    assert remote.write_on(ids, 4) == demo_model.write_on(ids, 4)


def test_a_value_is_verified_by_the_model_itself_where_it_is(of_trusted):
    verified = hw.verify(of_trusted, PROMPT, 12, 4, 8)
    assert verified.value != 0
    assert abs(verified.difference) < ABLATION


def test_the_limits_of_a_sandbox_are_named(sandboxed):
    model = loaded(sandboxed)
    with pytest.raises(hw.QueryError, match=r"'gradient' is not offered\. This host runs our code in a sandbox"):
        hw.attribute(model, PROMPT, method="gradient", progress=False)
    with pytest.raises(hw.HorizonError, match="verification is not offered"):
        hw.verify(model, PROMPT, 12, 4, 8)
    assert model.capabilities.sandboxed
    assert not model.capabilities.gradients


@pytest.mark.parametrize("key", [TRUSTED, SANDBOXED], ids=["trusted", "sandboxed"])
def test_in_half_precision_within_its_own_noise(another_ndif, as_user, half, key):
    as_user(key, half)
    model = hw.load_model("demo", remote=True)
    assert model.capabilities.dtype == "bfloat16"
    there = hw.attribute(model, PROMPT, layers=[15], sources=[2, 5], progress=False)
    here = hw.attribute(
        hw.load_model("demo", dtype=torch.bfloat16), PROMPT, layers=[15], sources=[2, 5], progress=False
    )
    assert there.dataset.attrs["dtype"] == "bfloat16"
    floor = float(max(there.dataset["noise_floor"].sel(layer=15), here.dataset["noise_floor"].sel(layer=15)))
    apart = float(np.nanmax(np.abs(there.values - here.values)))
    print(f"bfloat16: apart {apart:.3g}, noise floor there {float(there.dataset['noise_floor'].sel(layer=15)):.3g}")
    assert apart <= max(floor, ABLATION)


@pytest.fixture(scope="module")
def half(another_ndif):
    return another_ndif(dtype="bfloat16")

"""The changes of a model that its fingerprint shows."""

import copy

import pytest
import torch

from horizon_widget.models.fingerprint import fingerprint, first_difference
from tests.conftest import tiny_llama


@pytest.fixture(scope="module")
def hf_model():
    """A model with attributes of many kinds, some of them equal."""
    model = tiny_llama()
    for layer, block in enumerate(model.model.layers):
        block.mlp.numbers = {"default": float(layer), "other": 1.0}
        block.mlp.nested = [{"strength": layer}, ({"strength": 0},)]
        block.mlp.names = {"one", "two"}
    return model


CHANGES = {
    "a number in a dict": lambda mlp: mlp.numbers.update(default=-1.0),
    "a number deep in containers": lambda mlp: mlp.nested[1][0].update(strength=5),
    "another key": lambda mlp: mlp.numbers.pop("other"),
    "an item of a set": lambda mlp: mlp.names.add("three"),
    "an attribute": lambda mlp: setattr(mlp, "new", None),
    "True where 1 was": lambda mlp: mlp.nested[0].update(strength=True),
    "a weight in place": lambda mlp: torch.nn.init.zeros_(mlp.up_proj.weight),
    "a setting": lambda mlp: setattr(mlp.config, "hidden_act", "other"),
}


@pytest.mark.parametrize("layer", [0, 3])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen_and_its_module_named(hf_model, layer, change):
    model = copy.deepcopy(hf_model)
    mlp = model.model.layers[layer].mlp
    before = fingerprint(model)
    assert fingerprint(model) == before
    change(mlp)
    after = fingerprint(model)
    assert after != before
    if "config" not in change.__code__.co_names:  # all modules share it
        assert first_difference(before, after).startswith(f"model.layers.{layer}.mlp")


def test_forward_passes_do_not_change_the_fingerprint(hf_model):
    before = fingerprint(hf_model)
    ids = torch.arange(8)[None]
    hf_model(ids)
    hf_model.generate(ids, max_new_tokens=2, do_sample=False)
    hf_model(ids).logits.sum().backward()
    assert fingerprint(hf_model) == before

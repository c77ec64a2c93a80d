"""Hooks and patched methods of a user act as they do in a plain forward pass."""

import functools
import types

import accelerate
import numpy as np
import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaMLP

import horizon_widget as hw
from horizon_widget.models.hooks import has_user_hooks
from tests import reference
from tests.conftest import tiny_llama

SHORT = "the cat sat "
LAYER, SOURCE = 1, 3


def assert_as_plain(model, **arguments):
    """Check that a row equals plain forward passes with one hook."""
    arguments = {"layers": LAYER, "sources": SOURCE, "baseline": "zero", "progress": False} | arguments
    got = hw.attribute(model, SHORT, **arguments).values.values[LAYER, SOURCE]
    zero = torch.zeros(model.d_model)
    expected = reference.ablated_row(model.hf_model, model.tokenize(SHORT), LAYER, SOURCE, zero)
    np.testing.assert_allclose(got[SOURCE:], expected[SOURCE:], atol=1e-4)


@pytest.mark.parametrize("package", ["torch_utils.hooks", "transformersx", "nnsight_tools", "accelerate_more.hooks"])
def test_a_hook_of_a_package_named_like_a_framework_is_the_user_s(model, package):
    """A hook that acts on one position needs all positions."""

    def silences_token_5(_module, _args, output):
        output = output.clone()
        output[:, 5] = 0.0
        return output

    silences_token_5.__module__ = package
    model.hf_model.model.layers[2].register_forward_hook(silences_token_5)
    assert_as_plain(model)
    assert has_user_hooks(model.hf_model)


def test_a_patched_forward_that_acts_on_a_position_acts_on_that_position(model):
    def silences_token_5(self, states):
        output = LlamaMLP.forward(self, states).clone()
        output[:, 5] = 0.0
        return output

    mlp = model.hf_model.model.layers[2].mlp
    mlp.forward = types.MethodType(silences_token_5, mlp)
    assert_as_plain(model)
    assert has_user_hooks(model.hf_model)


def test_hooks_of_a_framework_keep_the_fast_strategy(model):
    def of_transformers(_module, _args, _output):
        return None

    of_transformers.__module__ = "transformers.integrations"
    model.hf_model.model.layers[2].register_forward_hook(of_transformers)
    assert not has_user_hooks(model.hf_model)


@pytest.mark.parametrize("loaded", [True, False])
def test_a_function_patched_over_a_forward_that_acts_on_a_position_acts_on_that_position(byte_tokenizer, loaded):
    """The function is patched by a decorator that copies the name of the module."""
    hf_model = tiny_llama()
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer) if loaded else None
    mlp = hf_model.model.layers[2].mlp
    plain = mlp.forward

    @functools.wraps(plain)
    def patched(states):
        output = plain(states).clone()
        output[:, 6:7] *= -3
        return output

    mlp.forward = patched
    model = model or hw.load_model(hf_model, tokenizer=byte_tokenizer)
    assert_as_plain(model)
    assert has_user_hooks(hf_model)


def test_a_hook_is_called_with_its_own_module(model):
    names = {module: name for name, module in model.hf_model.named_modules()}
    target = model.hf_model.model.layers[2].mlp
    seen = set()

    def double(module, _args, output):
        seen.add(names[module])
        return output * 2 if module is target else None

    def before(module, _args):
        seen.add(names[module])

    for block in model.hf_model.model.layers:
        block.mlp.register_forward_hook(double)
        block.self_attn.register_forward_pre_hook(before)
    assert_as_plain(model)
    assert {"model.layers.2.mlp", "model.layers.2.self_attn"} <= seen


@pytest.mark.parametrize("metric", ["logprob", "logit", "kl"])
def test_a_hook_on_all_modules_of_the_process_that_acts_on_the_head(model, metric):
    def double(module, _args, output):
        return output * 2 if module.__dict__.get("out_features") == model.vocab_size else None

    handle = torch.nn.modules.module.register_module_forward_hook(double)
    try:
        got = hw.attribute(model, SHORT, layers=LAYER, sources=SOURCE, baseline="zero", metric=metric, progress=False)
        zero = torch.zeros(model.d_model)
        expected = reference.ablated_row(model.hf_model, model.tokenize(SHORT), LAYER, SOURCE, zero, metric=metric)
    finally:
        handle.remove()
    row = got.values.values[LAYER, SOURCE]
    np.testing.assert_allclose(row[SOURCE:], expected[SOURCE : len(row)], atol=1e-4)


def test_accelerate_s_hook_over_a_patched_forward_is_refused_and_the_model_unchanged(byte_tokenizer):
    """nnsight would run the class's ``forward``, also in the user's own passes."""
    hf_model = tiny_llama()
    mlp = hf_model.model.layers[2].mlp
    mlp.forward = types.MethodType(lambda self, states: 2 * LlamaMLP.forward(self, states), mlp)
    accelerate.hooks.add_hook_to_module(mlp, accelerate.hooks.ModelHook())
    ids = byte_tokenizer(SHORT)["input_ids"]
    before = reference.clean_logits_of(hf_model, ids)
    with pytest.raises(hw.ModelError, match=r"a hook of accelerate and a forward of its own on model\.layers\.2\.mlp"):
        hw.load_model(hf_model, tokenizer=byte_tokenizer)
    torch.testing.assert_close(reference.clean_logits_of(hf_model, ids), before)


def test_a_model_with_slots_in_a_module(byte_tokenizer):
    class Shifted(torch.nn.Module):
        __slots__ = ("by",)

        def forward(self, states):
            return states + self.by

    hf_model = tiny_llama()
    mlp = hf_model.model.layers[2].mlp
    shifted = Shifted()
    shifted.by = 0.5
    mlp.down_proj = torch.nn.Sequential(mlp.down_proj, shifted).eval()
    assert_as_plain(hw.load_model(hf_model, tokenizer=byte_tokenizer))


@pytest.mark.long
def test_compiled_modules(byte_tokenizer):
    hf_model = tiny_llama()
    for part in (hf_model.model.layers[1], hf_model.model.layers[2].mlp):
        part.compile(backend="eager")
    assert_as_plain(hw.load_model(hf_model, tokenizer=byte_tokenizer))


def test_a_block_used_at_two_layers_is_refused(byte_tokenizer):
    hf_model = tiny_llama()
    hf_model.model.layers[2] = hf_model.model.layers[1]
    with pytest.raises(hw.ModelError, match="the blocks in model.layers run more than once"):
        hw.load_model(hf_model, tokenizer=byte_tokenizer)

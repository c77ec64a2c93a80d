"""What is tried before it is used: strategies for ablations and for direct effects, causality, head, rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaForCausalLM, eager_attention_forward

import horizon_widget as hw
from horizon_widget.models import strategies, thread
from horizon_widget.models.parts import Scaling
from horizon_widget.models.readout import Head
from horizon_widget.models.strategies import ABLATION, DIRECT, FULL, REPLAY, SUFFIX
from horizon_widget.models.trial import strategy_for
from tests import reference
from tests.architectures import ARCHITECTURES, small_model
from tests.conftest import PROMPT

SHORT = PROMPT[:24]


def strategies_of(model, prompt=SHORT):
    def work():
        clean = model.clean_run(model.tokenize(prompt))
        return tuple(strategy_for(model, clean, model.site("residual"), use) for use in (ABLATION, DIRECT))

    return thread.run(work)


# -- direct effects --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "blocks"), [("mpt", "transformer.blocks"), ("gpt_neo", "transformer.h"), ("llama4_text", "model.layers")]
)
def test_direct_effects_are_right_where_positions_follow_from_the_number_of_keys(
    name, blocks, byte_tokenizer, monkeypatch
):
    hf_model = small_model(name)
    monkeypatch.setattr(reference, "BLOCKS", (blocks,))
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    zero = torch.zeros(model.d_model)
    for layer, source in ((0, 2), (1, 12)):
        parts = hw.direct(model, SHORT, layer, source, baseline="zero")
        for name, row_of in (("direct", reference.direct_row), ("total", reference.ablated_row)):
            expected = row_of(hf_model, model.tokenize(SHORT), layer, source, zero)[source:]
            assert np.abs(expected[1:]).max() > 0.05
            np.testing.assert_allclose(parts[name].values[0, source:], expected, atol=1e-4)
    assert strategies_of(model) == (SUFFIX, REPLAY)


def test_direct_effects_are_tried_from_the_first_source_on(byte_tokenizer):
    """A window of 40 holds the keys of 24 tokens twice if they are counted from a late source, not from the first."""
    hf_model = small_model("gpt_neo", window_size=40)
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    assert strategies_of(model, SHORT[:16]) == (SUFFIX, SUFFIX)
    assert strategies_of(model, SHORT) == (SUFFIX, REPLAY)


def test_direct_effects_are_tried_when_they_are_asked_for(model):
    hw.attribute(model, SHORT, layers=1, sources=2, baseline="zero", progress=False)
    uses = [key[0] for key in model.tried if isinstance(key, tuple)]
    hw.direct(model, SHORT, 1, 2)
    assert uses == [ABLATION]
    assert [key[0] for key in model.tried if isinstance(key, tuple)] == [ABLATION, DIRECT]


# -- causality -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_to_later_tokens_is_refused(dtype, byte_tokenizer):
    hf_model = small_model("gemma3_text, both ways").to(dtype)
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    with pytest.raises(hw.ModelError, match="Gemma3ForCausalLM is not causal"):
        hw.attribute(model, PROMPT, layers=1, sources=2, progress=False)


def test_an_encoder_that_is_not_known_as_one_is_refused(byte_tokenizer):
    model = hw.load_model(small_model("megatron-bert"), tokenizer=byte_tokenizer)
    with pytest.raises(hw.ModelError, match="MegatronBertForCausalLM is not causal"):
        hw.attribute(model, SHORT, layers=1, sources=2, progress=False)


# -- masks -----------------------------------------------------------------------------------------------------------


class OpaqueMask:
    """A mask of a type that nobody can cut, as flex attention's."""

    def __init__(self, mask):
        self.mask = mask


def test_calls_with_a_mask_of_an_unknown_type_are_not_cut(byte_tokenizer, monkeypatch):
    """Flex attention with a tensor in its mask's place ends the process."""
    seen = []

    def attention(module, query, key, value, attention_mask, **options):
        seen.append(type(attention_mask))
        return eager_attention_forward(module, query, key, value, attention_mask.mask, **options)

    def mask(**options):
        visible = sdpa_mask(**{**options, "allow_is_causal_skip": False})
        return OpaqueMask(torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min))

    ALL_ATTENTION_FUNCTIONS.register("opaque", attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register("opaque", mask)
    model = hw.load_model(ARCHITECTURES["llama"]("opaque"), tokenizer=byte_tokenizer)
    got = hw.attribute(model, SHORT, layers=1, sources=3, baseline="zero", progress=False).values.values[1, 3]
    assert set(seen) == {OpaqueMask}
    assert strategies_of(model) == (REPLAY, REPLAY)
    expected = reference.ablated_row(model.hf_model, model.tokenize(SHORT), 1, 3, torch.zeros(model.d_model))
    np.testing.assert_allclose(got[3:], expected[3:], atol=1e-4)


# -- head and rounding -------------------------------------------------------------------------------------------------


def test_a_sandbox_s_head_has_the_dtype_of_the_host():
    """There the tree of modules has no weights, and its dtype may be another."""
    on_host = torch.nn.Linear(4, 8, dtype=torch.bfloat16)
    head = Head([], on_host, torch.nn.Linear(4, 8, device="meta"), Scaling())
    assert head.logits(torch.zeros(2, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


class Scaled(LlamaForCausalLM):
    """A model that does something to its logits that nobody knows of."""

    factor = 1.05

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * self.factor
        return output


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_factor_on_the_logits_is_not_lost(dtype, byte_tokenizer):
    hf_model = ARCHITECTURES["llama"]()
    hf_model.__class__ = Scaled
    hf_model.to(dtype)
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    assert strategies_of(model) == (FULL, FULL)
    got = hw.attribute(model, SHORT, layers=3, sources=3, metric="logit", baseline="zero", progress=False)
    zero = torch.zeros(model.d_model)
    expected = reference.ablated_row(hf_model, model.tokenize(SHORT), 3, 3, zero, metric="logit")
    np.testing.assert_allclose(got.values.values[3, 3, 3:], expected[3 : got.values.shape[-1]], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_rounding_does_not_cost_the_fast_strategy(architecture, dtype, byte_tokenizer):
    model = hw.load_model(ARCHITECTURES[architecture]().to(dtype), tokenizer=byte_tokenizer)
    for prompt in ("a", "ab", "abc", SHORT):
        assert strategies_of(model, prompt) == (SUFFIX, SUFFIX)


def test_a_strategy_that_is_wrong_by_more_than_rounding_is_not_used(byte_tokenizer, monkeypatch):
    """A part in five thousand in float32: the results differ in the fourth digit."""
    plain = strategies.suffix

    def slightly_wrong(*args):
        readout = plain(*args)
        readout._states = readout._states * (1 + 2e-4 * torch.sin(torch.arange(readout._states.shape[-1])))
        return readout

    monkeypatch.setattr(strategies, "suffix", slightly_wrong)
    model = hw.load_model(ARCHITECTURES["llama"](), tokenizer=byte_tokenizer)
    assert strategies_of(model) == (REPLAY, REPLAY)


# -- the dtype -------------------------------------------------------------------------------------------------------


class Int8Linear(torch.nn.Module):
    """A linear map whose weights are stored as integers."""

    def __init__(self, linear):
        super().__init__()
        scale = linear.weight.detach().abs().amax(dim=1, keepdim=True) / 127
        self.weight = torch.nn.Parameter((linear.weight.detach() / scale).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale", scale)

    def forward(self, states):
        return states @ (self.weight.to(states) * self.scale.to(states)).T


def test_the_dtype_of_quantised_weights_is_the_one_computed_in(byte_tokenizer):
    hf_model = ARCHITECTURES["llama"]()
    for block in hf_model.model.layers:
        for name, part in list(block.named_modules()):
            if isinstance(part, torch.nn.Linear):
                parent, _, child = name.rpartition(".")
                setattr(block.get_submodule(parent), child, Int8Linear(part).eval())
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    assert next(hf_model.model.layers[0].parameters()).dtype == torch.int8
    assert "float32" in repr(model)
    assert model.agreement == 1e-3
    hmap = hw.attribute(model, SHORT, layers=1, sources=3, baseline="zero", progress=False)
    assert hmap.dataset.attrs["dtype"] == "float32"
    expected = reference.ablated_row(hf_model, model.tokenize(SHORT), 1, 3, torch.zeros(model.d_model))
    np.testing.assert_allclose(hmap.values.values[1, 3, 3:], expected[3:], atol=1e-4)

"""Models with adapters that are switched on and off, changed and merged."""

import numpy as np
import peft
import pytest
import torch

import horizon_widget as hw
from tests import reference
from tests.conftest import PROMPT, tiny_llama

pytestmark = pytest.mark.long

SHORT = PROMPT[:12]
LAYER, SOURCE = 1, 3


def row(model):
    return hw.attribute(model, SHORT, layers=LAYER, sources=SOURCE, baseline="zero", progress=False).values.values[
        LAYER, SOURCE
    ]


def plain_row(model, hf_model=None):
    """The row by plain forward passes of the user's model with one hook."""
    zero = torch.zeros(model.d_model)
    return reference.ablated_row(hf_model or model.hf_model, model.tokenize(SHORT), LAYER, SOURCE, zero)


def lora(seed):
    torch.manual_seed(seed)
    return peft.LoraConfig(target_modules=["q_proj", "v_proj", "down_proj"], r=4, init_lora_weights=False)


def test_a_peft_model_with_its_adapters_on_changed_and_off(byte_tokenizer):
    wrapped = peft.get_peft_model(tiny_llama(), lora(1)).eval()
    wrapped.add_adapter("other", lora(2))
    wrapped.eval()
    plain = row(hw.load_model(tiny_llama(), tokenizer=byte_tokenizer))
    model = hw.load_model(wrapped, tokenizer=byte_tokenizer)

    def check():
        got = row(model)
        np.testing.assert_allclose(got[SOURCE:], plain_row(model, wrapped.get_base_model())[SOURCE:], atol=1e-4)
        ids = torch.tensor([model.tokenize(SHORT)])
        clean = wrapped(ids).logits[0].log_softmax(-1)[range(len(SHORT) - 1), ids[0, 1:]]
        hmap = hw.attribute(model, SHORT, layers=3, progress=False)
        np.testing.assert_allclose(hmap.dataset["clean_metric"], clean.detach(), atol=1e-4)
        return got

    first = check()
    with wrapped.disable_adapter():
        np.testing.assert_allclose(check()[SOURCE:], plain[SOURCE:], atol=1e-4)
    wrapped.set_adapter("other")
    other = check()
    wrapped.set_adapter("default")
    np.testing.assert_allclose(check(), first, atol=1e-5)
    wrapped.merge_adapter()
    np.testing.assert_allclose(check(), first, atol=1e-3)
    assert not np.allclose(first, plain, atol=1e-3)
    assert not np.allclose(first, other, atol=1e-3)


def test_adapters_that_transformers_itself_adds_after_loading(model):
    plain = row(model)
    model.hf_model.add_adapter(lora(1))
    model.hf_model.eval()
    adapted = row(model)
    np.testing.assert_allclose(adapted[SOURCE:], plain_row(model)[SOURCE:], atol=1e-4)
    assert not np.allclose(adapted, plain, atol=1e-3)
    model.hf_model.disable_adapters()
    np.testing.assert_allclose(row(model), plain, atol=1e-5)


def test_an_adapter_that_adds_tokens_is_refused(byte_tokenizer):
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    wrapped = peft.get_peft_model(tiny_llama(), config).eval()
    with pytest.raises(hw.ModelError, match=r"PROMPT_TUNING puts tokens of its own before the prompt.*LoRA"):
        hw.load_model(wrapped, tokenizer=byte_tokenizer)

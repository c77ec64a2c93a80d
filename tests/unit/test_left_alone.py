"""``load_model`` does not change its arguments, the tokenizer and the model, or settings of the process."""

from __future__ import annotations

import copy
import threading
import warnings

import nnsight
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizer

import horizon_widget as hw
from horizon_widget.remote.load import _without_weights
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT
from tests.vocabularies import gpt2_like, llama2_like, sized_for

pytestmark = pytest.mark.long


class Letters(PreTrainedTokenizer):
    """A tokenizer in Python alone."""

    def __init__(self, **arguments):
        self.letters = dict.fromkeys("abcdefghijklmnopqrstuvwxyz ,.")
        self.numbers = {letter: number for number, letter in enumerate(self.letters)}
        super().__init__(**arguments)

    @property
    def vocab_size(self):
        return len(self.numbers)

    def get_vocab(self):
        return dict(self.numbers)

    def _tokenize(self, text):
        return list(text)

    def _convert_token_to_id(self, token):
        return self.numbers.get(token, 0)

    def _convert_id_to_token(self, index):
        return list(self.numbers)[index]


def with_a_part_in_python():
    """A tokenizer that cannot be copied or written to a file as it is."""

    class Whole:
        def pre_tokenize(self, pretokenized):
            pretokenized.split(lambda _, part: [part])

    tokenizer = gpt2_like()
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.PreTokenizer.custom(Whole()), byte_level]
    )
    return tokenizer


TOKENIZERS = {
    "fast": llama2_like,
    "fast, appends an end": lambda: gpt2_like(append_eos=True),
    "fast, a part in Python": with_a_part_in_python,
    "slow": lambda: Letters(eos_token="."),
}


def copy_if_open(value):
    return copy.copy(value) if isinstance(value, (dict, list, set)) else value


def state_of_tokenizer(tokenizer):
    state = {name: copy_if_open(value) for name, value in vars(tokenizer).items() if name != "_tokenizer"}
    state["special"] = dict(tokenizer.special_tokens_map)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        state["backend"] = (
            backend.padding,
            backend.truncation,
            sorted(backend.get_vocab().items()),
            str(backend.post_processor),
        )
    return state


def state_of_model(hf_model):
    modules = {
        name: {key: (id(value), copy_if_open(value)) for key, value in parts.items()}
        for name, parts in ((name, vars(module)) for name, module in hf_model.named_modules())
    }
    weights = {name: (weight.requires_grad, weight.data_ptr()) for name, weight in hf_model.named_parameters()}
    return modules, weights, hf_model.config.to_dict(), hf_model.generation_config.to_dict()


def state_of_process():
    return (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.get_rng_state().tolist(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        list(warnings.filters),
        nnsight.CONFIG.model_dump(),
    )


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_stays_as_it_was_and_reads_the_same(name):
    tokenizer = TOKENIZERS[name]()
    hf_model = sized_for(ARCHITECTURES["llama"](), tokenizer)
    before, ids = state_of_tokenizer(tokenizer), tokenizer(PROMPT)["input_ids"]
    model = hw.load_model(hf_model, tokenizer=tokenizer)
    hw.attribute(model, PROMPT, layers=0, baseline="zero", progress=False)
    model.write_on([*range(5)], 2)
    assert state_of_tokenizer(tokenizer) == before
    assert tokenizer.padding_side == "right"
    assert tokenizer.pad_token is None
    assert model.tokenize(PROMPT) == tuple(ids)
    assert model.tokenizer is not tokenizer


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text"])
def test_a_model_and_the_process_stay_as_they_were(name, byte_tokenizer):
    hf_model = ARCHITECTURES[name]()
    hf_model.get_input_embeddings().weight.requires_grad_(False)
    hw.load_model(ARCHITECTURES[name](), tokenizer=byte_tokenizer)  # the imports of the first model
    before = state_of_model(hf_model), state_of_process()
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    assert (state_of_model(hf_model), state_of_process()) == before
    for method in ("ablation", "gradient"):
        hw.attribute(model, PROMPT, layers=1, method=method, progress=False)
    assert (state_of_model(hf_model), state_of_process()) == before


def test_a_model_in_memory_stays_where_it_is_beside_a_gpu(byte_tokenizer, monkeypatch):
    moved = []
    monkeypatch.setattr("transformers.pipelines.base.is_torch_cuda_available", lambda: True)
    monkeypatch.setattr(LlamaForCausalLM, "to", lambda self, *places: moved.append(places))
    hw.load_model(ARCHITECTURES["llama"](), tokenizer=byte_tokenizer)
    assert moved == []


def test_the_tokenizer_of_an_nnsight_model_stays_as_its_owner_set_it():
    tokenizer = llama2_like()
    own = nnsight.TransformersModel(sized_for(ARCHITECTURES["llama"](), tokenizer), tokenizer=tokenizer)
    own.tokenizer.padding_side, own.tokenizer.pad_token = "right", None
    before = state_of_tokenizer(own.tokenizer)
    hw.load_model(own)
    assert state_of_tokenizer(own.tokenizer) == before


def test_so_do_a_tokenizer_for_a_folder_and_one_for_a_remote_model(tmp_path):
    tokenizer = llama2_like()
    sized_for(ARCHITECTURES["llama"](), tokenizer).save_pretrained(tmp_path)
    before = state_of_tokenizer(tokenizer)
    hw.load_model(tmp_path, tokenizer=tokenizer)
    traced = _without_weights(str(tmp_path), tokenizer, None, "tiny")
    assert state_of_tokenizer(tokenizer) == before
    assert traced.tokenizer(PROMPT)["input_ids"] == tokenizer(PROMPT)["input_ids"]


def test_a_tokenizer_that_cannot_be_copied_is_refused():
    with pytest.raises(hw.ModelError, match=r"^tokenizer: a lock cannot be copied .*Pass a tokenizer of transformers"):
        hw.load_model(ARCHITECTURES["llama"](), tokenizer=threading.Lock())


def test_a_chat_template_is_given_to_the_model_s_own_tokenizer():
    tokenizer = llama2_like()
    model = hw.load_model(sized_for(ARCHITECTURES["llama"](), tokenizer), tokenizer=tokenizer)
    messages = [{"role": "user", "content": "the cat"}]
    with pytest.raises(hw.QueryError, match=r"no chat template.*model\.tokenizer\.chat_template"):
        model.tokenize(messages)
    model.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    assert model.tokenize(messages) == tuple(tokenizer("the cat", add_special_tokens=False)["input_ids"])

"""Small random models of each architecture, and a tokenizer of bytes, made here."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import horizon_widget as hw
from horizon_widget.models import thread

STORY = (
    "Anna kept the key to the old library in a blue tin on the shelf by the window. Every evening, after the last "
    "visitor had gone, she walked past the long rows of books, turned off the lamps, and locked the heavy door behind "
    "her. One night the tin was empty, and the librarian knew at once that the library would stay closed until someone "
    "found the key. She called Tom and waited in the rain."
)
PROMPT = "the cat sat on the mat, the cat"


@pytest.fixture(scope="session")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each byte of UTF-8: an emoji is four tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def tiny_llama(attention: str = "sdpa") -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        attn_implementation=attention,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


def tiny_gpt2(attention: str = "sdpa") -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=256,
        n_embd=32,
        n_layer=4,
        n_head=4,
        n_positions=64,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation=attention,
    )
    torch.manual_seed(0)
    return GPT2LMHeadModel(config).eval()


ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "llama": tiny_llama,
    "llama, eager attention": lambda: tiny_llama("eager"),
    "gpt2": tiny_gpt2,
    "gpt2, eager attention": lambda: tiny_gpt2("eager"),
}


@pytest.fixture(scope="session", params=ARCHITECTURES)
def any_model(request: pytest.FixtureRequest, byte_tokenizer: Any) -> hw.Model:
    """Each architecture in turn."""
    return hw.load_model(ARCHITECTURES[request.param](), tokenizer=byte_tokenizer)


@pytest.fixture
def model(byte_tokenizer: Any) -> hw.Model:
    """A small Llama, fresh for each test."""
    return hw.load_model(tiny_llama(), tokenizer=byte_tokenizer)


@pytest.fixture(scope="session")
def demo_model() -> hw.Model:
    """The real demo model."""
    return hw.load_model("demo")


@pytest.fixture
def held_model_thread() -> Iterator[Callable[[], None]]:
    """Keeps the model thread busy until called, so that a test can ask several things before the first is done."""
    import threading

    gate = threading.Event()
    thread.submit(gate.wait)
    yield gate.set
    gate.set()

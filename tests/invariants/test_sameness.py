"""Batch, order, attention implementation and threads change values by float tolerance at most."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig

import horizon_widget as hw
from horizon_widget.models import thread
from horizon_widget.question.reading import read_query
from horizon_widget.schedule.engine import Engine, compute
from horizon_widget.schedule.plan import Interest
from tests import reference
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT, architectures

pytestmark = pytest.mark.long

SHORT = PROMPT[:12]
# These have one implementation. Falcon with ALiBi adds its bias twice in transformers' eager attention.
ONE_ATTENTION = ("gemma2", "bloom", "mamba", "falcon, alibi")
TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=2, max_size=9)


def whole(engine, order=None):
    layers = range(engine.model.n_layers) if order is None else order
    for _ in compute(engine, Interest(layer=layers[0], layers=layers)):
        pass
    return engine.map.values.values


@pytest.mark.parametrize("architecture", architectures(*(name for name in ARCHITECTURES if name not in ONE_ATTENTION)))
def test_the_attention_implementation_changes_nothing(architecture, byte_tokenizer):
    maps = []
    for attention in ("sdpa", "eager"):
        model = hw.load_model(ARCHITECTURES[architecture](attention), tokenizer=byte_tokenizer)
        maps.append(whole(Engine(model, read_query(model, SHORT))))
    np.testing.assert_allclose(maps[0], maps[1], atol=2e-4)


def test_the_number_of_threads_changes_nothing(model):
    maps = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            thread.run(lambda threads=threads: torch.set_num_threads(threads))
            maps.append(whole(Engine(model, read_query(model, SHORT))))
    finally:
        thread.run(lambda: torch.set_num_threads(before))
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-4)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT, rows_per_part=st.integers(1, 200), order=st.permutations(range(4)))
def test_neither_batch_size_nor_order_changes_a_value(any_model, text, rows_per_part, order):
    query = read_query(any_model, text, baseline="zero")
    first = whole(Engine(any_model, query, rows_per_part=10_000))
    second = whole(Engine(any_model, query, rows_per_part=rows_per_part), order)
    np.testing.assert_allclose(first, second, atol=1e-4)
    gradient = read_query(any_model, text, baseline="zero", method="gradient")
    first = whole(Engine(any_model, gradient, rows_per_part=10_000))
    second = whole(Engine(any_model, gradient, rows_per_part=rows_per_part))
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-5 * np.abs(first).max())


@st.composite
def random_models(draw):
    kv_heads = draw(st.sampled_from([1, 2, 3]))
    heads = kv_heads * draw(st.integers(1, 3))
    d_head = 2 * draw(st.integers(1, 6))
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=heads * d_head,
        intermediate_size=draw(st.integers(1, 40)),
        num_hidden_layers=draw(st.integers(1, 4)),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=64,
        initializer_range=draw(st.floats(0.05, 0.6)),
        tie_word_embeddings=draw(st.booleans()),
        attn_implementation=draw(st.sampled_from(["sdpa", "eager"])),
    )
    torch.manual_seed(draw(st.integers(0, 100)))
    return AutoModelForCausalLM.from_config(config, attn_implementation=config._attn_implementation).eval()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hf_model=random_models(), text=TEXT, data=st.data())
def test_random_models_and_prompts_agree_with_one_hook(byte_tokenizer, hf_model, text, data):
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    ids = model.tokenize(text)
    layer = data.draw(st.integers(0, model.n_layers - 1))
    source = data.draw(st.integers(0, len(ids) - 2))
    site = data.draw(st.sampled_from(["residual", "attention_output", "mlp_output", "key", "value"]))
    head = data.draw(st.none() | st.integers(0, model.n_key_value_heads - 1)) if site in ("key", "value") else None
    rows = data.draw(st.integers(1, 100))
    engine = Engine(model, read_query(model, text, baseline="zero", site=site, head=head), rows_per_part=rows)
    got = whole(engine)[layer, source]
    values = reference.site_values(hf_model, ids, layer, site)[source]
    width = len(values) if head is None else len(values) // model.n_key_value_heads
    expected = reference.ablated_row(hf_model, ids, layer, source, values.new_zeros(width), site=site, head=head)
    np.testing.assert_allclose(got[source:], expected[source:], atol=1e-4)

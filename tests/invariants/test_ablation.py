"""Influence equals what a plain model with one hook gives, whatever the way it is computed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import horizon_widget as hw
from horizon_widget.attribution.engine import Engine, compute
from horizon_widget.attribution.plan import Interest
from horizon_widget.models import thread
from horizon_widget.query import Query
from tests import reference
from tests.conftest import PROMPT, STORY, tiny_gpt2, tiny_llama

FLOAT32 = 1e-4


def hf_of(model: hw.Model):
    return model._traced._module


@pytest.mark.parametrize("baseline", ["mean", "zero"])
def test_every_cell_equals_a_full_forward_pass_with_one_hook(any_model, baseline):
    ids = any_model.tokenize(PROMPT)
    hmap = hw.attribute(any_model, PROMPT, baseline=baseline, progress=False)
    for layer in range(any_model.n_layers):
        mean = reference.mean_state(hf_of(any_model), ids, layer)
        replacement = mean if baseline == "mean" else torch.zeros_like(mean)
        for source in range(len(ids) - 1):
            expected = reference.ablated_row(hf_of(any_model), ids, layer, source, replacement)
            got = hmap.values.values[layer, source]
            np.testing.assert_allclose(got[source:], expected[source:], atol=FLOAT32)
    assert np.abs(hmap.values.values).max() > 0.1, "the model must react for the comparison to mean anything"


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2])
def test_in_float64_the_agreement_is_to_rounding(build, byte_tokenizer):
    model = hw.load_model(build().double(), tokenizer=byte_tokenizer)
    ids = model.tokenize(PROMPT)
    hmap = hw.attribute(model, PROMPT, layers=[1], baseline="zero", progress=False)
    expected = reference.ablated_row(hf_of(model), ids, 1, 3, torch.zeros(model.d_model, dtype=torch.float64))
    np.testing.assert_allclose(hmap.values.values[1, 3, 3:], expected[3:], rtol=1e-6, atol=1e-7)  # the map is float32


def test_resample_averages_the_effects_of_its_draws(model):
    ids = model.tokenize(PROMPT)
    hmap = hw.attribute(model, PROMPT, layers=[2], baseline="resample", seed=3, progress=False)
    drawn = hmap.dataset["resample_positions"].values
    states = reference.entering_states(hf_of(model), ids)[2]
    for source in (0, 4, len(ids) - 2):
        rows = [reference.ablated_row(hf_of(model), ids, 2, source, states[int(p)]) for p in drawn[:, source]]
        expected = np.mean(rows, axis=0)
        np.testing.assert_allclose(hmap.values.values[2, source, source:], expected[source:], atol=FLOAT32)


def test_draws_never_take_the_source_itself_or_the_first_token(model):
    hmap = hw.attribute(model, PROMPT, layers=[0], baseline="resample", progress=False)
    drawn = hmap.dataset["resample_positions"].values
    assert (drawn != np.arange(drawn.shape[1])).all()
    assert drawn.min() >= 1
    assert drawn.max() <= drawn.shape[1] - 1


def test_the_seed_decides_the_draws(model):
    first, same, other = (
        hw.attribute(model, PROMPT, layers=[0], baseline="resample", seed=seed, progress=False) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.values, same.values)
    assert not np.allclose(first.values.values[0], other.values.values[0])


def test_nothing_before_a_source_moves_bit_for_bit(any_model):
    ids = any_model.tokenize(PROMPT)
    start, source = 2, 7

    def outputs():
        clean = any_model.clean_run(ids)
        states = clean.states[1][start:].repeat(2, 1, 1)
        states[1, source - start] = 0.0  # the second copy is patched, the first is not
        return any_model.inside_trace(clean, lambda: any_model.partial_forward(clean, states, 1, start))

    unpatched, patched = thread.run(outputs)
    assert torch.equal(unpatched[: source - start], patched[: source - start])
    assert not torch.allclose(unpatched[source - start], patched[source - start])


def test_acausal_cells_are_exactly_zero(any_model):
    hmap = hw.attribute(any_model, PROMPT, progress=False)
    acausal = hmap.dataset["offset"].values < 1
    assert (hmap.values.values[:, acausal] == 0.0).all()


def test_a_state_replaced_by_itself_changes_nothing_beyond_the_noise_floor(any_model):
    hmap = hw.attribute(any_model, PROMPT, progress=False)
    floor = hmap.dataset["noise_floor"].values
    assert np.isfinite(floor).all()
    assert (floor < 1e-4).all()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=3, max_size=12),
    rows_per_part=st.integers(1, 200),
    order=st.permutations(range(4)),
)
def test_neither_batch_size_nor_order_changes_a_value(any_model, text, rows_per_part, order):
    ids = any_model.tokenize(text)
    first = Engine(any_model, Query(ids, baseline="zero"), rows_per_part=10_000)
    second = Engine(any_model, Query(ids, baseline="zero"), rows_per_part=rows_per_part)
    thread.run(lambda: [*compute(first, Interest(layer=0, layers=range(4)))])
    thread.run(lambda: [*compute(second, Interest(layer=0, layers=order))])
    np.testing.assert_allclose(first.map.values, second.map.values, atol=FLOAT32)


def test_attribution_leaves_the_model_as_it_was(model):
    before = copy.deepcopy(hf_of(model).state_dict())
    ids = model.tokenize(PROMPT)
    expected = reference.logprobs(hf_of(model), ids)
    hw.attribute(model, PROMPT, progress=False)
    np.testing.assert_array_equal(reference.logprobs(hf_of(model), ids), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in hf_of(model).state_dict().items())


@pytest.mark.demo_model
@pytest.mark.parametrize(("layer", "source"), [(1, 3), (12, 3), (12, 40), (29, 60)])
def test_demo_model_rows_equal_a_full_forward_pass_with_one_hook(demo_model, layer, source):
    ids = demo_model.tokenize(STORY)
    engine = Engine(demo_model, Query(ids, baseline="mean"))
    thread.run(lambda: engine.compute(_one(layer, source)))
    replacement = reference.mean_state(hf_of(demo_model), ids, layer)
    expected = reference.ablated_row(hf_of(demo_model), ids, layer, source, replacement)
    np.testing.assert_allclose(engine.map.values.values[layer, source, source:], expected[source:], atol=FLOAT32)


@pytest.mark.demo_model
def test_the_key_of_the_story_is_used_where_it_returns(demo_model):
    """The far link that the README shows."""
    ids = demo_model.tokenize(STORY)
    texts = [token.text for token in demo_model.read_tokens(ids)]
    first, again = [position for position, text in enumerate(texts) if text == " key"]
    engine = Engine(demo_model, Query(ids))
    thread.run(lambda: engine.compute(_one(12, first)))
    row = engine.map.values.sel(layer=12, source=first)
    far = row.sel(target=slice(first + 2, None))
    assert int(far.idxmax()) == again
    assert float(far.max()) > 3


def _one(layer, source):
    from horizon_widget.attribution.plan import Part

    return Part(layer, (source,))

"""Influence equals plain forward passes with one hook, for every query and every execution strategy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import horizon_widget as hw
from horizon_widget.compute.ablation import Ablation
from horizon_widget.models import thread, trial
from horizon_widget.models.strategies import FULL, REPLAY, SUFFIX
from horizon_widget.models.trial import strategy_for
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.facts import SITES
from horizon_widget.question.query import Query
from horizon_widget.question.reading import read_query
from horizon_widget.schedule.engine import Engine
from horizon_widget.schedule.parts import Part
from tests import reference
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT, STORY, architectures, tiny_gpt2

FLOAT32 = 1e-4
SHORT = PROMPT[:14]
CELLS = [(0, 0), (0, 5), (1, 3), (2, 8), (3, 4), (3, 12)]


def rows(model, cells=CELLS, **arguments):
    """Rows of some cells, computed in one batch."""
    strategy = arguments.pop("strategy", None)
    query = read_query(model, SHORT, **arguments)
    engine = Engine(model, query, strategy=strategy)
    thread.run(lambda: engine.compute(Part("rows", None, tuple(cells))))
    return [engine.map.values.values[cell] for cell in cells]


def replacement(model, layer, source, baseline, site="residual", head=None):
    values = reference.site_values(model.hf_model, model.tokenize(SHORT), layer, site)
    columns = (
        slice(None)
        if head is None
        else slice(*(values.shape[1] // model.n_key_value_heads * h for h in (head, head + 1)))
    )
    chosen = torch.zeros_like(values[0]) if baseline == "zero" else values[1:].mean(dim=0)
    return chosen[columns]


def expect(model, got, cells=CELLS, *, baseline, tolerance=FLOAT32, site="residual", head=None, **asked):
    ids = model.tokenize(SHORT)
    for (layer, source), row in zip(cells, got, strict=True):
        state = replacement(model, layer, source, baseline, site, head)
        expected = reference.ablated_row(model.hf_model, ids, layer, source, state, site=site, head=head, **asked)
        np.testing.assert_allclose(row[source:], expected[source:], atol=tolerance)
        assert (row[:source] == 0).all()
    assert max(np.abs(row).max() for row in got) > 0.01, "the comparison needs a model that reacts"


@pytest.mark.parametrize("baseline", ["mean", "zero"])
def test_cells_equal_full_forward_passes_with_one_hook(any_model, baseline):
    expect(any_model, rows(any_model, baseline=baseline), baseline=baseline)


@pytest.mark.parametrize("site", list(SITES)[1:])
def test_other_sites_equal_full_forward_passes(any_model, site):
    if site_is_refused(any_model, site):
        return
    expect(any_model, rows(any_model, baseline="mean", site=site), baseline="mean", site=site)


def site_is_refused(model, site):
    """Whether a site that an architecture lacks, or has in another place, is refused by name."""
    kind = model.config.model_type
    if kind != "mamba" and not (kind == "opt" and site.endswith("output") and not model.config.do_layer_norm_before):
        return False
    with pytest.raises(hw.QueryError, match="^site: "):
        rows(model, baseline="zero", site=site)
    return True


@pytest.mark.parametrize("site", ["key", "value"])
def test_each_key_value_head_equals_full_forward_passes(any_model, site):
    if site_is_refused(any_model, site):
        return
    for head in {0, any_model.n_key_value_heads - 1}:
        got = rows(any_model, baseline="mean", site=site, head=head)
        ids = any_model.tokenize(SHORT)
        for (layer, source), row in zip(CELLS, got, strict=True):
            state = replacement(any_model, layer, source, "mean", site, head)
            expected = reference.ablated_row(any_model.hf_model, ids, layer, source, state, site=site, head=head)
            np.testing.assert_allclose(row[source:], expected[source:], atol=FLOAT32)
    with pytest.raises(hw.QueryError, match=f"head: {any_model.n_key_value_heads} is out of range"):
        rows(any_model, site=site, head=any_model.n_key_value_heads)


@pytest.mark.parametrize("strategy", [SUFFIX, REPLAY, FULL])
@pytest.mark.parametrize("architecture", architectures("llama", "gemma2", "gpt2", "falcon"))
def test_the_strategies_agree_with_the_hook_at_every_site(architecture, strategy, byte_tokenizer):
    model = hw.load_model(ARCHITECTURES[architecture](), tokenizer=byte_tokenizer)
    for site in SITES:
        expect(model, rows(model, baseline="mean", site=site, strategy=strategy), baseline="mean", site=site)


def test_the_fastest_right_strategy_is_used(any_model):
    ids = any_model.tokenize(SHORT)
    strategy = thread.run(lambda: strategy_for(any_model, any_model.clean_run(ids), any_model.site("residual")))
    kind = any_model.config.model_type
    eager = any_model.config._attn_implementation == "eager"
    eager_alibi = kind == "bloom" or (kind == "falcon" and any_model.config.alibi and eager)
    assert strategy == (REPLAY if kind == "mamba" else FULL if eager_alibi else SUFFIX)


def test_a_strategy_is_tried_once_for_each_site_and_again_for_longer_prompts(model, monkeypatch):
    tried = []
    first_that_agrees = trial.first_that_agrees
    monkeypatch.setattr(
        trial, "first_that_agrees", lambda *args: tried.append(args[2].name) or first_that_agrees(*args)
    )
    for text, site in ((SHORT, "residual"), (SHORT[:5], "residual"), (SHORT, "value"), (PROMPT, "residual")):
        for metric in ("logprob", "logit"):
            hw.attribute(model, text, layers=1, sources=2, site=site, metric=metric, progress=False)
    assert tried == ["residual", "value", "residual"]


METRICS = [
    ("logit", {"metric": "logit"}),
    ("centred_logit", {"metric": "centred_logit"}),
    ("entropy", {"metric": "entropy"}),
    ("kl", {"metric": "kl"}),
    (("logprob", "a"), {"metric": "logprob", "tokens": "a"}),
    (("logit", "a"), {"metric": "logit", "tokens": "a"}),
    (("contrast", "a", "t"), {"metric": "contrast", "tokens": "at"}),
]


@pytest.mark.parametrize(("metric", "asked"), METRICS, ids=[str(metric) for metric, _ in METRICS])
@pytest.mark.parametrize("strategy", [SUFFIX, FULL])
@pytest.mark.parametrize("architecture", architectures("llama", "gemma2", "opt, projected"))
def test_every_metric_equals_full_forward_passes(architecture, metric, asked, strategy, byte_tokenizer):
    model = hw.load_model(ARCHITECTURES[architecture](), tokenizer=byte_tokenizer)
    asked = asked | {"tokens": [model.token_id(token) for token in asked.get("tokens", "")]}
    got = rows(model, baseline="zero", metric=metric, strategy=strategy)
    expect(model, got, baseline="zero", tolerance=3e-4, **asked)
    after_the_prompt = metric not in ("logit", "centred_logit")
    assert len(got[0]) == len(SHORT) - 1 + after_the_prompt


def test_a_function_for_the_log_probability_equals_the_metric(any_model):
    def same(logits, input_ids):
        following = torch.cat([input_ids[1:], input_ids[:1]])
        return torch.log_softmax(logits, -1).gather(-1, following[:, None])[:, 0]

    for by_name, by_function in zip(rows(any_model), rows(any_model, metric=same), strict=True):
        np.testing.assert_allclose(by_function[:-1], by_name, atol=FLOAT32)


def test_kl_is_the_divergence_and_never_negative(any_model):
    for row in rows(any_model, metric="kl"):
        assert row.min() >= -1e-5
        assert row.max() > 0


@pytest.mark.parametrize("build", [tiny_gpt2, ARCHITECTURES["gpt_neox"], ARCHITECTURES["falcon"]])
def test_in_float64_the_agreement_is_to_rounding(build, byte_tokenizer):
    model = hw.load_model(build().double(), tokenizer=byte_tokenizer)
    ids = model.tokenize(SHORT)
    (got,) = rows(model, [(1, 3)], baseline="zero")
    expected = reference.ablated_row(model.hf_model, ids, 1, 3, torch.zeros(model.d_model, dtype=torch.float64))
    np.testing.assert_allclose(got[3:], expected[3:], rtol=1e-6, atol=1e-7)  # the map is float32


# -- baselines -----------------------------------------------------------------------------------------------------


def test_resample_averages_the_effects_of_its_draws(model):
    ids = model.tokenize(PROMPT)
    hmap = hw.attribute(model, PROMPT, layers=[2], baseline="resample", seed=3, progress=False)
    drawn = hmap.dataset["resample_positions"].values
    states = reference.entering_states(model.hf_model, ids)[2]
    for source in (0, 4, len(ids) - 2):
        each = [reference.ablated_row(model.hf_model, ids, 2, source, states[int(p)]) for p in drawn[:, source]]
        expected = np.mean(each, axis=0)
        np.testing.assert_allclose(hmap.values.values[2, source, source:], expected[source:], atol=FLOAT32)


def test_draws_never_take_the_source_itself_or_the_first_token(model):
    hmap = hw.attribute(model, PROMPT, layers=[0], baseline="resample", progress=False, draws=50)
    drawn = hmap.dataset["resample_positions"].values
    assert (drawn != np.arange(drawn.shape[1])).all()
    assert drawn.min() == 1
    assert drawn.max() == drawn.shape[1] - 1


def test_the_seed_decides_the_draws(model):
    first, same, other = (
        hw.attribute(model, PROMPT, layers=[0], baseline="resample", seed=seed, progress=False) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.values, same.values)
    assert not np.allclose(first.values.values[0], other.values.values[0])


def test_counterfactual_states_replace_those_at_the_same_position(model):
    other = "A dog ran away"
    got = rows(model, baseline=("counterfactual", other))
    ids, other_ids = model.tokenize(SHORT), model.tokenize(other)
    for (layer, source), row in zip(CELLS, got, strict=True):
        state = reference.site_values(model.hf_model, other_ids, layer)[source]
        expected = reference.ablated_row(model.hf_model, ids, layer, source, state)
        np.testing.assert_allclose(row[source:], expected[source:], atol=FLOAT32)
    with pytest.raises(hw.QueryError, match="baseline: the counterfactual prompt has 3 tokens and the prompt 14"):
        rows(model, baseline=("counterfactual", "abc"))


def test_the_mean_of_a_corpus_leaves_out_each_text_s_first_token(model):
    texts = ["one text", "another, longer one"]
    got = rows(model, baseline=("mean", texts))
    for (layer, source), row in zip(CELLS, got, strict=True):
        pool = [reference.site_values(model.hf_model, model.tokenize(text), layer)[1:] for text in texts]
        expected = reference.ablated_row(
            model.hf_model, model.tokenize(SHORT), layer, source, torch.cat(pool).mean(dim=0)
        )
        np.testing.assert_allclose(row[source:], expected[source:], atol=FLOAT32)


def test_states_of_a_corpus_are_drawn_from_all_its_texts(model):
    texts = ["one text", "another, longer one"]
    query = read_query(model, SHORT, baseline=("resample", texts), draws=40)
    ablation = Ablation(model, query)
    thread.run(ablation.begin)
    pool = [state for text in texts for state in reference.site_values(model.hf_model, model.tokenize(text), 1)[1:]]
    drawn = {
        min(range(len(pool)), key=lambda k: float((pool[k] - state).norm()))
        for draw in range(40)
        for state in thread.run(lambda draw=draw: ablation.replacements.states(1, range(14), "resample", draw))
    }
    assert drawn == set(range(len(pool)))


def test_a_map_s_baseline_gives_the_same_states_on_another_prompt(model):
    first = hw.attribute(model, PROMPT, baseline="mean", progress=False)
    assert isinstance(first.baseline, Baseline)
    again = hw.attribute(model, PROMPT, baseline=first.baseline, progress=False)
    np.testing.assert_allclose(again.values, first.values, atol=FLOAT32)
    got = rows(model, baseline=first.baseline)
    for (layer, source), row in zip(CELLS, got, strict=True):
        state = reference.mean_state(model.hf_model, model.tokenize(PROMPT), layer)
        expected = reference.ablated_row(model.hf_model, model.tokenize(SHORT), layer, source, state)
        np.testing.assert_allclose(row[source:], expected[source:], atol=FLOAT32)


# -- the model itself ----------------------------------------------------------------------------------------------


def test_attribution_leaves_the_model_as_it_was(model):
    before = copy.deepcopy(model.hf_model.state_dict())
    ids = model.tokenize(PROMPT)
    expected = reference.logprobs(model.hf_model, ids)
    hw.attribute(model, PROMPT, progress=False)
    np.testing.assert_array_equal(reference.logprobs(model.hf_model, ids), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.hf_model.state_dict().items())


@pytest.mark.demo_model
@pytest.mark.parametrize("cell", [(1, 3), (12, 3), (12, 40), (29, 60)])
def test_demo_model_rows_equal_a_full_forward_pass_with_one_hook(demo_model, cell):
    ids = demo_model.tokenize(STORY)
    engine = Engine(demo_model, Query(ids, baseline=Baseline("mean")))
    thread.run(lambda: engine.compute(Part("rows", None, (cell,))))
    layer, source = cell
    state = reference.mean_state(demo_model.hf_model, ids, layer)
    expected = reference.ablated_row(demo_model.hf_model, ids, layer, source, state)
    np.testing.assert_allclose(engine.map.values.values[cell][source:], expected[source:], atol=FLOAT32)


@pytest.mark.demo_model
def test_the_key_of_the_story_is_used_where_it_returns(demo_model):
    """The README shows this far link."""
    ids = demo_model.tokenize(STORY)
    texts = [token.text for token in demo_model.read_tokens(ids)]
    first, again = [position for position, text in enumerate(texts) if text == " key"]
    engine = Engine(demo_model, Query(ids))
    thread.run(lambda: engine.compute(Part("rows", None, ((12, first),))))
    row = engine.map.values.sel(layer=12, source=first)
    far = row.sel(target=slice(first + 2, None))
    assert int(far.idxmax()) == again
    assert float(far.max()) > 3

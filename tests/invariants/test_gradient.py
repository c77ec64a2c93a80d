"""Gradients equal finite differences, an independent library's attributions, and plain autograd through hooks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradientXActivation

import horizon_widget as hw
from horizon_widget.compute.gradient import Gradient
from horizon_widget.models import thread
from horizon_widget.models.backward import gradients
from horizon_widget.models.strategies import FULL, REPLAY, SUFFIX
from horizon_widget.question.facts import SITES
from horizon_widget.question.reading import read_query
from horizon_widget.schedule.engine import Engine, compute
from horizon_widget.schedule.plan import Interest
from tests import reference
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT

SHORT = PROMPT[:12]
ALL_FLOAT64 = ("gpt2", "gpt_neox", "falcon")  # transformers' RMS norms compute in float32 whatever the model's dtype


def gradient_map(model, *, strategy=None, batched=None, rows_per_part=None, **arguments):
    arguments = {"method": "gradient", "baseline": "zero"} | arguments
    query = read_query(model, SHORT, **arguments)
    engine = Engine(model, query, strategy=strategy, batched=batched, rows_per_part=rows_per_part)
    list(compute(engine, Interest(0, layers=range(model.n_layers))))
    return engine.map.values.values


def scale(values):
    return float(np.abs(values).max())


@pytest.mark.parametrize("architecture", ALL_FLOAT64)
def test_gradients_equal_central_differences(architecture, byte_tokenizer):
    model = hw.load_model(ARCHITECTURES[architecture]().double(), tokenizer=byte_tokenizer)
    ids, target, step = model.tokenize(SHORT), 8, 1e-5
    gradient = Gradient(model, read_query(model, SHORT, method="gradient", baseline="zero"))

    def ours():
        run = gradient.experiment
        return gradients(
            model,
            run.clean,
            run.site,
            [target - 1],
            run.scorer,
            lambda _layer, g: g,
            strategy=run.strategy,
            batched=True,
        )

    got = thread.run(ours)
    generator = torch.Generator().manual_seed(0)
    for layer in range(model.n_layers):
        state = reference.entering_states(model.hf_model, ids)[layer]
        for source in (0, 3, target - 1):
            direction = torch.randn(model.d_model, generator=generator, dtype=torch.float64)
            ends = []
            for sign in (1, -1):
                edit = (layer, "residual", source, state[source] + sign * step * direction, None)
                logits = reference.logits_with(model.hf_model, ids, [edit])
                ends.append(reference.metric_values(logits, ids)[target - 1])
            slope = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(float(got[layer, 0, source] @ direction), slope, rtol=1e-6, atol=1e-8)


def test_the_gradient_with_the_zero_baseline_equals_captum(any_model):
    ids = torch.tensor([any_model.tokenize(SHORT)])
    target = 9

    def forward(input_ids):
        logits = any_model.hf_model(input_ids, use_cache=False).logits[:, target - 1]
        return torch.log_softmax(logits, -1)[:, input_ids[0, target]]

    got = gradient_map(any_model)
    blocks = reference.blocks_of(any_model.hf_model)
    for layer in (1, 3):
        # The output of the block before, or the block's input. Captum takes no calls or outputs that contain None.
        enters = any_model.config.model_type == "falcon"
        captum = LayerGradientXActivation(forward, blocks[layer if enters else layer - 1])
        attribution = captum.attribute(ids, attribute_to_layer_input=enters)
        attribution = attribution[0] if isinstance(attribution, tuple) else attribution
        expected = attribution[0].sum(-1).detach().numpy()
        np.testing.assert_allclose(
            got[layer, :target, target - 1], expected[:target], rtol=1e-3, atol=1e-5 * scale(expected) + 1e-6
        )


def test_every_column_equals_autograd_through_hooks(any_model):
    ids = any_model.tokenize(SHORT)
    got = gradient_map(any_model, baseline="mean")
    states = torch.stack(reference.entering_states(any_model.hf_model, ids))
    difference = states - states[:, 1:].mean(dim=1, keepdim=True)
    for target in range(1, len(ids)):
        column = reference.gradient_column(any_model.hf_model, ids, target, range(any_model.n_layers))
        expected = (column * difference).sum(-1).numpy()
        np.testing.assert_allclose(got[:, :, target - 1], expected, rtol=1e-3, atol=1e-5 * scale(got))


@pytest.mark.parametrize("strategy", [SUFFIX, REPLAY, FULL])
@pytest.mark.parametrize("site", SITES)
def test_strategy_and_batching_do_not_change_values(model, strategy, site):
    expected = gradient_map(model, site=site)
    for batched, rows in ((True, 10_000), (False, 30)):
        if strategy == FULL and batched:
            continue
        got = gradient_map(model, site=site, strategy=strategy, batched=batched, rows_per_part=rows)
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5 * scale(expected))


@pytest.mark.parametrize("metric", ["logit", "centred_logit", "entropy", ("contrast", "a", "t"), ("logprob", "a")])
def test_every_metric_has_its_gradient(model, metric):
    name, named = (metric, ()) if isinstance(metric, str) else (metric[0], metric[1:])
    tokens = [model.token_id(token) for token in named]
    got = gradient_map(model, metric=metric)
    ids = model.tokenize(SHORT)
    states = torch.stack(reference.entering_states(model.hf_model, ids))
    column = reference.gradient_column(model.hf_model, ids, 9, range(model.n_layers), name, tokens)
    expected = (column * states).sum(-1).numpy()
    np.testing.assert_allclose(got[:, :, 8], expected, rtol=1e-3, atol=1e-5 * scale(got))


@pytest.mark.parametrize("site", SITES)
def test_gradient_is_the_slope_of_ablation_at_every_site(model, site):
    """For a small step towards the baseline, the exact effect is the step times the gradient."""
    ids, layer, source = model.tokenize(SHORT), 1, 4
    got = gradient_map(model, site=site)[layer, source]
    state = reference.site_values(model.hf_model, ids, layer, site)[source]
    step = 1e-3
    row = reference.ablated_row(model.hf_model, ids, layer, source, (1 - step) * state, site=site)
    np.testing.assert_allclose(got[source:], row[source:] / step, rtol=2e-2, atol=5e-3 * scale(got))


def test_energy_bounds_the_gradient_from_above(any_model):
    energy = gradient_map(any_model, method="energy", baseline="mean")
    gradient = gradient_map(any_model, baseline="mean")
    assert (energy >= np.abs(gradient) * (1 - 1e-4) - 1e-6).all()
    assert (energy >= 0).all()


def test_energy_is_the_product_of_two_norms(model):
    ids = model.tokenize(SHORT)
    energy = gradient_map(model, method="energy")
    states = torch.stack(reference.entering_states(model.hf_model, ids))
    column = reference.gradient_column(model.hf_model, ids, 9, range(model.n_layers))
    expected = (column.norm(dim=-1) * states.norm(dim=-1)).numpy()
    np.testing.assert_allclose(energy[:, :, 8], expected, rtol=1e-3, atol=1e-5)


def test_estimates_are_labelled_so_and_exact_values_are_not(model):
    for method, exact in (("gradient", 0), ("energy", 0), ("ablation", 1)):
        hmap = hw.attribute(model, SHORT, method=method, layers=1, progress=False)
        assert hmap.dataset.attrs["exact"] == exact
        assert ("estimate" in repr(hmap)) == (not exact)


def test_models_with_frozen_parameters_have_gradients(model):
    expected = gradient_map(model)
    model.hf_model.requires_grad_(False)
    np.testing.assert_array_equal(gradient_map(model), expected)
    np.testing.assert_allclose(gradient_map(model, strategy=FULL), expected, atol=1e-5)


def test_a_metric_without_a_gradient_is_refused(model):
    with pytest.raises(hw.QueryError, match="metric: the gradient of kl at the clean state is zero"):
        hw.attribute(model, SHORT, method="gradient", metric="kl")
    with pytest.raises(hw.QueryError, match="metric: function argmax has no gradient"):
        hw.attribute(model, SHORT, method="gradient", metric=argmax, progress=False)


def argmax(logits, _input_ids):
    return logits.argmax(-1).float()

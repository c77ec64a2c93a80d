"""Effects of several states together, effects under several baselines, and the cost of a map."""

import numpy as np
import pytest

import horizon_widget as hw
from tests import reference
from tests.conftest import PROMPT

SHORT = PROMPT[:12]


def together(model, cells, replacements, site="residual"):
    ids = model.tokenize(SHORT)
    edits = [(layer, site, source, state, None) for (layer, source), state in zip(cells, replacements, strict=True)]
    ablated = reference.logits_with(model.hf_model, ids, edits)
    return reference.logprobs(model.hf_model, ids) - reference.metric_values(ablated, ids)


@pytest.mark.parametrize("cells", [[(1, 3), (1, 4), (1, 5)], [(2, 6), (0, 2)], [(3, 1), (1, 4), (2, 4), (1, 2)]])
def test_cells_replaced_together_equal_one_forward_pass_with_all_hooks(any_model, cells):
    got = hw.ablate_together(any_model, SHORT, cells, baseline="mean")
    means = [reference.mean_state(any_model.hf_model, any_model.tokenize(SHORT), layer) for layer, _ in cells]
    first = min(source for _, source in cells)
    expected = together(any_model, cells, means)
    np.testing.assert_allclose(got.values[first:], expected[first:], atol=1e-4)
    assert (got.values[:first] == 0).all()
    assert got.attrs["unit"] == "nats"


def test_together_is_not_the_sum_of_each_alone(model):
    cells = [(1, 3), (1, 4)]
    hmap = hw.attribute(model, SHORT, layers=1, baseline="zero", progress=False)
    alone = hmap.values.values[1, [3, 4]].sum(axis=0)
    both = hw.ablate_together(model, hmap, cells).values
    assert np.abs(alone - both)[4:].max() > 1e-2


def test_several_values_of_one_head_can_be_replaced_together(model):
    got = hw.ablate_together(model, SHORT, [(1, 2), (2, 3)], site="mlp_output", baseline="zero", targets=[5, 9])
    zeros = [0.0 * reference.mean_state(model.hf_model, model.tokenize(SHORT), layer, "mlp_output") for layer in (1, 2)]
    expected = together(model, [(1, 2), (2, 3)], zeros, "mlp_output")
    np.testing.assert_allclose(got.sel(target=[5, 9]), expected[[4, 8]], atol=1e-4)


@pytest.mark.parametrize("cells", [[], [(1, 2, 3)], [(9, 0)], [(0, 99)], 5, [1, 2]])
def test_wrong_cells_are_refused(model, cells):
    with pytest.raises(hw.QueryError, match="^(cells|layers): "):
        hw.ablate_together(model, SHORT, cells)


def test_baseline_sensitivity_gives_the_cell_under_each_baseline_and_its_range(model):
    got = hw.baseline_sensitivity(model, SHORT, 1, 3, 7, seed=2)
    assert list(got["baseline"].values) == ["mean", "zero", "resample"]
    for baseline in ("mean", "zero", "resample"):
        hmap = hw.attribute(model, SHORT, layers=1, baseline=baseline, seed=2, progress=False)
        assert float(got.sel(baseline=baseline)) == pytest.approx(hmap.cell(1, 3, 7), abs=1e-4)
    assert got.attrs["range"] == (got.values.min(), got.values.max())


def test_baseline_sensitivity_of_a_map_s_cell_takes_any_baselines(model):
    hmap = hw.attribute(model, SHORT, layers=1, metric="logit", progress=False)
    other = ("counterfactual", "A dog ran aw")
    got = hw.baseline_sensitivity(model, hmap, 1, 3, 7, baselines=["zero", other])
    assert got.sizes == {"baseline": 2}
    assert got.attrs["unit"] == "logits"
    with pytest.raises(hw.QueryError, match="baselines: it is empty"):
        hw.baseline_sensitivity(model, hmap, 1, 3, 7, baselines=[])


def test_rows_and_columns_compute_only_what_is_asked_for(model):
    row = hw.attribute(model, SHORT, sources=4, baseline="zero", progress=False)
    column = hw.attribute(model, SHORT, targets=[8], baseline="zero", progress=False)
    model.cache.clear()
    whole = hw.attribute(model, SHORT, baseline="zero", progress=False)
    np.testing.assert_allclose(row.values[:, 4], whole.values[:, 4], atol=1e-5)
    np.testing.assert_allclose(column.values[:, :, 7], whole.values[:, :, 7], atol=1e-5)
    causal = whole.dataset["offset"].values >= 1
    for part, (axis, index) in ((row, (1, 4)), (column, (2, 7))):
        others = np.delete(part.values.values, index, axis=axis)
        assert np.isnan(others[:, np.delete(causal, index, axis=axis - 1)]).all()
    with pytest.raises(hw.QueryError, match="targets: nothing predicts the first token"):
        hw.attribute(model, SHORT, targets=[0])
    with pytest.raises(hw.QueryError, match="sources: 12 is out of range"):
        hw.attribute(model, SHORT, sources=[12])


def test_a_cell_is_a_row_and_a_column_at_one_layer(model):
    cell = hw.attribute(model, SHORT, layers=2, sources=3, targets=9, baseline="zero", progress=False)
    assert int(np.isfinite(cell.values.values[cell.values.values != 0]).sum()) == 1
    zero = 0.0 * reference.mean_state(model.hf_model, model.tokenize(SHORT), 2)
    expected = reference.ablated_row(model.hf_model, model.tokenize(SHORT), 2, 3, zero)[8]
    assert cell.cell(2, 3, 9) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", ["ablation", "gradient"])
def test_an_estimate_of_the_cost_comes_before_the_map(model, method):
    cost = hw.estimate(model, SHORT, method=method)
    assert cost.seconds > 0
    assert cost.operations > 0
    assert cost.memory > 0
    assert "about" in str(cost)
    hw.attribute(model, SHORT, method=method, progress=False)
    done = hw.estimate(model, SHORT, method=method)
    assert (done.seconds, done.operations) == (0, 0)

"""Answers about one cell agree with plain hooks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import horizon_widget as hw
from horizon_widget.compute.ablation import Ablation
from horizon_widget.compute.findings import ASPECTS, Cell
from horizon_widget.models import thread
from horizon_widget.question.reading import read_query
from horizon_widget.schedule.engine import exact_engine_for
from horizon_widget.schedule.jobs import Inspection
from tests import reference
from tests.conftest import PROMPT, STORY

SHORT = PROMPT[:12]
LAYER, SOURCE, TARGET = 1, 3, 8


def inspect(engine, cell, aspect):
    """Run an ``Inspection`` to its end and return its findings."""
    inspection = Inspection(engine, cell, aspect)
    while inspection.step():
        pass
    return inspection.found


def replaced_by(model, baseline, draw=0, seed=0):
    """The state that replaces the source's, from plain forward passes."""
    states = reference.entering_states(model.hf_model, model.tokenize(SHORT))[LAYER]
    if baseline == "zero":
        return torch.zeros_like(states[SOURCE])
    if baseline == "mean":
        return states[1:].mean(dim=0)
    hmap = hw.attribute(model, SHORT, layers=LAYER, baseline="resample", seed=seed, progress=False)
    return states[int(hmap.dataset["resample_positions"].values[draw, SOURCE])]


def ablated_logits(model, baseline, draw=0):
    edit = (LAYER, "residual", SOURCE, replaced_by(model, baseline, draw), None)
    return reference.logits_with(model.hf_model, model.tokenize(SHORT), [edit])


@pytest.mark.parametrize("baseline", ["zero", "resample"])
def test_predictions_are_those_of_a_pass_with_the_state_and_one_without(any_model, baseline):
    ids = any_model.tokenize(SHORT)
    got = hw.predictions(any_model, SHORT, LAYER, SOURCE, TARGET, baseline=baseline)
    kept = torch.softmax(reference.clean_logits_of(any_model.hf_model, ids)[TARGET - 1], dim=-1)
    draws = range(3 if baseline == "resample" else 1)
    passes = [torch.softmax(ablated_logits(any_model, baseline, draw)[TARGET - 1], dim=-1) for draw in draws]
    removed = torch.stack(passes).mean(dim=0)
    assert 6 <= len(got) <= 7
    assert got["actual"].sum() == 1
    assert got["kept"].is_monotonic_decreasing
    assert got["kept"].iloc[0] == pytest.approx(float(kept.max()), abs=1e-5)
    assert got["removed"].max() == pytest.approx(float(removed.max()), abs=1e-5)
    actual = got[got["actual"]].iloc[0]
    assert actual["token"] == SHORT[TARGET]
    assert actual["kept"] == pytest.approx(float(kept[ids[TARGET]]), abs=1e-5)
    assert actual["removed"] == pytest.approx(float(removed[ids[TARGET]]), abs=1e-5)


def test_after_the_prompt_no_token_is_the_actual_one(model):
    got = hw.predictions(model, SHORT, LAYER, SOURCE, len(SHORT), metric="entropy", n=3)
    assert not got["actual"].any()
    assert len(got) == 3


@pytest.mark.parametrize("site", ["residual", "mlp_output", "value"])
@pytest.mark.parametrize("metric", ["logprob", "kl", ("contrast", "a", "b")])
def test_verification_repeats_the_map_by_separate_passes(model, metric, site):
    ids = model.tokenize(SHORT)
    hmap = hw.attribute(model, SHORT, layers=LAYER, metric=metric, site=site, baseline="resample", progress=False)
    got = hw.verify(model, hmap, LAYER, SOURCE, TARGET)
    assert got.passes == 4
    assert got.value == hmap.cell(LAYER, SOURCE, TARGET)
    name, tokens = (metric, ()) if isinstance(metric, str) else (metric[0], [model.token_id(t) for t in metric[1:]])
    states = reference.site_values(model.hf_model, ids, LAYER, site)
    positions = hmap.dataset["resample_positions"].values[:, SOURCE]
    rows = [
        reference.ablated_row(model.hf_model, ids, LAYER, SOURCE, states[p], site=site, metric=name, tokens=tokens)
        for p in positions
    ]
    assert got.reference == pytest.approx(float(np.mean(rows, axis=0)[TARGET - 1]), abs=1e-5)
    assert abs(got.difference) < 1e-4


def test_verification_would_notice_a_wrong_map(model):
    hmap = hw.attribute(model, SHORT, layers=LAYER, baseline="zero", progress=False)
    hmap.values.values[LAYER, SOURCE, TARGET - 1] += 0.5
    assert hw.verify(model, hmap, LAYER, SOURCE, TARGET).difference == pytest.approx(0.5, abs=1e-4)


def test_verification_holds_for_every_architecture(any_model):
    got = hw.verify(any_model, SHORT, LAYER, SOURCE, TARGET, baseline="zero")
    row = reference.ablated_row(
        any_model.hf_model, any_model.tokenize(SHORT), LAYER, SOURCE, replaced_by(any_model, "zero")
    )
    assert got.reference == pytest.approx(row[TARGET - 1], abs=1e-5)
    assert got.passes == 2
    assert abs(got.difference) < 1e-4


def carried(model, site, layer, head, replacement):
    """The effect, by plain hooks, of one head's key or value at the source as computed with the state replaced."""
    ids = model.tokenize(SHORT)
    columns = reference.site_module(model.hf_model, layer, site)[1]
    with reference.overwrite(model.hf_model, LAYER, "residual", SOURCE, replacement):
        ablated = reference.site_values(model.hf_model, ids, layer, site)[SOURCE]
    width = len(columns(head))
    state = ablated[head * width : (head + 1) * width]
    row = reference.ablated_row(model.hf_model, ids, layer, SOURCE, state, site=site, head=head)
    return row[TARGET - 1]


def test_carriers_are_the_heads_whose_keys_and_values_alone_have_the_effect(any_model):
    if not any_model.n_key_value_heads:
        with pytest.raises(hw.QueryError, match="^site: .*'key'"):
            hw.carriers(any_model, SHORT, LAYER, SOURCE, TARGET, baseline="zero")
        return
    got = hw.carriers(any_model, SHORT, LAYER, SOURCE, TARGET, baseline="zero", n=100)
    heads = range(any_model.n_key_value_heads)
    assert len(got) == 2 * len(heads) * (any_model.n_layers - LAYER)
    assert got["influence"].abs().is_monotonic_decreasing
    state = replaced_by(any_model, "zero")
    for line in got.itertuples():
        expected = carried(any_model, line.site, line.layer, line.head, state)
        assert line.influence == pytest.approx(expected, abs=1e-4), line
    assert got["influence"].abs().max() > 1e-2


def test_carriers_under_several_draws_are_averaged(model):
    got = hw.carriers(model, SHORT, LAYER, SOURCE, TARGET, baseline="resample", n=3)
    assert len(got) == 3
    line = got.iloc[0]
    states = [replaced_by(model, "resample", draw) for draw in range(3)]
    expected = np.mean([carried(model, line["site"], line["layer"], line["head"], state) for state in states])
    assert line["influence"] == pytest.approx(expected, abs=1e-4)
    assert got.attrs["unit"] == "nats"


def test_carriers_of_another_site_are_refused_in_plain_words(model):
    with pytest.raises(hw.QueryError, match="site: carriers are found for states that enter a block"):
        hw.carriers(model, SHORT, LAYER, SOURCE, TARGET, site="mlp_output")


@pytest.mark.parametrize(
    ("cell", "field"), [((9, 0, 3), "layer"), ((1, 99, 3), "source"), ((1, 3, 99), "target"), ((1, 3, 3), "target")]
)
def test_a_wrong_cell_is_refused_by_field(model, cell, field):
    for ask in (hw.predictions, hw.carriers, hw.verify):
        with pytest.raises(hw.QueryError, match=f"^{field}: "):
            ask(model, SHORT, *cell)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_every_aspect_is_plain_and_agrees_with_the_public_function(model, aspect):
    engine = exact_engine_for(model, read_query(model, SHORT, baseline="mean"))
    found = thread.run(lambda: inspect(engine, Cell(LAYER, SOURCE, TARGET), aspect))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    asked = (model, SHORT, LAYER, SOURCE, TARGET)
    if aspect == "direct":
        parts = hw.direct(model, SHORT, LAYER, SOURCE, targets=TARGET, baseline="mean")
        for name, value in found.items():
            assert value == pytest.approx(float(parts[name].squeeze()), abs=1e-5)
    elif aspect == "baseline_sensitivity":
        values = hw.baseline_sensitivity(*asked)
        assert {line["baseline"]: pytest.approx(line["influence"], abs=1e-5) for line in found} == dict(
            zip(values["baseline"].values, values.values, strict=True)
        )
    elif aspect == "verification":
        assert found["value"] == hw.verify(*asked, baseline="mean").value
    else:
        table = getattr(hw, aspect)(*asked, baseline="mean")
        assert [pytest.approx(line, abs=1e-5) for line in table.to_dict("records")] == found


def test_baseline_sensitivity_leaves_out_baselines_that_a_short_prompt_cannot_have(model):
    engine = exact_engine_for(model, read_query(model, "ab", baseline="zero"))
    found = thread.run(lambda: inspect(engine, Cell(1, 0, 1), "baseline_sensitivity"))
    assert [line["baseline"] for line in found] == ["zero"]


def test_baseline_sensitivity_runs_the_prompt_once(model, monkeypatch):
    runs = []
    clean_run = type(model).clean_run
    monkeypatch.setattr(type(model), "clean_run", lambda self, *args: runs.append(1) or clean_run(self, *args))
    engine = exact_engine_for(model, read_query(model, SHORT, baseline="zero"))
    thread.run(engine.begin)
    assert len(runs) == 1
    thread.run(lambda: inspect(engine, Cell(LAYER, SOURCE, TARGET), "baseline_sensitivity"))
    assert len(runs) == 1


def test_values_that_are_not_finite_are_refused(model, monkeypatch):
    engine = exact_engine_for(model, read_query(model, SHORT, baseline="zero"))
    nothing = np.full((1, 1), np.nan)
    monkeypatch.setattr(Ablation, "total_and_direct", lambda *_: (nothing, nothing))
    with pytest.raises(hw.ModelError, match="The total of this cell is not finite"):
        thread.run(lambda: inspect(engine, Cell(LAYER, SOURCE, TARGET), "direct"))


@pytest.mark.demo_model
def test_a_far_link_of_a_real_model_is_seen_in_its_predictions(demo_model):
    hmap = hw.attribute(demo_model, STORY, layers=12, progress=False)
    link = hmap.strongest_links(1, least_offset=8).iloc[0]
    cell = (int(link["layer"]), int(link["source"]), int(link["target"]))
    actual = hw.predictions(demo_model, hmap, *cell).query("actual").iloc[0]
    assert actual["token"] == link["target_token"]
    change = np.log(actual["kept"]) - np.log(actual["removed"])
    assert change == pytest.approx(link["influence"], abs=1e-3), "the map's value is the change of the prediction"
    verified = hw.verify(demo_model, hmap, *cell)
    assert verified.value == pytest.approx(link["influence"])
    assert abs(verified.difference) < 1e-4

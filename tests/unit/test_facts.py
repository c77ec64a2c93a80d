"""A new metric or method is an entry of ``question/facts.py`` and its arithmetic, as ARCHITECTURE.md says."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import horizon_widget as hw
from horizon_widget.compute import metrics, tasks
from horizon_widget.compute.ablation import Ablation
from horizon_widget.question import facts
from horizon_widget.question.facts import MethodFacts, MetricFacts
from horizon_widget.result import page
from tests.conftest import PROMPT

SHORT = PROMPT[:8]


def test_a_metric_can_be_added(model, monkeypatch, tmp_path):
    new = MetricFacts("", {0: "probability of the actual token", 1: "probability of a token I name"}, of_token=True)
    monkeypatch.setitem(facts.METRICS, "prob", new)
    monkeypatch.setitem(metrics._SCORES, "prob", (lambda *scored: metrics._logprob(*scored).exp(), metrics.ROWS))
    hmap = hw.attribute(model, SHORT, metric="prob", baseline="zero", layers=1, progress=False)

    def prob(logits, input_ids):
        actual = input_ids.roll(-1)
        return logits.softmax(-1).gather(-1, actual[:, None])[:, 0]

    own = hw.attribute(model, SHORT, metric=prob, baseline="zero", layers=1, progress=False)
    np.testing.assert_allclose(hmap.values[1], own.values[1, :, :-1], atol=1e-6)
    named = hw.attribute(model, SHORT, metric=("prob", "a"), baseline="zero", layers=1, progress=False)
    assert str(named.query.metric) == "prob of 'a'"
    assert page.describe_query(hmap)["metric"] == "prob"
    assert {"name": "prob", "n_tokens": 1, "label": "probability of a token I name"} in page.describe_offer()["metrics"]
    hmap.save(tmp_path / "map.nc")
    assert hw.HorizonMap.load(tmp_path / "map.nc").query == hmap.query
    monkeypatch.undo()  # an older version
    with pytest.raises(hw.MapFileError, match=r"has the metric 'prob', which this version .* Upgrade"):
        hw.HorizonMap.load(tmp_path / "map.nc")


class WithErrors(Ablation):
    """A method that fills rows and gives an error for each value."""

    def rows(self, cells, targets=None):
        influence = super().rows(cells, targets)
        return {"influence": influence, "error": np.abs(influence) / 10}


def test_a_method_with_errors_can_be_added(model, monkeypatch, tmp_path):
    monkeypatch.setitem(facts.METHODS, "rough", MethodFacts(exact=False, filled_by="rows", has_error=True))
    monkeypatch.setitem(tasks.COMPUTATIONS, "rough", WithErrors)
    hmap = hw.attribute(model, SHORT, method="rough", metric="kl", baseline="zero", layers=[1, 2], progress=False)
    exact = hw.attribute(model, SHORT, metric="kl", baseline="zero", layers=[1, 2], progress=False)
    np.testing.assert_allclose(hmap.values[1:3], exact.values[1:3], atol=1e-6)
    np.testing.assert_allclose(hmap.dataset["error"][1:3], np.abs(exact.values[1:3]) / 10, atol=1e-6)
    assert np.isnan(hmap.dataset["error"][0].values[hmap.dataset["offset"].values >= 1]).all(), "not asked for"
    assert "error" not in exact.dataset
    assert "an estimate" in repr(hmap)
    hmap.save(tmp_path / "map.nc")
    xr.testing.assert_identical(hw.HorizonMap.load(tmp_path / "map.nc").dataset, hmap.dataset)
    part = hw.attribute(model, SHORT, method="rough", metric="kl", baseline="zero", layers=1, targets=5, progress=False)
    assert np.isfinite(part.dataset["error"][1, :5, 4]).all()

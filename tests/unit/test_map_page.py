"""A map as plain values: all that a page draws, from the map alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.result import page
from horizon_widget.result.horizon_map import HorizonMap
from tests import maps


def test_a_saved_map_is_described_in_plain_values(tmp_path):
    maps.make().save(tmp_path / "map.nc")
    described = page.describe(HorizonMap.load(tmp_path / "map.nc"))
    assert json.loads(json.dumps(described)) == described
    assert described["model_name"] == "m"
    assert [token["text"] for token in described["tokens"][:3]] == [" a", " b", " c"]
    assert described["asked"]["token_ids"] == [position % 3 for position in range(maps.T)]


@pytest.mark.parametrize(
    ("query", "metric", "baseline"),
    [
        ({}, ["logprob"], ["auto"]),
        ({"metric": Metric("kl"), "baseline": Baseline("zero")}, ["kl"], ["zero"]),
        ({"metric": Metric("logit", (1,), label="logit of ' b'")}, ["logit of ' b'"], ["auto"]),
        ({"metric": Metric("function", label="mine")}, ["function", "mine"], ["auto"]),
        ({"baseline": Baseline("mean", ((0, 1, 2),))}, ["logprob"], None),
    ],
)
def test_a_map_tells_what_it_was_asked_with(query, metric, baseline):
    asked = page.describe_asked(maps.empty(**query))
    assert (asked["metric"], asked["baseline"]) == (metric, baseline)


def test_all_finished_rows_are_given_with_their_statistics():
    hmap = maps.make()
    hmap.record(1, [4], np.full((1, hmap.query.n_targets), np.nan))
    rows = [*page.all_rows(hmap)]
    assert [head["layer"] for head, _ in rows] == [0, 1, 2]
    head, (influence, statistics) = rows[1]
    assert head["sources"] == [source for source in range(maps.T) if source != 4]
    shape = (len(head["sources"]), head["n_targets"])
    np.testing.assert_array_equal(
        np.frombuffer(influence, "<f4").reshape(shape), hmap.values.values[1, head["sources"]]
    )
    own_share = np.frombuffer(statistics, "<f4").reshape(-1, shape[0])[0]
    np.testing.assert_allclose(own_share, hmap.own_share().values[1, head["sources"]], rtol=1e-6)
    assert len(page.describe_statistics(hmap)) == len(np.frombuffer(statistics, "<f4")) // shape[0]

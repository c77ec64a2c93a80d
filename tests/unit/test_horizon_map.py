import numpy as np
import pytest

from horizon_widget.errors import QueryError
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.question.query import Query
from horizon_widget.question.tokens import Token
from horizon_widget.result.horizon_map import HorizonMap
from tests.maps import L, T, empty, make, targets_of

# -- a part --------------------------------------------------------------------------------------------------------


def test_a_part_is_chosen_by_the_text_of_tokens():
    hmap = make()
    part = hmap.select(layer=1, source=" b", target=" c")
    assert part.dims == ("source", "target")
    assert part["source"].values.tolist() == [1, 4, 7, 10]
    assert part["target"].values.tolist() == [2, 5, 8, 11]
    assert {*part["target_token"].values} == {" c"}
    np.testing.assert_array_equal(part, hmap.values.values[1][[1, 4, 7, 10]][:, [1, 4, 7, 10]])
    assert hmap.select(source=" b", layer=[0, 2]).dims == ("layer", "source", "target")


def test_a_part_is_chosen_by_number():
    hmap = make()
    assert hmap.select(layer=-1, source=2, target=5).item() == np.float32(hmap.cell(2, 2, 5))
    assert hmap.select(target=[3, 5])["target"].values.tolist() == [3, 5]
    assert hmap.select().identical(hmap.values)


@pytest.mark.parametrize("metric", ["logprob", "entropy"])
def test_a_part_is_chosen_by_offset(metric):
    hmap = make(metric=Metric(metric))
    for offset in targets_of(hmap):
        part = hmap.select(layer=1, offset=offset)
        assert part["source"].values.tolist() == list(range(hmap.query.n_targets - offset + 1))
        assert (part["offset"] == offset).all()
        for source in part["source"].values:
            assert part.sel(source=source).item() == np.float32(hmap.cell(1, source, source + offset))
    assert hmap.select(layer=1, offset=2, source=3).item() == np.float32(hmap.cell(1, 3, 5))


@pytest.mark.parametrize(
    "named",
    [
        {"source": "a"},
        {"target": " z"},
        {"target": 0},
        {"target": T},
        {"source": T},
        {"source": -1},
        {"layer": L},
        {"layer": []},
        {"offset": 0},
        {"offset": T},
        {"offset": 1, "target": 2},
        {"source": [0, T]},
    ],
    ids=str,
)
def test_a_part_that_does_not_exist_is_refused(named):
    with pytest.raises(QueryError):
        make().select(**named)


@pytest.mark.parametrize("source", [T - 3, T - 1, [0, T - 1]], ids=str)
def test_a_source_without_a_target_at_the_offset_is_refused(source):
    with pytest.raises(QueryError, match="source"):
        make().select(offset=3, source=source)


def test_a_token_s_positions_that_reach_the_offset_are_chosen():
    hmap = make()
    assert hmap.select(offset=3, source=" c")["source"].values.tolist() == [2, 5, 8]
    assert hmap.select(offset=3, source=T - 4).sizes == {"layer": L}
    with pytest.raises(QueryError, match="source"):
        hmap.select(offset=T - 1, source=" c")


# -- filling -------------------------------------------------------------------------------------------------------


def test_rows_are_recorded():
    hmap = empty()
    values = np.where(hmap.dataset["offset"].values[[2, 5]] >= 1, 0.5, 0.0)
    hmap.record(1, [2, 5], values)
    np.testing.assert_array_equal(hmap.values.values[1, [2, 5]], values.astype(np.float32))
    # the last source has no target here
    assert np.argwhere(hmap.done).tolist() == [[0, T - 1], [1, 2], [1, 5], [1, T - 1], [2, T - 1]]
    assert hmap.computed_layers == ()
    hmap.record(1, range(T), np.zeros((T, T - 1)))
    assert hmap.computed_layers == (1,)


def test_rows_are_recorded_for_some_targets():
    hmap = empty()
    hmap.record(0, [1, 4], np.array([[1.0, 2.0], [3.0, 4.0]]), targets=[6, 9])
    assert hmap.cell(0, 4, 9) == 4
    assert hmap.cell(0, 1, 6) == 1
    assert np.isnan(hmap.cell(0, 1, 7))
    assert not hmap.done[0, 1]
    assert hmap.done_for([6, 9])[0, [1, 4]].all()
    assert hmap.done_for([9, 6])[0, [1, 4]].all()
    assert not hmap.done_for([6, 7])[0, 1]
    assert not hmap.done_for([9])[1, 1]
    assert hmap.done_for([1])[:, 1:].all()  # acausal
    assert hmap.done_for(None) is hmap.done
    rest = [target for target in range(1, T) if target not in (6, 9)]
    hmap.record(0, [1], np.zeros((1, len(rest))), targets=rest)
    assert hmap.done[0, 1]
    assert not hmap.done[0, 4]


def test_columns_are_recorded():
    hmap = empty()
    columns = np.where(hmap.dataset["offset"].values >= 1, 2.0, 0.0)
    hmap.record_targets([3, 4], np.broadcast_to(columns[:, [2, 3]], (L, T, 2)))
    assert hmap.cell(2, 1, 3) == 2
    assert hmap.done_for([3, 4]).all()
    assert not hmap.done[:, 0].any()
    hmap.record_targets(range(1, T), np.broadcast_to(columns, (L, T, T - 1)))
    assert hmap.done.all()
    assert hmap.computed_layers == tuple(range(L))


def test_a_map_too_large_to_hold_is_refused():
    with pytest.raises(QueryError, match="GB"):
        HorizonMap.empty(Query(tuple(range(40_000))), [Token(0, "")] * 40_000, n_layers=3, attrs={})


# -- copies --------------------------------------------------------------------------------------------------------


def test_a_snapshot_does_not_change():
    hmap = make()
    copy = hmap.snapshot()
    before = copy.dataset.copy(deep=True)
    hmap.record(0, [0], np.full((1, T - 1), 9.0))
    hmap.record_clean(np.ones(T - 1), np.ones((L, T)))
    hmap.dataset["baseline"].values[:] = "zero"
    assert copy.dataset.identical(before)
    assert copy.done.all()


def test_a_snapshot_holds_only_what_was_asked_for():
    hmap = make()
    part = hmap.snapshot(layers=[1, 2], sources=[0, 3], targets=[5, 6])
    for layer in range(L):
        for source in range(T):
            for target in targets_of(hmap):
                value = part.cell(layer, source, target)
                if target <= source:
                    assert value == 0
                elif layer in (1, 2) and source in (0, 3) and target in (5, 6):
                    assert value == hmap.cell(layer, source, target)
                else:
                    assert np.isnan(value)
    assert part.dataset["baseline"].values.tolist() == ["", "mean", "mean"]
    assert np.isnan(part.dataset["noise_floor"].values[0])
    assert hmap.done.all()
    assert not part.done[1, 3]
    assert part.done_for([5, 6])[1, 3]


# -- the baseline --------------------------------------------------------------------------------------------------


def test_the_baseline_holds_the_kinds_that_were_used():
    hmap = make()
    assert hmap.baseline == Baseline("mean", (hmap.query.token_ids,), ("mean",) * L, (False,) * L)
    hmap.dataset["baseline"].values[1] = "resample"
    hmap.dataset["baseline_shock"].values[1] = True
    frozen = hmap.baseline
    assert frozen == Baseline("auto", (hmap.query.token_ids,), ("mean", "resample", "mean"), (False, True, False))
    hmap.dataset["baseline"].values[:] = "zero"
    assert frozen.layers == ("mean", "resample", "mean")
    assert hmap.baseline.kind == "zero"
    assert hmap.baseline.reference == ()


def test_a_baseline_with_its_own_reference_keeps_it():
    reference = ((1, 2, 3), (4, 5))
    assert make(baseline=Baseline("mean", reference)).baseline.reference == reference
    other = (tuple(range(T, 2 * T)),)
    hmap = empty(baseline=Baseline("counterfactual", other))
    assert hmap.baseline == Baseline("counterfactual", other, ("",) * L, (False,) * L)


def test_an_empty_map_has_no_decided_baseline():
    hmap = empty()
    assert hmap.baseline == Baseline("auto", (hmap.query.token_ids,), ("",) * L, (False,) * L)

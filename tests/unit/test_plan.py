import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon_widget.compute.batches import first_cells
from horizon_widget.compute.cost import CostModel
from horizon_widget.question.tokens import Token
from horizon_widget.schedule import labels as words
from horizon_widget.schedule.plan import (
    Interest,
    bisecting,
    nearest_first,
    neighbours_of,
    next_part,
    next_request,
    without_unwanted,
)


def fresh(n_layers=6, n_tokens=9):
    return np.zeros((n_layers, n_tokens), dtype=bool)


def run(done, interest, rows_per_part=20):
    parts = []
    while part := next_part(done, interest, rows_per_part):
        assert len(part) == len(set(part))
        assert [*part] == sorted(part), "a growing batch lets copies in layer by layer"
        for cell in part:
            assert not done[cell], "nothing is computed twice"
            done[cell] = True
        parts.append(part)
    return parts


def test_a_row_is_one_part_where_each_part_is_a_request():
    interest = Interest(layer=3, source=2, layers=[3])
    first = next_request(fresh(), interest, 7)
    assert first == tuple((layer, 2) for layer in range(6))
    longer = next_request(fresh(), interest, 2)
    assert longer == ((2, 2), (3, 2)), "unless it is very long: the layer on the screen first, then nearby ones"
    done = fresh()
    done[:, 2] = True
    rest = next_request(done, interest, 17)
    assert rest == ((3, 0), (3, 1)), "parts of the rest are counted by the positions ahead of each source"
    patient = next_request(fresh(), Interest(layer=3, layers=[3, 1], patient=True), 10_000)
    assert patient == tuple((layer, source) for layer in (1, 3) for source in range(9))


def test_the_selected_token_comes_first_at_the_layer_on_the_screen_then_nearby():
    parts = run(fresh(), Interest(layer=3, source=2, layers=[3]), rows_per_part=7)
    first = [layer for part in parts[:6] for layer, source in part if source == 2]
    assert first == [3, 2, 4, 1, 5, 0]
    assert {layer for part in parts[6:] for layer, _ in part} == {3}


def test_a_clicked_token_s_layers_share_parts():
    parts = run(fresh(), Interest(layer=3, source=2, layers=[3]), rows_per_part=21)
    assert parts[:3] == [((3, 2),), ((1, 2), (2, 2), (4, 2)), ((0, 2), (5, 2))]


def test_only_some_targets_are_computed_no_further_than_the_last():
    part = next_part(fresh(), Interest(layer=0, layers=[0], sources=(2, 3), targets=(4,)), rows=20)
    assert part == ((0, 2), (0, 3))


@given(
    n_layers=st.integers(1, 8),
    n_tokens=st.integers(2, 30),
    rows=st.integers(1, 200),
    sample_first=st.booleans(),
    data=st.data(),
)
def test_all_that_is_wanted_is_computed_once_and_nothing_else(n_layers, n_tokens, rows, sample_first, data):
    done = fresh(n_layers, n_tokens)
    layers = data.draw(st.lists(st.integers(0, n_layers - 1), unique=True))
    source = data.draw(st.none() | st.integers(0, n_tokens - 1))
    run(done, Interest(layer=0, source=source, layers=layers, samples=layers[1:] if sample_first else ()), rows)
    expected = fresh(n_layers, n_tokens)
    expected[layers] = True
    if source is not None:
        expected[:, source] = True
    assert (done == expected).all()


def test_every_layer_is_sampled_before_the_second_layer_is_filled():
    parts = run(fresh(), Interest(layer=3, layers=[3, 0, 5], samples=[0, 5]))
    others = [part for part in parts if part[0][0] != 3]
    assert others[0] == ((0, 1), (5, 1))


@given(starts=st.lists(st.integers(0, 63), min_size=1, max_size=100), rows=st.integers(1, 600))
def test_a_batch_respects_its_rows_unless_one_source_alone_has_more(starts, rows):
    cells = [(0, source) for source in starts]
    while cells:
        chosen = first_cells(cells, 64, rows)
        assert chosen == cells[: len(chosen)]
        assert len(chosen) == 1 or len(chosen) * (64 - min(source for _, source in chosen)) <= rows
        cells = cells[len(chosen) :]
    assert first_cells([(0, 0), (0, 1)], 500, 256) == [(0, 0)]


@pytest.mark.parametrize("n_layers", [1, 2, 3, 30, 31])
def test_orders_name_every_layer_once(n_layers):
    assert sorted(bisecting(n_layers)) == list(range(n_layers))
    assert bisecting(n_layers)[0] == n_layers // 2
    assert sorted(nearest_first(0, n_layers)) == list(range(n_layers))


def test_cost_counts_each_source_s_positions_from_its_own_on():
    cost = CostModel(n_layers=2, n_tokens=3, block=10, head=100)
    done = fresh(2, 3)
    # layer 0: two blocks, layer 1: one; sources 0, 1 and 2 are computed at 3, 2 and 1 positions
    assert cost.missing(done) == 2 * 6 * (2 * 10 + 100) + 2 * 6 * (10 + 100)
    done[0] = True
    assert cost.missing(done) == 2 * 6 * (10 + 100)
    assert cost.missing(without_unwanted(fresh(2, 3), Interest(layer=1, source=1))) == 2 * 2 * (120 + 110)


def test_the_next_clicks_are_computed_before_the_rest_of_the_map():
    parts = run(fresh(), Interest(layer=3, source=2, layers=[3, 0, 5], neighbours=neighbours_of(2, 9)), rows_per_part=9)
    order = [cell for part in parts for cell in part]
    clicked, shown = [(layer, 2) for layer in range(6)], [(3, source) for source in range(9)]
    asked_for = {*clicked, *shown}
    assert set(order[: len(asked_for)]) == asked_for
    then = order[len(asked_for) :]
    assert then[:8] == [(5, 3), (0, 3), (5, 1), (0, 1), (5, 4), (0, 4), (5, 0), (0, 0)]
    assert {layer for layer, _ in then} == {0, 5}, "only wanted layers are filled"


def test_the_sources_of_a_column_come_nearest_layer_first():
    parts = run(fresh(), Interest(layer=3, layers=[3, 0, 5, 4], target=4), rows_per_part=9)
    order = [cell for part in parts for cell in part]
    shown, before = [(3, source) for source in range(9)], [(n, s) for n in (4, 5, 0) for s in range(4)]
    assert order[:9] == shown
    assert sorted(order[9:21]) == sorted(before)
    assert [layer for layer, _ in order[9:21]] == [layer for layer, _ in before]
    assert run(fresh(), Interest(layer=3, layers=[3], target=9), rows_per_part=9)


def test_neighbours_stay_in_the_prompt():
    assert neighbours_of(4, 9) == (5, 3, 6, 2)
    assert neighbours_of(0, 2) == (1,)
    assert neighbours_of(8, 9) == (7, 6)


def test_a_long_token_is_cut_where_a_row_is_named():
    tokens = [Token(0, "\n" + "=" * 60)]
    assert words.row_of(0, tokens) == "row of '\\n==================…'"

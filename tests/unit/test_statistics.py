import numpy as np
import pytest

from horizon_widget.result import statistics


def test_three_quarters_of_the_sources_have_the_default_window_ahead():
    for n_tokens in range(2, 300):
        window = statistics.default_window(n_tokens)
        ahead = n_tokens - 1 - np.arange(n_tokens)

        def enough(k, ahead=ahead):
            return (ahead >= k).mean() >= 0.75

        if window is None:
            assert not enough(2)
        else:
            assert window & (window - 1) == 0
            assert enough(window)
            assert not enough(2 * window)


def test_offsets_are_counted_from_the_source_to_the_predicted_token():
    influence = np.arange(1.0, 21.0).reshape(5, 4)  # 5 sources, targets 1..4
    by_offset = statistics.by_offset(influence, 2)
    assert by_offset[0].tolist() == [influence[0, 0], influence[0, 1]]  # targets 1 and 2
    assert by_offset[2].tolist() == [influence[2, 2], influence[2, 3]]  # targets 3 and 4
    assert np.isnan(by_offset[3]).all()  # only target 4 is ahead
    assert np.isnan(by_offset[4]).all()


def test_a_state_that_serves_a_single_offset_has_that_horizon():
    influence = np.zeros((12, 11))
    for source in range(9):
        influence[source, source + 3 - 1] = -2.0  # offset 3
    distribution = statistics.horizon_distribution(influence, 4)
    assert (distribution[:8] == [0, 0, 1, 0]).all()
    assert (statistics.expected_horizon(influence, 4)[:8] == 3).all()
    assert (statistics.own_share(influence, 4)[:8] == 0).all()


def test_shares_of_signed_influence_use_magnitudes_and_sum_to_one():
    rng = np.random.default_rng(0)
    influence = rng.normal(size=(3, 10, 9))
    distribution = statistics.horizon_distribution(influence, 4)
    np.testing.assert_allclose(distribution[:, :6].sum(axis=-1), 1.0)
    expected = np.abs(influence[1, 2, 2:6]) / np.abs(influence[1, 2, 2:6]).sum()
    np.testing.assert_allclose(distribution[1, 2], expected)


def test_influence_below_the_noise_floor_counts_as_0():
    influence = np.array([[1.0, 1e-6, 1e-6, 1e-6]] * 5)
    assert statistics.own_share(influence, 2, noise_floor=1e-5)[0] == 1.0
    assert np.isnan(statistics.own_share(np.full((5, 4), 1e-6), 2, noise_floor=1e-5)).all()


@pytest.mark.parametrize("missing", [0, 3])
def test_a_row_not_computed_has_no_share(missing):
    influence = np.ones((8, 7))
    influence[2, 2 + missing] = np.nan
    assert np.isnan(statistics.own_share(influence, 4)[2])
    assert not np.isnan(statistics.own_share(influence, 4)[1])


def test_later_influence_is_after_the_own_next_token_and_within_the_window():
    influence = np.zeros((6, 5))
    influence[1, 1:] = [8.0, -2.0, 0.5, 4.0]  # offsets 1 to 4
    assert statistics.later_influence(influence, 3)[1] == 2.5
    assert statistics.later_influence(influence, 3, noise_floor=0.5)[1] == 2.0
    assert statistics.later_influence(influence, 3)[0] == 0.0, "no influence is 0, not NaN"
    assert np.isnan(statistics.later_influence(influence, 3)[3:]).all(), "too few later tokens"
    influence[1, 4] = np.nan
    assert statistics.later_influence(influence, 3)[1] == 2.5
    influence[1, 3] = np.nan
    assert np.isnan(statistics.later_influence(influence, 3)[1])

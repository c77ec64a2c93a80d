import numpy as np
import pytest

from horizon_widget.errors import QueryError
from horizon_widget.question.metric import Metric
from horizon_widget.result import statistics
from tests.maps import L, T, empty, magnitude, make, targets_of

# -- shares and horizons -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_shares_and_horizons_equal_a_plain_loop(window):
    hmap = make()
    own, mean, half = (
        hmap.statistic(name, window=window) for name in ("own_share", "expected_horizon", "half_horizon")
    )
    spread = hmap.horizon_distribution(window=window)
    for layer in range(L):
        for source in range(T):
            here = {"layer": layer, "source": source}
            ahead = [magnitude(hmap, layer, source, source + k) for k in range(1, window + 1) if source + k < T]
            if len(ahead) < window or not sum(ahead):
                assert all(np.isnan(values[here]).all() for values in (own, mean, half, spread))
                continue
            shares = np.array(ahead) / sum(ahead)
            np.testing.assert_allclose(spread[here], shares, rtol=1e-5)
            np.testing.assert_allclose(own[here], shares[0], rtol=1e-5)
            np.testing.assert_allclose(mean[here], sum(k * share for k, share in enumerate(shares, 1)), rtol=1e-5)
            reached, first = 0.0, 0
            while reached < 0.5 - 1e-6:
                reached += shares[first]
                first += 1
            assert half[here] == first
    assert spread.sizes["offset"] == window
    assert own.attrs["window"] == window


def test_statistics_of_some_rows_equal_those_of_the_whole_layer():
    hmap = make()
    hmap.dataset["noise_floor"].values[1] = np.median(np.abs(hmap.values.values[1]))
    sources = [T - 1, 0, 3]
    expected = [hmap.statistic(s.name, layers=1).values[0, sources] for s in statistics.STATISTICS]
    np.testing.assert_array_equal(hmap.statistics_of(1, sources), expected)
    assert np.isfinite(expected).any()
    assert np.isnan(empty(2).statistics_of(0, [0, 1])).all()


@pytest.mark.parametrize(
    ("shares", "half"),
    [([1, 0, 0, 0], 1), ([0, 0, 0, 1], 4), ([1, 1, 1, 1], 2), ([0.1, 0.2, 0.2, 0.5], 3), ([0.49, 0.02, 0.49, 0], 2)],
)
def test_half_of_the_influence_lies_within_the_half_horizon(shares, half):
    influence = np.array([shares, *[[0, *[1] * 3]] * 4], dtype=np.float32)
    assert statistics.half_horizon(influence, 4)[0] == half
    assert statistics.half_horizon(-7 * influence, 4)[0] == half


def test_a_source_without_later_influence_has_no_half_horizon():
    influence = np.zeros((5, 4))
    assert np.isnan(statistics.half_horizon(influence, 2)).all()


def test_statistics_know_their_tokens_and_layers():
    hmap = make()
    own = hmap.own_share(layers=[2, 0])
    assert own["layer"].values.tolist() == [2, 0]
    assert own["source_token"].values.tolist() == [token.text for token in hmap.tokens]
    np.testing.assert_array_equal(own.values, hmap.own_share().values[[2, 0]])
    assert hmap.half_horizon(layers=-1)["layer"].values.tolist() == [2]


def test_a_wrong_window_or_statistic_is_refused():
    with pytest.raises(QueryError, match="own_share"):
        make().statistic("magic")
    for window in (0, T, 1.5, -1):
        with pytest.raises(QueryError, match="window"):
            make().own_share(window=window)
    with pytest.raises(QueryError, match="window"):
        make(n_tokens=3).summary()
    with pytest.raises(QueryError, match="layers"):
        make().own_share(layers=3)


# -- the profile ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("metric", ["logprob", "entropy"])
def test_the_profile_equals_a_plain_loop(sinks, metric):
    hmap = make(metric=Metric(metric))
    hmap.values.values[1, 4, 7] = np.nan
    profile = hmap.offset_profile(sinks=sinks)
    assert profile["offset"].values.tolist() == list(targets_of(hmap))
    for layer in range(L):
        for k in targets_of(hmap):
            reaching = [
                magnitude(hmap, layer, source, source + k)
                for source in range(0 if sinks else 1, T)
                if source + k in targets_of(hmap) and (layer, source, source + k) != (1, 4, 8)
            ]
            here = profile.sel(layer=layer, offset=k)
            assert here["n_sources"] == len(reaching)
            if reaching:
                np.testing.assert_allclose(here["mean"], np.mean(reaching), rtol=1e-6)
            else:
                assert np.isnan(here["mean"])
            if len(reaching) < 2:
                assert np.isnan(here["low"])
                assert np.isnan(here["high"])
            else:
                assert min(reaching) <= here["low"] <= here["high"] <= max(reaching) + 1e-6


def test_the_bootstrap_interval_equals_a_plain_loop():
    hmap = make()
    influence = hmap.values.values[2].astype(float)
    profile = statistics.offset_profile(influence, 0.2, resamples=200, confidence=0.8, seed=5)
    ahead = statistics.above_floor(statistics.each_offset(influence, T - 1), 0.2)
    generator = np.random.default_rng(5)
    draws = []
    for _ in range(200):
        times = generator.multinomial(T, np.full(T, 1 / T))
        rows = np.repeat(ahead, times, axis=0)
        counts = (~np.isnan(rows)).sum(axis=0)
        draws.append([np.nan if not n else np.nansum(rows[:, k]) / n for k, n in enumerate(counts)])
    for k in range(T - 2):  # the last offset has one source
        known = [draw[k] for draw in draws if not np.isnan(draw[k])]
        np.testing.assert_allclose(profile.low[k], np.quantile(known, 0.1), rtol=1e-9)
        np.testing.assert_allclose(profile.high[k], np.quantile(known, 0.9), rtol=1e-9)
    assert np.isnan([profile.low[-1], profile.high[-1]]).all()


def test_the_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        influence = np.full((60, 60), 0.0)
        influence[np.arange(60), np.arange(60)] = 5 + rng.normal(size=60)  # offset 1
        profile = statistics.offset_profile(influence, n_offsets=1, confidence=0.9, resamples=300, seed=seed)
        held += bool(profile.low[0] <= 5 <= profile.high[0])
    assert 0.84 <= held / 300 <= 0.95


def test_the_profile_of_an_empty_map_is_empty():
    profile = empty().offset_profile()
    assert (profile["n_sources"] == 0).all()
    assert np.isnan(profile["mean"]).all()
    assert np.isnan(profile["low"]).all()


def test_the_profile_depends_only_on_its_seed():
    hmap = make()
    assert hmap.offset_profile(seed=3).identical(hmap.offset_profile(seed=3))
    assert not hmap.offset_profile(seed=3)["low"].equals(hmap.offset_profile(seed=4)["low"])


# -- sources of a prediction ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sinks", [False, True])
def test_the_advantage_equals_a_plain_loop(sinks):
    hmap = make(floor=1.2)  # hides whole columns
    hmap.values.values[0, 2, 6] = np.nan
    advantage = hmap.advantage(sinks=sinks)
    assert advantage.name == "advantage"
    assert advantage.dims == ("layer", "source", "target")
    empty_columns = 0
    for layer in range(L):
        for target in targets_of(hmap):
            column = [magnitude(hmap, layer, source, target) if sinks or source else 0.0 for source in range(T)]
            here = advantage.sel(layer=layer, target=target).values
            if (layer, target) == (0, 7) or not sum(column):
                empty_columns += 1
                assert np.isnan(here).all()
            else:
                np.testing.assert_allclose(here, np.array(column) / sum(column), rtol=1e-6)
                np.testing.assert_allclose(here.sum(), 1, rtol=1e-6)
    assert empty_columns >= 2
    assert make().values.equals(make().values)


def test_reading_does_not_change_the_map():
    hmap = make()
    before = hmap.dataset.copy(deep=True)
    hmap.advantage(), hmap.offset_profile(), hmap.summary(), hmap.strongest_links(), hmap.horizon_distribution()
    assert hmap.dataset.identical(before)


# -- sinks ---------------------------------------------------------------------------------------------------------


def test_sinks_have_huge_states_at_most_layers():
    norms = np.ones((4, 9))
    norms[:, 0] = 100  # everywhere
    norms[:2, 3] = 100  # at half of the layers
    norms[0, 5] = 100  # at one
    norms[:, 7] = statistics.SINK_NORM  # not over it
    assert np.flatnonzero(statistics.find_sinks(norms)).tolist() == [0, 3]
    assert not statistics.find_sinks(np.ones((4, 1))).any()
    assert not statistics.find_sinks(np.zeros((4, 5))).any()


def test_recording_the_clean_run_finds_the_sinks():
    hmap = empty()
    norms = np.ones((L, T))
    norms[:, 0] = 50
    hmap.record_clean(np.arange(T - 1), norms)
    assert np.flatnonzero(hmap.dataset["sink"]).tolist() == [0]
    assert hmap.dataset["clean_metric"].values.tolist() == list(range(T - 1))
    np.testing.assert_array_equal(hmap.dataset["state_norm"], norms)


# -- tables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sinks", [False, True])
def test_the_summary_equals_a_plain_loop(sinks):
    hmap = make()
    table = hmap.summary(sinks=sinks)
    sources = range(0 if sinks else 1, T)
    for layer in range(L):
        line = table.loc[layer]
        later = [
            sum(magnitude(hmap, layer, i, i + k) for k in range(2, hmap.window + 1))
            for i in sources
            if i + hmap.window < T
        ]
        np.testing.assert_allclose(line["later_influence"], np.mean(later), rtol=1e-6)
        own = hmap.own_share().values[layer, list(sources)]
        np.testing.assert_allclose(line["own_share"], np.nanmean(own))
        assert line["sources"] == (~np.isnan(own)).sum()
        assert line["baseline"] == "mean"
    assert np.isnan(table.loc[0, "noise_floor"])
    assert table.attrs["unit"] == "nats"
    assert hmap.summary(layers=[2], sinks=sinks).loc[2].equals(table.loc[2])


def test_the_summary_of_an_empty_map_has_no_sources():
    table = empty().summary()
    assert (table["sources"] == 0).all()
    assert table[["later_influence", "own_share", "half_horizon"]].isna().all(axis=None)


@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("least_offset", [-5, 1, 3])
def test_the_strongest_links_equal_a_plain_loop(sinks, least_offset):
    hmap = make()
    hmap.values.values[0, 3, 8] = np.nan
    cells = [
        (layer, source, target)
        for layer in range(L)
        for source in range(0 if sinks else 1, T)
        for target in targets_of(hmap)
        if target - source >= max(least_offset, 1) and (layer, source, target) != (0, 3, 9)
    ]
    cells = [cell for cell in cells if magnitude(hmap, *cell)]
    expected = sorted(cells, key=lambda cell: -magnitude(hmap, *cell))
    for n in (0, 7, 10_000):
        table = hmap.strongest_links(n, least_offset=least_offset, sinks=sinks)
        assert list(zip(table["layer"], table["source"], table["target"], strict=True)) == expected[:n]
        for line in table.itertuples():
            assert line.influence == hmap.cell(line.layer, line.source, line.target)
            assert line.offset == line.target - line.source
            assert line.source_token == hmap.tokens[line.source].text
            assert line.target_token == hmap.tokens[line.target].text


def test_the_links_of_chosen_layers_keep_their_numbers():
    table = make().strongest_links(5, layers=[2])
    assert set(table["layer"]) == {2}
    assert len(empty().strongest_links()) == 0
    with pytest.raises(QueryError):
        make().strongest_links(-1)

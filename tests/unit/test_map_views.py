import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_widget.errors import HorizonError, QueryError
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.question.query import Query
from horizon_widget.question.tokens import Token
from horizon_widget.result.horizon_map import HorizonMap

N = 8


def make(texts=None, *, fill=True, attrs=None, n_tokens=N, **options):
    texts = texts or [f" t{position}" for position in range(n_tokens)]
    query = Query(tuple(range(len(texts))), **options)
    tokens = [Token(*item) for item in enumerate(texts)]
    hmap = HorizonMap.empty(query, tokens, n_layers=3, attrs=attrs or {"model": "m"})
    rng = np.random.default_rng(0)
    for layer in range(3) if fill else ():
        values = np.where(hmap.dataset["offset"] >= 1, rng.normal(size=hmap.values.shape[1:]), 0.0)
        hmap.record(layer, range(query.n_tokens), values)
        hmap.dataset["baseline"].values[layer] = "mean" if layer else "resample"
    return hmap


# -- a table -------------------------------------------------------------------------------------------------------


def test_the_table_has_each_computed_cell_ahead():
    hmap = make(baseline=Baseline("mean"))
    values = hmap.values.values
    values[0, 1, 3] = np.nan
    table = hmap.to_dataframe()
    assert list(table.columns) == ["layer", "source", "source_token", "target", "target_token", "offset", "influence"]
    expected = [
        (layer, source, f" t{source}", target, f" t{target}", target - source, values[layer, source, target - 1])
        for layer in range(3)
        for source in range(N)
        for target in range(source + 1, N)
        if (layer, source, target) != (0, 1, 4)
    ]
    assert list(table.itertuples(index=False, name=None)) == expected
    assert table.attrs == {"unit": "nats", "baseline": "mean"}


def test_an_empty_map_is_an_empty_table():
    assert len(make(fill=False).to_dataframe()) == 0


def test_the_table_keeps_odd_texts():
    texts = ["\ud800", "\0", "x" * 10_000, "\ud83d\ude00"]
    table = make(texts).to_dataframe()
    assert {*table["source_token"]} == {*texts[:3]}
    assert {*table["target_token"]} == {*texts[1:]}


# -- a line --------------------------------------------------------------------------------------------------------


def test_the_line_describes_the_map():
    line = repr(make(site="key", head=2, metric=Metric("logit", (3,), label="logit of ' a'")))
    for part in ("m", "3 layers x 8 tokens", "ablation", "logit of ' a' in logits", "resample, mean", "key, head 2"):
        assert part in line
    assert "100% computed" in line
    assert "3 whole layers" in line
    assert "estimate" not in line
    assert len(line.splitlines()) <= 3


def test_the_line_of_an_empty_estimate():
    line = repr(make(fill=False, method="gradient", metric=Metric("function", label="mine"), attrs={"other": 1}))
    assert "gradient (an estimate)" in line
    assert "not prepared" in line
    assert "0% computed (0 whole layers)" in line
    assert "mine" in line
    assert "in ," not in line


def test_an_unfinished_map_does_not_show_100_percent():
    hmap = make(n_tokens=200)
    hmap.record(0, [0], np.full((1, 199), np.nan))
    hmap = hmap.snapshot()
    assert "100%" not in repr(hmap)
    assert "2 whole layers" in repr(hmap)


def test_the_line_of_chosen_targets_says_how_much_is_computed():
    hmap = make()
    assert " 0% computed" not in repr(hmap.snapshot(targets=[3, 4]))


# -- HTML ----------------------------------------------------------------------------------------------------------


def test_html_shows_and_escapes_every_token():
    page = make(["<script>", "&", '"', "a\nb", "\N{RIGHT-TO-LEFT OVERRIDE}", "\0", "\ud800", "'"])._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    for character in ("\N{RIGHT-TO-LEFT OVERRIDE}", "\0", "\ud800"):
        assert character not in page
        assert f"\\u{ord(character):04x}" in page
    page.encode()  # what is sent to the notebook


def test_html_escapes_the_line_too():
    page = make(attrs={"model": "<b>\ud800"}, metric=Metric(label="<i>"))._repr_html_()
    assert "<b>" not in page
    assert "<i>" not in page
    page.encode()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=8), min_size=2))
def test_html_of_any_tokens_can_be_sent(texts):
    hmap = make(texts)
    hmap._repr_html_().encode()
    assert len(hmap.to_dataframe()) == 3 * len(texts) * (len(texts) - 1) / 2


def test_html_is_shaded_by_own_share_at_the_middle_computed_layer():
    hmap = make(n_tokens=16)
    page = hmap._repr_html_()
    assert "layer 1" in page
    for share in hmap.own_share(layers=1).values[0][:4]:
        assert f"{0.45 * share:.2f})" in page
    assert "layer 2" in hmap.snapshot(layers=[0, 2])._repr_html_()
    assert "rgba" not in make(fill=False)._repr_html_()


def test_html_of_a_long_prompt_is_short():
    page = make([*(f"<{position}>" for position in range(300)), "x"])._repr_html_()
    assert "&lt;199&gt;" in page
    assert "&lt;200&gt;" not in page
    assert len(make(["a", "x" * 10_000, "b"])._repr_html_()) < 5_000


def test_html_of_prompts_too_short_for_a_share():
    for n_tokens in (2, 3):
        assert "t1" in make(n_tokens=n_tokens)._repr_html_()
    assert "t0" in make(n_tokens=1, metric=Metric("entropy"))._repr_html_()


# -- a picture -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pyplot():
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def drawn(ax):
    ax.figure.canvas.draw()
    (image,) = ax.images
    return image


@pytest.mark.parametrize(
    ("named", "shape", "down", "across"),
    [
        ({"layer": 1}, (N, N - 1), "source", "target"),
        ({"layer": -1}, (N, N - 1), "source", "target"),
        ({"source": 2}, (3, N - 1), "layer", "target"),
        ({"target": 5}, (3, N), "layer", "source"),
    ],
    ids=str,
)
def test_a_picture_has_labelled_axes_and_blue_for_positive(pyplot, named, shape, down, across):
    hmap = make()
    ax = hmap.plot(**named)
    image = drawn(ax)
    assert image.get_array().shape == shape
    assert down in ax.get_ylabel()
    assert across in ax.get_xlabel()
    low, high = image.get_clim()
    assert low == -high < 0
    red, _, blue, _ = image.cmap(image.norm(high))
    assert blue > red
    red, _, blue, _ = image.cmap(image.norm(low))
    assert red > blue
    assert "nats" in image.colorbar.ax.get_ylabel()
    chosen = hmap.select(**named)
    ahead = np.broadcast_to(chosen["offset"].values >= 1, shape)
    np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), ~ahead)
    np.testing.assert_array_equal(np.asarray(image.get_array())[ahead], chosen.values[ahead])
    texts = [label.get_text() for label in ax.get_xticklabels()]
    assert any("t5" in text or text == "5" for text in texts)


def test_cells_not_computed_are_masked(pyplot):
    hmap = make()
    hmap.values.values[1, 2, 5] = np.nan
    assert np.ma.getmaskarray(drawn(hmap.plot(layer=1)).get_array())[2, 5]


def test_a_picture_goes_into_given_axes(pyplot):
    _, axes = pyplot.subplots(1, 2)
    assert make().plot(layer=0, ax=axes[1]) is axes[1]
    assert not axes[0].images


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.long
def test_pictures_of_odd_maps(pyplot):
    drawn(make(fill=False).plot(layer=0))
    nothing = make()
    nothing.values.values[:] = 0
    low, high = drawn(nothing.plot(layer=0)).get_clim()
    assert low < high
    drawn(make(["$", "$x^$", "\\", "\ud800", "\0", "a\nb", "{", "x" * 300]).plot(layer=0))
    drawn(make(n_tokens=1, metric=Metric("entropy")).plot(target=1))
    unitless = make(metric=Metric("function", label="mine"))
    assert "()" not in drawn(unitless.plot(source=0)).colorbar.ax.get_ylabel()
    long = make(n_tokens=300).plot(layer=0)
    drawn(long)
    assert len(long.get_xticks()) <= 50


@pytest.mark.parametrize("named", [{}, {"layer": 0, "source": 1}, {"layer": 3}, {"source": N}, {"target": 0}], ids=str)
def test_a_picture_needs_exactly_one_existing_selection(pyplot, named):
    with pytest.raises(QueryError):
        make().plot(**named)
    assert not pyplot.get_fignums()


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(HorizonError, match=r'pip install "horizon-widget\[plot\]"'):
        make().plot(layer=0)

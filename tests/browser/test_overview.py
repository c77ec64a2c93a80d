"""The whole map: layers by offsets, own share with its spread, the strongest links."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.browser.reader import said, shown, values_of


@pytest.fixture
def overview(short):
    """The overview of a short prompt whose map is complete."""
    cell = shown(short)
    part = cell.locator(".overview")
    part.scroll_into_view_if_needed()
    return part


def table_of(part):
    """The texts of a part's table: a list for each row, its header first."""
    part.get_by_role("button", name="table").click()
    part.locator("tbody tr").first.wait_for()
    return part.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )


def test_own_share_by_layer_is_the_median_and_the_middle_half_of_its_tokens(short, overview):
    shares = values_of(short, "short.map.own_share().values")
    sinks = json.loads(short.python("import json; print(json.dumps(list(short.sinks)))"))
    shares = np.delete(shares, sinks, axis=1)
    rows = table_of(overview.locator(".own-share"))
    assert [int(row[0]) for row in rows] == list(range(len(shares)))[::-1]
    for header, median, low, high, n_tokens, *_ in rows:
        values = shares[int(header)][~np.isnan(shares[int(header)])]
        assert int(n_tokens) == len(values)
        expected = np.quantile(values, [0.5, 0.25, 0.75])
        np.testing.assert_allclose([float(median), float(low), float(high)], expected, atol=0.006)


def test_each_cell_is_a_mean_over_the_sources_that_reach_so_far(short, overview):
    profile = short.python(
        "profile = short.map.offset_profile(layers=12)\n"
        "import json; print(json.dumps([profile['mean'].values[0].tolist(), profile['n_sources'].values[0].tolist()]))"
    )
    means, counts = json.loads(profile)
    plot = overview.locator(".offset-profile .plot")
    plot.focus()
    words = overview.locator(".offset-profile .overview-words")
    short.python("short.selected_layer = 12")
    # The cursor begins at the layer on the screen.
    short.page.locator("[data-added]").last.locator(".layer-number").get_by_text("12", exact=True).wait_for()
    plot.press("Home")
    for offset in range(1, 9):
        words.get_by_text(f"layer 12 · {offset} token" if offset > 1 else "layer 12 · ").wait_for()
        text = words.inner_text()
        assert f"mean magnitude {said(means[offset - 1])} nats over {counts[offset - 1]} sources" in text
        plot.press("ArrowRight")


def test_a_click_chooses_the_layer_and_colours_the_tokens_that_a_cell_is_made_of(short, overview, screenshot):
    canvas = overview.locator("canvas.profile-map")
    box = canvas.bounding_box()
    columns, rows = canvas.evaluate("canvas => [canvas.width, canvas.height]")
    x = box["x"] + box["width"] * 2.5 / columns
    y = box["y"] + box["height"] * (rows - 20 - 0.5) / rows
    short.page.mouse.click(x, y)
    short.expect("(short.selected_layer, short.selected_offset) == (20, 3)")
    cell = short.page.locator("[data-added]").last
    cell.locator(".text[data-reading='offset']").wait_for()
    values = values_of(short, OFFSET_3)
    labels = cell.locator("[data-position]").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    for position, value in enumerate(values):
        if abs(value) > 0.01:
            assert f"{said(value)} nats" in labels[position], position
    screenshot(cell, "overview")


OFFSET_3 = (
    "__import__('numpy').array([short.map.values.values[20, i, i + 2] "
    "for i in range(len(short.tokens)) if i + 3 <= short.n_targets])"
)


def test_the_strongest_links_are_the_maps_own_and_a_click_away(short, overview, screenshot):
    links = overview.locator("[data-link]:not([hidden])")
    links.first.wait_for()
    overview.get_by_title("at any distance").click()
    # For each pair of tokens, the layer at which it is strongest.
    table = "short.map.strongest_links(40).drop_duplicates(['source', 'target'])"
    expected = json.loads(short.python(f"print({table}.to_json(orient='records'))"))
    for index, link in enumerate(expected[:3]):
        words = links.nth(index).get_attribute("title")
        assert f"{said(link['influence'])} nats" in words
        assert f"layer {link['layer']}, " in words
        assert f"({link['source']}) → " in words
    links.first.click()
    first = expected[0]
    short.expect(
        "(short.selected_layer, short.selected_source, short.selected_target) == "
        f"({first['layer']}, {first['source']}, {first['target']})"
    )
    assert links.first.get_attribute("aria-pressed") == "true"


def test_sinks_count_only_where_they_are_asked_to(short, overview):
    before = overview.locator("canvas.profile-map").evaluate("canvas => canvas.toDataURL()")
    overview.get_by_role("button", name="count sinks").click()
    short.expect("short.include_sinks is True")
    short.page.wait_for_function(
        "([element, before]) => element.toDataURL() !== before",
        arg=[overview.locator("canvas.profile-map").element_handle(), before],
    )

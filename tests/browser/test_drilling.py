"""From a token to a layer to a cell and its findings."""

from __future__ import annotations

import json
import re

import numpy as np

from tests.browser.lab import READY_MS
from tests.browser.reader import (
    ALPHA_STEP,
    KEY,
    KEY_AGAIN,
    LAYER,
    expected_alpha,
    heat_map,
    point_at_cell,
    read_token,
    root,
    select_cell,
    token,
    values_of,
    wait_ready,
)


def test_a_click_paints_what_python_computes(notebook, screenshot):
    read_token(notebook, KEY)
    painted = heat_map(notebook)
    assert painted["source"] == str(KEY)
    expect_painted(notebook, painted, values_of(notebook, f"widget.map.values.values[:, {KEY}, {KEY}:]"))
    screenshot(notebook.page, "drill-down")


def test_a_column_is_painted_at_every_layer(notebook):
    read_token(notebook, KEY + 3, "column")
    notebook.python("widget.selected_layer = 29")
    notebook.expect(f"widget.map.done[29, :{KEY + 3}].all()")
    wait_ready(notebook, "column")
    painted = heat_map(notebook)
    assert painted["target"] == str(KEY + 3)
    values = values_of(notebook, f"widget.map.values.values[:, :{KEY + 3}, {KEY + 2}]")
    assert np.isfinite(values[29]).all()
    expect_painted(notebook, painted, values)


def expect_painted(notebook, painted, expected):
    """Compare the pixels with values of the kernel. Cells that arrived meanwhile may be transparent."""
    pixels = painted["pixels"]
    assert pixels.shape[:2] == expected.shape
    floor = values_of(notebook, "widget.map.dataset['noise_floor'].values")[:, None]
    alpha = expected_alpha(expected, float(painted["scale"]), np.broadcast_to(floor, expected.shape))
    known = np.isfinite(alpha)
    np.testing.assert_allclose(pixels[..., 3][known] / 255, alpha[known], atol=ALPHA_STEP)
    strong = known & (pixels[..., 3] > 60)  # the colour is readable only if there is some
    bluer = pixels[..., 2] > pixels[..., 0]
    assert strong.any()
    np.testing.assert_array_equal(bluer[strong], (expected > 0)[strong])


def test_the_painted_numbers_equal_an_attribution_of_their_own(notebook, demo_model):
    """The kernel's widget agrees with ``attribute`` in this process, which computes the same cells in another way."""
    import horizon_widget as hw

    notebook.python(f"widget.selected_layer = {LAYER}; _ = widget.wait(); widget.cancel()")
    story = notebook.python("print(story, end='')")
    sources = [0, KEY, 30, KEY_AGAIN]
    ours = hw.attribute(demo_model, story, layers=[LAYER], sources=sources, progress=False).values.values
    theirs = values_of(notebook, f"widget.map.values.values[{LAYER}, {sources}]")
    np.testing.assert_allclose(theirs, ours[LAYER, sources], atol=1e-4)


def test_pointing_at_a_cell_reads_it(notebook, screenshot):
    notebook.python(f"widget.selected_layer = {LAYER}")
    read_token(notebook, KEY)
    notebook.page.mouse.move(*point_at_cell(notebook, LAYER, KEY_AGAIN - KEY - 1))
    value = float(notebook.python(f"print(widget.map.cell({LAYER}, {KEY}, {KEY_AGAIN}))"))
    notebook.page.wait_for_function(
        "said => document.querySelector('.horizon-widget').shadowRoot.textContent.includes(said)",
        arg=f"layer {LAYER} · “ key” ({KEY}) → “ key” ({KEY_AGAIN})",
    )
    words = root(notebook).locator(".readout").first.inner_text()
    assert f"+{value:.2f} nats" in words
    assert "exact" in words
    assert "71 tokens ahead" in words
    assert "does not show that it was planned" in words
    screenshot(notebook.page, "readout")


def test_a_click_on_a_cell_selects_it_and_a_release_lets_it_go(notebook):
    notebook.python(f"widget.selected_layer = {LAYER}")
    read_token(notebook, KEY)
    notebook.page.mouse.click(*point_at_cell(notebook, LAYER - 2, KEY_AGAIN - KEY - 1))
    notebook.expect(f"(widget.selected_layer, widget.selected_target) == {LAYER - 2, KEY_AGAIN}")
    notebook.page.wait_for_selector(f"[data-position='{KEY_AGAIN}'][data-target]")
    root(notebook).get_by_role("button", name="Release this cell").click()
    notebook.expect(f"widget.selected_target is None and widget.selected_source == {KEY}")


def found(notebook, aspect):
    """A part of the card, once it has its findings."""
    part = root(notebook).locator(f"[data-aspect='{aspect}'][data-status='found']")
    part.wait_for(timeout=READY_MS)
    return part


def test_the_card_shows_the_predictions_with_and_without_the_state(notebook):
    select_cell(notebook)
    table = notebook.python(
        f"print(hw.predictions(model, story, {LAYER}, {KEY}, {KEY_AGAIN}).to_json(orient='records'))"
    )
    actual = next(row for row in json.loads(table) if row["actual"])
    rows = found(notebook, "predictions").locator("tbody tr")
    assert rows.count() >= 3
    words = found(notebook, "predictions").locator("tr[data-actual]").inner_text()
    assert "key" in words
    assert actual["kept"] > actual["removed"]
    percent = [float(number) for number in re.findall(r"([\d.]+)\s%", words)]
    np.testing.assert_allclose(percent, [100 * actual["kept"], 100 * actual["removed"]], rtol=0.06)


def test_the_card_tells_direct_from_indirect(notebook):
    select_cell(notebook)
    notebook.python(f"parts = hw.direct(model, story, {LAYER}, [{KEY}], targets=[{KEY_AGAIN}])")
    direct, indirect = (float(notebook.python(f"print(parts.{part}.item())")) for part in ("direct", "indirect"))
    words = found(notebook, "direct").inner_text()
    assert f"{abs(direct):.2f} nats" in words
    assert f"{abs(indirect):.2f} nats" in words


def test_the_card_gives_the_range_over_baselines(notebook):
    select_cell(notebook)
    expected = json.loads(
        notebook.python(
            f"print(hw.baseline_sensitivity(model, story, {LAYER}, {KEY}, {KEY_AGAIN}).to_series().to_json())"
        )
    )
    words = found(notebook, "baseline_sensitivity").inner_text()
    for baseline in ("mean", "zero"):
        assert f"+{expected[baseline]:.2f} nats" in words


def test_the_heads_that_carry_it_are_found_on_request(notebook):
    select_cell(notebook)
    root(notebook).get_by_role("button", name="Find the heads that carry it").click()
    assert "layer" in found(notebook, "carriers").inner_text()


def test_verify_repeats_the_number_by_a_separate_pass(notebook, screenshot):
    select_cell(notebook)
    root(notebook).get_by_role("button", name="Verify by a separate pass").click()
    part = found(notebook, "verification")
    value = float(notebook.python(f"print(widget.map.cell({LAYER}, {KEY}, {KEY_AGAIN}))"))
    assert f"{value:.2f}" in part.inner_text()
    assert part.locator(".agrees").count() == 1
    screenshot(notebook.page, "cell")


TRACKS = """root => [...root.shadowRoot.querySelectorAll('.bars')].map(list =>
    [...list.querySelectorAll('.bar-track')].map(track => {
        const {left, width} = track.getBoundingClientRect();
        return [left, width];
    }))"""
TOP = "root => root.shadowRoot.querySelector('.overview').getBoundingClientRect().top + scrollY"


def test_bars_lie_on_one_axis_and_findings_move_nothing(notebook, screenshot):
    select_cell(notebook, LAYER - 2)  # nothing was asked about it
    for aspect in ("predictions", "direct", "baseline_sensitivity"):
        found(notebook, aspect)
    page, widget = notebook.page, root(notebook)
    before = widget.evaluate(TOP) - widget.evaluate("root => root.getBoundingClientRect().top + scrollY")
    for name, aspect in (("Find the heads that carry it", "carriers"), ("Verify by a separate pass", "verification")):
        widget.get_by_role("button", name=name).click()
        page.wait_for_selector(f"[data-aspect='{aspect}'][data-status='found']", timeout=READY_MS)
    after = widget.evaluate(TOP) - widget.evaluate("root => root.getBoundingClientRect().top + scrollY")
    assert after == before
    charts = widget.evaluate(TRACKS)
    assert [len(tracks) > 1 for tracks in charts] == [True, True, True]
    for tracks in charts:
        np.testing.assert_allclose(tracks, [tracks[0]] * len(tracks), atol=0.1)
        assert tracks[0][1] >= 24
    screenshot(widget, "findings")


def test_a_reloaded_page_shows_the_same_picture(notebook):
    select_cell(notebook)
    before = heat_map(notebook)["pixels"]
    page = notebook.page
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    page.wait_for_selector(".horizon-widget[data-state='ready'] .text[data-reading='row']", timeout=READY_MS)
    token(notebook, KEY_AGAIN).wait_for()
    np.testing.assert_array_equal(heat_map(notebook)["pixels"], before)

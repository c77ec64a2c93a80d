"""The prompt as text: its colours, and the number of each."""

from __future__ import annotations

import numpy as np

from tests.browser.reader import (
    ALPHA_STEP,
    FIRST_LAYER,
    KEY,
    KEY_AGAIN,
    LAYER,
    alpha_of,
    button,
    expected_alpha,
    is_blue,
    read_token,
    root,
    text_of,
    token,
    values_of,
    wait_ready,
)


def test_the_first_picture_colours_every_token_that_has_a_value(notebook, screenshot):
    shares = values_of(notebook, f"widget.map.own_share(layers={FIRST_LAYER}).values[0]")
    seen = text_of(notebook)[: len(shares)]
    assert [one["kind"] == "value" for one in seen] == [not np.isnan(share) for share in shares]
    known = ~np.isnan(shares)
    alphas = np.array([alpha_of(one["colour"]) for one in seen])
    np.testing.assert_allclose(alphas[known], shares[known], atol=2 * ALPHA_STEP)
    screenshot(notebook.page, "first-picture")


def test_every_token_says_its_number_or_why_there_is_none(notebook):
    shares = values_of(notebook, f"widget.map.own_share(layers={FIRST_LAYER}).values[0]")
    labels = [one["label"] for one in text_of(notebook)]
    assert f"{shares[KEY]:.2f}" in labels[KEY]
    assert "key" in labels[KEY]
    assert "attention sink" in labels[0]
    assert "after it" in labels[len(shares) - 2], "too little text after it"
    assert all(labels)


def test_another_statistic_is_a_click_away(notebook):
    root(notebook).get_by_text("half horizon", exact=True).first.click()
    notebook.expect("widget.statistic == 'half_horizon'")
    halves = values_of(notebook, f"widget.map.half_horizon(layers={FIRST_LAYER}).values[0]")
    label = f"half horizon {halves[KEY]:g}" if halves[KEY] >= 100 else "half horizon"
    notebook.page.wait_for_function(
        "([position, label]) => document.querySelector('.horizon-widget').shadowRoot"
        ".querySelector(`[data-position='${position}']`).getAttribute('aria-label').includes(label)",
        arg=[KEY, label],
    )


def test_the_tooltip_shows_the_number_and_how_it_spreads(notebook, screenshot):
    shares = values_of(notebook, f"widget.map.own_share(layers={FIRST_LAYER}).values[0]")
    token(notebook, KEY).hover()
    tooltip = root(notebook).get_by_role("tooltip")
    tooltip.wait_for()
    words = tooltip.inner_text()
    assert "key" in words
    assert f"own share {shares[KEY]:.2f}" in words
    assert tooltip.locator("svg").count() == 1
    screenshot(notebook.page, "tooltip")
    notebook.page.keyboard.press("Escape")


def test_a_row_is_painted_on_the_text_as_python_computes_it(notebook):
    notebook.python(f"widget.selected_layer = {LAYER}")
    read_token(notebook, KEY)
    notebook.expect(f"widget.selected_source == {KEY}")
    seen = text_of(notebook)
    row = values_of(notebook, f"widget.map.values.values[{LAYER}, {KEY}]")  # column c is target c + 1
    floor = values_of(notebook, "widget.map.dataset['noise_floor'].values")[LAYER]
    scale = float(root(notebook).locator("canvas.heat-map").get_attribute("data-scale"))
    later = range(KEY + 1, min(len(seen), len(row) + 1))
    alphas = np.array([alpha_of(seen[target]["colour"]) for target in later])
    values = np.array([row[target - 1] for target in later])
    np.testing.assert_allclose(alphas, expected_alpha(values, scale, floor), atol=2 * ALPHA_STEP)
    for target, value in zip(later, values, strict=True):
        if abs(value) / scale > 0.02:
            assert is_blue(seen[target]["colour"]) == (value > 0), target
    assert [one["kind"] for one in seen[:KEY]] == ["outside"] * KEY
    assert f"{row[KEY_AGAIN - 1]:.2f}" in seen[KEY_AGAIN]["label"]


def test_a_column_shows_which_states_carry_a_prediction(notebook, screenshot):
    notebook.python(f"widget.selected_layer = {LAYER}")
    read_token(notebook, KEY_AGAIN, "column")
    notebook.expect(f"widget.direction == 'column' and widget.selected_target == {KEY_AGAIN}")
    notebook.python("_ = widget.wait()")
    wait_ready(notebook, "column")
    seen = text_of(notebook)
    column = values_of(notebook, f"widget.map.values.values[{LAYER}, :{KEY_AGAIN}, {KEY_AGAIN - 1}]")
    floor = values_of(notebook, "widget.map.dataset['noise_floor'].values")[LAYER]
    scale = float(root(notebook).locator("canvas.heat-map").get_attribute("data-scale"))
    alphas = np.array([alpha_of(one["colour"]) for one in seen[:KEY_AGAIN]])
    np.testing.assert_allclose(alphas, expected_alpha(column, scale, floor), atol=2 * ALPHA_STEP)
    assert f"{column[KEY]:.2f}" in seen[KEY]["label"]
    assert {one["kind"] for one in seen[KEY_AGAIN + 1 :]} <= {"outside"}
    screenshot(notebook.page, "column")


def test_the_switch_turns_a_row_into_a_column(notebook):
    read_token(notebook, KEY_AGAIN)
    root(notebook).get_by_text("comes from", exact=True).click()
    wait_ready(notebook, "column")
    notebook.expect(f"widget.direction == 'column' and widget.selected_target == {KEY_AGAIN}")
    root(notebook).get_by_text("used later", exact=True).click()
    wait_ready(notebook, "row")
    notebook.expect(f"widget.direction == 'row' and widget.selected_source == {KEY_AGAIN}")


def test_the_scale_can_be_kept_across_clicks(notebook):
    notebook.python(f"widget.selected_layer = {LAYER}")
    read_token(notebook, KEY)
    canvas = root(notebook).locator("canvas.heat-map")
    scale = float(canvas.get_attribute("data-scale"))
    notebook.python(f"widget.fixed_scale = {2 * scale}")
    notebook.page.wait_for_selector(f"canvas.heat-map[data-scale='{2 * scale:g}']")
    notebook.page.keyboard.press("Escape")
    read_token(notebook, KEY + 7)
    assert float(canvas.get_attribute("data-scale")) == 2 * scale


def test_arcs_are_drawn_on_request(notebook, screenshot):
    notebook.python(f"widget.selected_layer = {LAYER}")
    read_token(notebook, KEY)
    arcs = root(notebook).locator(".reading svg.arcs path")
    assert arcs.count() == 0
    button(notebook, "arcs").click()
    arcs.first.wait_for(state="attached")
    notebook.expect("widget.show_arcs is True")
    screenshot(notebook.page, "arcs")


def test_pins_stand_side_by_side(notebook, screenshot):
    notebook.python(f"widget.selected_layer = {LAYER}")
    for position in (KEY, 20):
        token(notebook, position).click(modifiers=["Control"])
    notebook.expect(f"list(widget.pinned_sources) == [{KEY}, 20]")
    pins = root(notebook).locator("li[data-pin]")
    pins.nth(1).wait_for()
    assert pins.count() == 2
    # The kernel computes the values for a pin without another request.
    notebook.expect(f"widget.map.done[{LAYER}, [{KEY}, 20]].all()")
    assert token(notebook, KEY).get_attribute("data-pin") == "1"
    screenshot(notebook.page, "pins")
    pins.first.get_by_role("button", name="Unpin").click()
    notebook.expect("list(widget.pinned_sources) == [20]")


def test_words_are_read_as_one(notebook):
    notebook.python("widget.prompt = 'Antidisestablishmentarianism is unthinkable, she said.'; _ = widget.wait()")
    wait_ready(notebook, "statistic")
    assert "tokens" not in text_of(notebook)[0]["label"]
    button(notebook, "words").click()
    notebook.expect("widget.show_words is True")
    notebook.page.wait_for_function(
        "() => document.querySelector('.horizon-widget').shadowRoot.querySelector('[data-position]')"
        ".getAttribute('aria-label').startsWith('“Antidisestablishmentarianism”, tokens 0 to ')"
    )

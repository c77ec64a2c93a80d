"""Accessibility: axe-core finds no problem, everything works by keyboard, every number is available as text."""

from __future__ import annotations

import pytest

from tests.browser.axe import violations
from tests.browser.lab import READY_MS
from tests.browser.reader import (
    FIRST_LAYER,
    KEY,
    KEY_AGAIN,
    LAYER,
    button,
    read_token,
    root,
    select_cell,
    token,
    wait_ready,
)

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@pytest.fixture(params=list(THEMES))
def themed(notebook, request):
    """The notebook in each theme."""
    notebook.theme(THEMES[request.param])
    notebook.page.wait_for_selector(f".horizon-widget[data-theme='{request.param}']")
    yield notebook
    notebook.theme(THEMES["light"])
    notebook.page.wait_for_selector(".horizon-widget[data-theme='light']")


def test_axe_finds_nothing_while_nothing_is_selected(themed):
    assert violations(themed.page) == []


def test_axe_finds_nothing_with_a_cell_selected(themed):
    select_cell(themed)
    themed.page.wait_for_selector("[data-aspect='baseline_sensitivity'][data-status='found']", timeout=READY_MS)
    for name in ("Verify by a separate pass", "Find the heads that carry it"):
        asked = root(themed).get_by_role("button", name=name)
        if asked.count():  # otherwise it is known from the other theme
            asked.click()
    themed.page.wait_for_selector("[data-aspect='carriers'][data-status='found']", timeout=READY_MS)
    assert violations(themed.page) == []


def test_axe_finds_nothing_with_a_column_pins_and_arcs(themed):
    themed.python(f"widget.pinned_sources = [{KEY}, 20]; widget.show_arcs = True; widget.find = 'key'")
    read_token(themed, KEY_AGAIN, "column")
    themed.page.wait_for_selector("li[data-pin='1']")
    assert violations(themed.page) == []


def test_axe_finds_nothing_with_the_editor_open(themed):
    button(themed, "Edit prompt").click()
    root(themed).get_by_role("textbox", name="Prompt").wait_for()
    assert violations(themed.page) == []


def test_axe_finds_nothing_in_an_error(themed):
    themed.python("widget.set_trait('error', {'title': 'No memory', 'advice': 'Use less.', 'detail': 'Traceback'})")
    root(themed).get_by_text("No memory").wait_for()
    assert violations(themed.page) == []
    themed.python("widget.set_trait('error', None)")
    root(themed).get_by_text("No memory").wait_for(state="hidden")


def focused(notebook):
    """The focused element within the widget: its role, name and position."""
    return notebook.page.evaluate(
        """() => {
            const element = document.querySelector('.horizon-widget')?.shadowRoot.activeElement;
            if (!element) return null;
            const name = element.getAttribute('aria-label') ?? element.textContent;
            return {tag: element.localName, name, position: element.dataset.position ?? null,
                    classes: element.className};
        }"""
    )


def tab_to(notebook, found, key="Tab"):
    """Press Tab until the given element has the focus."""
    for _ in range(60):
        notebook.page.keyboard.press(key)
        now = focused(notebook)
        if now is not None and found(now):
            return now
    raise AssertionError("the Tab key never reached it")


def let_go(notebook):
    """Press Escape; the first press closes an open tooltip."""
    if root(notebook).get_by_role("tooltip").count():
        notebook.page.keyboard.press("Escape")
    notebook.page.keyboard.press("Escape")


def test_the_keyboard_alone_reads_drills_and_goes_back(notebook):
    page = notebook.page
    button(notebook, "Edit prompt").focus()
    first = tab_to(notebook, lambda now: now["position"] is not None)
    assert root(notebook).locator(".text [tabindex='0']").count() == 1, "one stop of the Tab key"
    page.keyboard.press("Home")
    for _ in range(KEY):
        page.keyboard.press("ArrowRight")
    assert focused(notebook)["position"] == str(KEY), first
    page.keyboard.press("Enter")
    wait_ready(notebook, "row")
    notebook.expect(f"widget.selected_source == {KEY}")
    page.keyboard.press("p")
    notebook.expect(f"list(widget.pinned_sources) == [{KEY}]")
    page.keyboard.press("p")
    notebook.expect("list(widget.pinned_sources) == []")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    notebook.expect(f"widget.selected_target == {KEY + 4}")
    let_go(notebook)
    notebook.expect(f"widget.selected_target is None and widget.selected_source == {KEY}")
    page.keyboard.press("c")
    notebook.expect(f"widget.direction == 'column' and widget.selected_target == {KEY + 4}")
    wait_ready(notebook, "column")
    let_go(notebook)
    notebook.expect("widget.selected_target is None")
    page.keyboard.press("Control+z")
    notebook.expect(f"widget.selected_target == {KEY + 4}")
    page.keyboard.press("Control+Shift+Z")
    notebook.expect("widget.selected_target is None")


def test_the_keyboard_alone_goes_through_the_heat_map(notebook):
    page = notebook.page
    notebook.python(f"widget.selected_layer = {LAYER}")
    read_token(notebook, KEY)
    token(notebook, KEY).focus()
    tab_to(notebook, lambda now: "plot" in now["classes"])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    last = int(notebook.python("print(widget.map.query.n_targets)"))
    notebook.expect(f"widget.selected_target == {last} and widget.selected_source == {KEY}")
    spoken = root(notebook).locator(".grid [aria-live]").first
    assert "nats" in spoken.text_content()
    page.keyboard.press("Escape")
    page.wait_for_function(
        "position => document.querySelector('.horizon-widget').shadowRoot.activeElement?.dataset.position === position",
        arg=str(KEY),
    )


def test_no_key_meant_for_the_widget_reaches_the_notebook(notebook):
    page = notebook.page
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    root(notebook).locator(".layer-slider").focus()
    cell = page.evaluate(active)
    n_cells = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length")
    for key in ("ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    notebook.expect(f"widget.selected_layer == {FIRST_LAYER + 2}")
    token(notebook, KEY).focus()
    for key in ("a", "b", "d", "d", "x", "m", "ArrowDown", "ArrowUp"):  # JupyterLab's: add, delete, cut, move
        page.keyboard.press(key)
    assert page.evaluate(active) == cell
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length") == n_cells


def test_the_heat_map_is_there_as_a_table(notebook):
    notebook.python(f"widget.selected_layer = {LAYER}")
    read_token(notebook, KEY)
    root(notebook).locator(".drill-down").get_by_text("table", exact=False).first.click()
    value = float(notebook.python(f"print(widget.map.cell({LAYER}, {KEY}, {KEY_AGAIN}))"))
    table = root(notebook).locator(".drill-down table").filter(has_text=f"+{value:.2f}")
    table.first.wait_for()
    assert table.first.locator("th").count() > 10
    root(notebook).get_by_role("button", name="Close the table").first.click()

"""Appearance: pictures for review in each theme and at each width, and no overflow."""

from __future__ import annotations

import pytest

from tests.browser.lab import READY_MS
from tests.browser.reader import KEY_AGAIN, button, read_token, root, select_cell

WIDTHS = (320, 800, 1600)
SHOW_WIDTH = """(root, width) => {
    root.style.width = width === null ? '' : `${width}px`;
    root.style.maxWidth = 'none';
}"""
STICKING_OUT = """root => {
    const {right, left} = root.getBoundingClientRect();
    const scrolls = element => {
        for (let node = element.parentElement; node !== null; node = node.parentElement)
            if (getComputedStyle(node).overflowX !== 'visible') return true;
        return false;
    };
    return [...root.shadowRoot.querySelectorAll('*')]
        .filter(element => element.checkVisibility() && element.getClientRects().length > 0 && !scrolls(element))
        .filter(element => !element.closest('.unseen'))
        .filter(element => element.getBoundingClientRect().right > right + 1
                        || element.getBoundingClientRect().left < left - 1)
        .map(element => element.outerHTML.slice(0, 80));
}"""


@pytest.fixture
def roomy(notebook):
    """A page with room for the widest picture."""
    page = notebook.page
    page.set_viewport_size({"width": 2100, "height": 5200})  # and for the longest
    yield notebook
    root(notebook).evaluate(SHOW_WIDTH, None)
    page.set_viewport_size({"width": 1400, "height": 1300})
    notebook.theme("JupyterLab Light")
    page.wait_for_selector(".horizon-widget[data-theme='light']")


def nothing(notebook):
    """Nothing is selected."""


def cell(notebook):
    select_cell(notebook)
    for aspect in ("predictions", "direct", "baseline_sensitivity"):
        notebook.page.wait_for_selector(f"[data-aspect='{aspect}'][data-status='found']", timeout=READY_MS)


def column(notebook):
    read_token(notebook, KEY_AGAIN, "column")


def editor(notebook):
    button(notebook, "Edit prompt").click()
    root(notebook).get_by_role("textbox", name="Prompt").wait_for()


@pytest.mark.parametrize("state", [nothing, cell, column, editor])
def test_it_fits_at_every_width_in_both_themes(roomy, screenshot, state):
    page = roomy.page
    state(roomy)
    page.mouse.move(0, 0)
    for theme in ("Light", "Dark"):
        roomy.theme(f"JupyterLab {theme}")
        page.wait_for_selector(f".horizon-widget[data-theme='{theme.lower()}']")
        for width in WIDTHS:
            root(roomy).evaluate(SHOW_WIDTH, width)
            settle(page)
            screenshot(root(roomy), f"{state.__name__}-{theme.lower()}-{width}")
            assert root(roomy).evaluate(STICKING_OUT) == [], width


def settle(page):
    """Wait until the page has been laid out and painted."""
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
    )


def test_the_palette_follows_the_theme(roomy):
    read_token(roomy, KEY_AGAIN)
    colours = {}
    for theme in ("Light", "Dark"):
        roomy.theme(f"JupyterLab {theme}")
        roomy.page.wait_for_selector(f".horizon-widget[data-theme='{theme.lower()}']")
        settle(roomy.page)
        colours[theme] = root(roomy).evaluate(
            "root => getComputedStyle(root.shadowRoot.querySelector('.page')).getPropertyValue('--needed')"
        )
    assert colours["Light"] != colours["Dark"]


def test_nothing_moves_on_the_page_while_values_arrive(notebook):
    """The text, the heat map and the parts below keep their places from the first value to the last."""
    notebook.python("widget.prompt = 'Here is a text of its own. ' + story[:80]; widget.cancel()")
    notebook.page.wait_for_selector(".horizon-widget [data-position='8']:text-is('Anna')")
    notebook.python("widget.selected_source = 3; widget.resume()")
    canvas = root(notebook).locator("canvas.heat-map")
    canvas.wait_for()
    notebook.page.wait_for_function(
        "() => Number(document.querySelector('.horizon-widget').shadowRoot"
        ".querySelector('canvas.heat-map').dataset.rows) > 0",
        timeout=READY_MS,
    )
    places = """root => ['.text', '.legend', '.drill-down', 'canvas.heat-map', '.readout', '.overview'].map(name => {
        const box = root.shadowRoot.querySelector(name).getBoundingClientRect();
        const origin = root.getBoundingClientRect();
        return [name, Math.round(box.x - origin.x), Math.round(box.y - origin.y), Math.round(box.width)];
    })"""
    first = root(notebook).evaluate(places)
    notebook.python("_ = widget.wait()")
    notebook.page.wait_for_selector(".horizon-widget[data-state='ready']", timeout=READY_MS)
    assert root(notebook).evaluate(places) == first

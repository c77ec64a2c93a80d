"""The widget of a remote model, in a real JupyterLab and on a real NDIF: reading, cancelling, faults, saving."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.browser.lab import READY_MS, Notebook, jupyter_lab
from tests.browser.reader import alpha_of, button, root, shown, text_of, token, values_of, wait_ready
from tests.remote.conftest import TRUSTED

PROMPT = "The capital of Spain is Madrid. Tom"
ON_REQUEST = re.compile(r"\d of 30 layers done · the rest.* on request: the host is shared")
SPAIN, IS, MADRID, OF = 3, 4, 5, 2
EMPTY = {"cells": [{"cell_type": "code", "id": "first", "metadata": {}, "source": [], "outputs": []}]}
NOTE_WORDS = """() => {
    const words = document.querySelector('.horizon-widget').shadowRoot.querySelector('.progress-words');
    window.said = [];
    new MutationObserver(() => window.said.push(words.textContent)).observe(
        words, {characterData: true, childList: true, subtree: true});
}"""


@pytest.fixture(scope="module")
def notebook(ndif, browser, tmp_path_factory):
    """A notebook with ``widget``, whose model is on the host, and its first layer computed."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    file = folder / "notebooks" / "remote.ipynb"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    file.write_text(json.dumps({**EMPTY, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    with jupyter_lab(file.parent, folder, NDIF_HOST=ndif.url, NDIF_API_KEY=TRUSTED) as address:
        page = browser.new_page(viewport={"width": 1400, "height": 1300})
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        notebook = Notebook(page, address, file.name)
        notebook.file = file
        notebook.python("import horizon_widget as hw; model = hw.load_model('demo', remote=True)")
        shown(notebook, f"widget = hw.HorizonWidget(model, {PROMPT!r})\nwidget")
        page.evaluate(NOTE_WORDS)
        yield notebook
        page.close()


def words(notebook):
    return root(notebook).locator(".progress-words")


def painted(notebook):
    """The opacity of each token."""
    return np.array([alpha_of(one["colour"]) for one in text_of(notebook)])


def ask_in_vain(ndif, notebook, position):
    """Click a token whose row the host begins but does not finish, because it is paused."""
    ndif.pause("model")
    token(notebook, position).click()
    text = notebook.python(f"print(widget.map.tokens[{position}].text)").strip("\n")
    words(notebook).filter(has_text=f"Computing row of '{text}'").wait_for()
    words(notebook).filter(has_text="(127.0.0.1:").wait_for()


def is_known(notebook, position):
    """Whether a token's row is known at every layer."""
    return notebook.python(f"print(widget.map.done[:, {position}].all())").strip() == "True"


def wait_for_row(notebook, position):
    """Wait until a token's row is known at every layer, and painted."""
    notebook.expect(f"widget.map.done[:, {position}].all() and widget.state == 'ready'", timeout=READY_MS / 1000)
    wait_ready(notebook, "row")


def test_a_click_is_answered_and_nothing_else_is_asked_of_the_host(notebook):
    words(notebook).filter(has_text=ON_REQUEST).wait_for()
    token(notebook, SPAIN).click()
    wait_for_row(notebook, SPAIN)
    assert any("(127.0.0.1:" in said for said in notebook.page.evaluate("window.said"))
    row = values_of(notebook, f"widget.map.values.sel(layer=widget.selected_layer, source={SPAIN}).values")
    strongest = int(np.nanargmax(np.abs(row))) + 1
    assert painted(notebook)[SPAIN + 1 :].argmax() + SPAIN + 1 == strongest
    words(notebook).filter(has_text=ON_REQUEST).wait_for()


def test_cancel_ends_at_once_and_the_next_click_is_answered(ndif, notebook):
    ask_in_vain(ndif, notebook, IS)
    assert not is_known(notebook, IS)
    button(notebook, "Cancel").click()
    words(notebook).filter(has_text="Stopped").wait_for(timeout=3000)
    notebook.expect("widget.state == 'ready'", timeout=3)
    ndif.resume("model")
    token(notebook, MADRID).click()
    wait_for_row(notebook, MADRID)


def test_a_fault_is_told_rows_stay_and_resume_goes_on(ndif, notebook):
    token(notebook, SPAIN).click()
    wait_ready(notebook, "row")
    before = painted(notebook)
    ndif.kill("api")
    token(notebook, OF).click()
    notice = root(notebook).locator(".notice[data-kind='error']")
    notice.wait_for(timeout=READY_MS)
    assert re.search(r"127\.0\.0\.1:\d+ cannot be reached", notice.inner_text())
    assert TRUSTED not in everything_shown(notebook)
    token(notebook, SPAIN).click()
    notebook.page.wait_for_selector(f".horizon-widget [data-position='{SPAIN}'][data-kind='source']")
    np.testing.assert_array_equal(painted(notebook), before)
    token(notebook, OF).click()
    notice.wait_for(timeout=READY_MS)
    ndif.restart("api")
    button(notebook, "Resume").click()
    wait_for_row(notebook, OF)
    notice.wait_for(state="hidden")


def test_a_replica_that_dies_during_a_request_costs_no_more_than_a_second_try(ndif, notebook):
    ask_in_vain(ndif, notebook, IS)
    ndif.kill("model")
    wait_for_row(notebook, IS)
    assert any("try" in said for said in notebook.page.evaluate("window.said"))


def test_the_rest_is_computed_when_the_reader_says_so(notebook):
    words(notebook).filter(has_text=ON_REQUEST).wait_for()
    button(notebook, "Compute the rest").click()
    words(notebook).filter(has_text="In the background: all layers").wait_for()
    button(notebook, "Cancel").click()
    words(notebook).filter(has_text="Stopped").wait_for()


def everything_shown(notebook):
    return notebook.page.content() + root(notebook).evaluate("root => root.shadowRoot.innerHTML")


def test_the_key_is_in_no_trait_no_page_and_no_saved_notebook(notebook):
    assert notebook.python("import os; print(os.environ['NDIF_API_KEY'])").strip() == TRUSTED
    assert notebook.python("print(os.environ['NDIF_API_KEY'] in repr(widget.get_state()))").strip() == "False"
    assert TRUSTED not in everything_shown(notebook)
    notebook.page.evaluate(
        """async () => {
            const {commands, shell} = window.jupyterapp;
            await commands.execute('@jupyter-widgets/jupyterlab-manager:saveWidgetState');
            await shell.currentWidget.context.save();
        }"""
    )
    saved = notebook.file.read_text()
    assert "application/vnd.jupyter.widget-state+json" in saved
    assert PROMPT in saved
    assert TRUSTED not in saved
    assert notebook.page.problems == []

"""The main job in a real JupyterLab, a real Chromium, on the real demo model."""

from __future__ import annotations

import json
import re
from urllib.parse import urlparse

import numpy as np

from tests.browser.lab import READY_MS

KEY, KEY_AGAIN, LAYER = 3, 74, 12
ALPHA_STEP = 1 / 255

READ_CANVAS = """canvas => {
    const {width, height} = canvas;
    const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    return {width, height, pixels: Array.from(pixels), ...canvas.dataset};
}"""


def token(notebook, position):
    return notebook.page.locator(f".horizon-widget [data-position='{position}']")


def wait_ready(notebook, mode):
    notebook.page.wait_for_selector(f".horizon-widget[data-state='ready'] .text[data-mode='{mode}']", timeout=READY_MS)


def values_of(notebook, expression):
    return np.array(json.loads(notebook.python(f"import json; print(json.dumps({expression}.tolist()))")), dtype=float)


def test_the_first_picture_colours_every_token_that_has_a_value(notebook, screenshot):
    shares = values_of(notebook, "widget.map.own_share(layers=15).values[0]")
    kinds = [token(notebook, i).get_attribute("data-kind") for i in range(len(shares))]
    assert [kind == "value" for kind in kinds] == [not np.isnan(share) for share in shares]
    opacity = notebook.page.evaluate(
        """() => [...document.querySelector('.horizon-widget').shadowRoot.querySelectorAll('[data-position]')]
                 .map(e => getComputedStyle(e).backgroundColor)"""
    )
    alphas = np.array([alpha_of(colour) for colour in opacity])
    known = ~np.isnan(shares)
    assert np.corrcoef(alphas[known], shares[known])[0, 1] > 0.95
    screenshot(notebook.page, "first-picture")


def alpha_of(colour):
    numbers = re.findall(r"[\d.]+", colour.split("(")[1])
    return float(numbers[3]) if len(numbers) == 4 else 1.0


def test_a_click_paints_what_python_computes(notebook, screenshot):
    token(notebook, KEY).click()
    wait_ready(notebook, "influence")
    notebook.expect(f"widget.selected_source == {KEY}")
    canvas = notebook.page.locator("canvas.heat-map").evaluate(READ_CANVAS)
    expected = values_of(notebook, f"widget.map.values.values[:, {KEY}, {KEY}:]")
    n_layers, n_targets = expected.shape
    assert (canvas["width"], canvas["height"]) == (n_targets, n_layers)
    assert canvas["source"] == str(KEY)
    pixels = np.array(canvas["pixels"]).reshape(n_layers, n_targets, 4)[::-1]  # the last layer is on top
    scale = float(canvas["scale"])
    floor = values_of(notebook, "widget.map.dataset['noise_floor'].values")[:, None]
    alpha = np.sqrt(np.minimum(1, np.abs(expected) / scale))
    alpha[np.abs(expected) <= floor] = 0
    np.testing.assert_allclose(pixels[..., 3] / 255, alpha, atol=ALPHA_STEP)
    strong = pixels[..., 3] > 60  # colour is only readable where there is some
    bluer = pixels[..., 2] > pixels[..., 0]
    np.testing.assert_array_equal(bluer[strong], (expected > 0)[strong])
    screenshot(notebook.page, "drill-down")


def test_the_painted_numbers_equal_an_attribution_of_their_own(notebook, demo_model):
    """The kernel's widget against ``attribute`` in this process: another path to the same cells."""
    import horizon_widget as hw

    notebook.python("widget.cancel()")  # it would compete for the cores
    story = notebook.python("print(story, end='')")
    ours = hw.attribute(demo_model, story, layers=[LAYER], progress=False).values.values[LAYER]
    theirs = values_of(notebook, f"hmap.values.values[{LAYER}]")
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_the_readout_says_value_layer_tokens_and_offset(notebook, screenshot):
    notebook.python(f"widget.selected_layer, widget.selected_source = {LAYER}, {KEY}; _ = widget.wait()")
    wait_ready(notebook, "influence")
    canvas = notebook.page.locator("canvas.heat-map")
    box = canvas.bounding_box()
    columns, rows = canvas.evaluate("canvas => [canvas.width, canvas.height]")
    x = box["x"] + box["width"] * (KEY_AGAIN - KEY - 1 + 0.5) / columns
    y = box["y"] + box["height"] * (rows - LAYER - 0.5) / rows
    notebook.page.mouse.move(x, y)
    value = float(notebook.python(f"print(widget.map.cell({LAYER}, {KEY}, {KEY_AGAIN}))"))
    head = notebook.page.locator(".readout-head").text_content()
    assert head == f"+{value:.2f} nats · layer {LAYER} · “ key” ({KEY}) → “ key” ({KEY_AGAIN}) · 71 tokens ahead"
    notebook.page.mouse.click(x, y)
    notebook.page.wait_for_selector(f"[data-position='{KEY_AGAIN}'][data-target]")
    notebook.expect(f"(widget.selected_layer, widget.selected_target) == ({LAYER}, {KEY_AGAIN})")
    honesty = notebook.page.locator(".honesty").text_content()
    assert "does not show that it was planned" in honesty
    screenshot(notebook.page, "cell-selected")


def test_python_moves_the_picture_and_sees_a_click(notebook):
    notebook.python("seen = []; widget.observe(lambda change: seen.append(change['new']), 'selected_source')")
    notebook.python("widget.selected_source = 12")
    wait_ready(notebook, "influence")
    assert token(notebook, 12).get_attribute("data-kind") == "source"
    token(notebook, 5).click()
    notebook.page.wait_for_selector("[data-position='5'][data-kind='source']")
    wait_ready(notebook, "influence")
    notebook.expect("seen == [12, 5]")


def test_the_keyboard_alone_reads_the_map(notebook):
    page = notebook.page
    text = page.locator(".horizon-widget .text")
    assert text.locator("[tabindex='0']").count() == 1, "one Tab stop"
    token(notebook, 0).focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector(f"[data-position='{KEY}'][data-kind='source']")
    notebook.expect(f"widget.selected_source == {KEY}")
    page.keyboard.press("Escape")
    page.wait_for_selector(".text[data-mode='statistic']")
    notebook.expect("widget.selected_source is None")
    names = [token(notebook, i).get_attribute("aria-label") for i in range(10)]
    assert all(names)
    assert "key" in names[KEY]


def test_the_layer_slider_asks_for_another_layer(notebook):
    page = notebook.page
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    page.locator(".layer-slider").focus()
    cell = page.evaluate(active)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    notebook.expect("widget.selected_layer == 17")
    assert page.evaluate(active) == cell, "the notebook takes no key meant for the widget"
    notebook.expect("widget.wait().done[17].all()")
    page.wait_for_selector(".horizon-widget[data-state='ready'] .text[data-mode='statistic']")
    assert token(notebook, 10).get_attribute("data-kind") == "value"


BUSY_CELL = """
import time
until = time.monotonic() + 60
while time.monotonic() < until and widget.selected_target is None:
    time.sleep(0.05)
"""


def test_clicks_are_answered_while_a_cell_runs(notebook):
    page = notebook.page
    notebook.python("widget.selected_layer = 7")
    source = int(notebook.python("import numpy as np; print(int(np.flatnonzero(~widget.map.done[7])[-1]))"))
    page.evaluate(
        """code => {
            window.busy = true;
            const kernel = window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
            kernel.requestExecute({code}).done.then(() => { window.busy = false; });
        }""",
        BUSY_CELL,
    )
    token(notebook, source).click()
    page.wait_for_selector(f"canvas.heat-map[data-source='{source}']")
    page.wait_for_function(
        "() => Number(document.querySelector('.horizon-widget').shadowRoot"
        ".querySelector('canvas.heat-map').dataset.rows) > 0",
        timeout=20_000,
    )
    assert page.evaluate("() => window.busy"), "the cell still runs"
    box = page.locator("canvas.heat-map").bounding_box()
    columns, rows = page.locator("canvas.heat-map").evaluate("canvas => [canvas.width, canvas.height]")
    page.mouse.click(box["x"] + box["width"] / columns / 2, box["y"] + box["height"] * (rows - 7.5) / rows)
    page.wait_for_function("() => !window.busy", timeout=20_000)  # it heard of the click while it ran


def test_cancel_and_resume(notebook):
    page = notebook.page
    story = notebook.python("print(story, end='')")
    notebook.python("widget.prompt = story[::-1]; _ = widget.wait()")  # nothing of it is computed yet
    button = page.locator(".progress button")
    button.filter(has_text="Cancel").click()
    button.filter(has_text="Resume").wait_for()
    notebook.expect("widget.progress['filling'] == 'stopped'")
    button.filter(has_text="Resume").click()
    button.filter(has_text="Cancel").wait_for()
    notebook.expect("widget.progress['filling'] == 'running'")
    notebook.python(f"widget.prompt = {story!r}")


STOPPED_CELL = """
from horizon_widget.attribution.ablation_engine import AblationEngine as Engine
whole = Engine.compute
def telling(self, part):
    whole(self, part)
    print('a part is done')
Engine.compute = telling
try:
    hw.attribute(model, 'A text of its own, ' + story, layers=range(20), progress=False)
finally:
    Engine.compute = whole
"""


def test_the_stop_button_keeps_what_is_done_and_the_next_call_works(notebook):
    page = notebook.page
    notebook.python("widget.cancel()")
    page.evaluate(
        """code => {
            window.partDone = false;
            window.ended = null;
            const kernel = window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
            const future = kernel.requestExecute({code});
            future.onIOPub = message => {
                if (message.header.msg_type === 'stream') window.partDone = true;
                if (message.header.msg_type === 'error') window.ended = message.content.ename;
            };
        }""",
        STOPPED_CELL,
    )
    page.wait_for_function("() => window.partDone")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    page.wait_for_function("() => window.ended !== null", timeout=30_000)
    assert page.evaluate("() => window.ended") == "AttributionInterrupted"
    # The last token has no later target: it is done in every layer from the start.
    kept = notebook.python("import sys; print(sys.last_value.map.done[:, :-1].sum())")
    assert int(kept) > 0
    notebook.python("again = hw.attribute(model, 'A short text.', layers=[1], progress=False)")
    assert notebook.python("print(again.computed_layers)").strip() == "(1,)"


def test_an_error_in_the_kernel_is_shown_in_the_widget_and_passes(notebook):
    notebook.python(
        "from horizon_widget.attribution.ablation_engine import AblationEngine as Engine\n"
        "kept = Engine.compute\n"
        "def broken(self, part): raise RuntimeError('the lamp is out <b>')\n"
        "Engine.compute = broken\n"
        "widget.selected_layer = 27"
    )
    notice = notebook.page.locator(".notice[data-kind='error']")
    notice.wait_for()
    assert "the lamp is out <b>" in notice.text_content()
    assert notebook.page.locator(".horizon-widget").get_attribute("data-state") == "error"
    notebook.python("Engine.compute = kept\nwidget.resume()\n_ = widget.wait()")
    notice.wait_for(state="detached")
    notebook.page.wait_for_selector(".horizon-widget[data-state='ready']")


def test_markup_and_split_characters_in_a_prompt_stay_text(notebook, screenshot):
    story = notebook.python("print(story, end='')")
    notebook.python(
        "widget.prompt = 'A <img src=x onerror=\"window.hacked=1\"> and 🎉 שלום\\x07 end'; _ = widget.wait()"
    )
    wait_ready(notebook, "statistic")
    shown = notebook.page.locator(".horizon-widget .text").text_content()
    assert '<img src=x onerror="window.hacked=1">' in shown
    assert notebook.page.evaluate("() => window.hacked") is None
    assert notebook.page.locator(".horizon-widget .text img").count() == 0
    assert shown.count("🎉") == 1
    first, last = (
        notebook.page.locator(".horizon-widget [data-position]", has_text=letter).first.bounding_box()["x"]
        for letter in "שם"
    )
    assert first > last, "Hebrew is set from right to left"
    screenshot(notebook.page, "unusual-text")
    notebook.python(f"widget.prompt = {story!r}; widget.selected_layer = 15; _ = widget.wait()")
    wait_ready(notebook, "statistic")


def test_dark_and_narrow(notebook, screenshot):
    page = notebook.page
    notebook.python(f"widget.selected_layer, widget.selected_source = {LAYER}, {KEY}; _ = widget.wait()")
    wait_ready(notebook, "influence")
    notebook.theme("JupyterLab Dark")
    page.wait_for_selector(".horizon-widget[data-theme='dark']")
    wide = page.locator("canvas.heat-map").bounding_box()["width"]
    assert wide > 300, "the heat map uses its room"
    screenshot(page, "dark")
    page.set_viewport_size({"width": 740, "height": 1300})
    page.wait_for_function(
        "wide => document.querySelector('.horizon-widget').shadowRoot"
        ".querySelector('canvas.heat-map').getBoundingClientRect().width < wide",
        arg=wide,
    )
    screenshot(page, "narrow")
    sticking_out = page.locator(".horizon-widget").evaluate(
        """root => [...root.shadowRoot.querySelectorAll('*')]
            .filter(e => e.getBoundingClientRect().right > root.getBoundingClientRect().right + 1)
            .map(e => e.className)"""
    )
    assert sticking_out == []
    page.set_viewport_size({"width": 1400, "height": 1300})
    notebook.theme("JupyterLab Light")
    page.wait_for_selector(".horizon-widget[data-theme='light']")


def test_a_reloaded_page_shows_the_same_picture(notebook):
    page = notebook.page
    notebook.python(f"widget.selected_layer, widget.selected_source = {LAYER}, {KEY}; _ = widget.wait()")
    wait_ready(notebook, "influence")
    before = page.locator("canvas.heat-map").evaluate(READ_CANVAS)["pixels"]
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    page.wait_for_selector(".horizon-widget[data-state='ready'] .text[data-mode='influence']", timeout=READY_MS)
    assert page.locator("canvas.heat-map").evaluate(READ_CANVAS)["pixels"] == before


def test_nothing_is_asked_of_another_host_and_the_page_reports_no_problem(notebook):
    hosts = {urlparse(url).hostname for url in notebook.page.requests if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}
    assert notebook.page.problems == []

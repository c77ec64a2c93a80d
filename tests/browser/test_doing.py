"""Actions: edit, write on, choose, stop and resume, find, undo, copy."""

from __future__ import annotations

from tests.browser.lab import READY_MS
from tests.browser.reader import (
    KEY,
    KEY_AGAIN,
    LAYER,
    button,
    read_token,
    root,
    select_cell,
    text_of,
    token,
    wait_ready,
)


def test_edit_the_prompt_in_place_and_run_it(notebook):
    button(notebook, "Edit prompt").click()
    editor = root(notebook).get_by_role("textbox", name="Prompt")
    editor.wait_for()
    assert editor.input_value() == notebook.python("print(story, end='')")
    editor.fill("Tom lives in Madrid, the capital of Spain. Tom")
    notebook.page.keyboard.press("Control+Enter")
    notebook.expect("widget.prompt == 'Tom lives in Madrid, the capital of Spain. Tom'")
    notebook.page.wait_for_function(
        "() => document.querySelector('.horizon-widget').shadowRoot.querySelector('.text').textContent"
        ".includes('Madrid')"
    )
    wait_ready(notebook, "statistic")
    assert "Tom" in text_of(notebook)[0]["label"]


def test_a_failure_is_shown_at_its_field_and_the_picture_stays(notebook):
    before = [one["colour"] for one in text_of(notebook)]
    button(notebook, "Edit prompt").click()
    editor = root(notebook).get_by_role("textbox", name="Prompt")
    editor.fill("x")
    notebook.page.keyboard.press("Control+Enter")
    root(notebook).locator("[aria-invalid='true']").first.wait_for()
    assert root(notebook).get_by_text("two tokens").count() >= 1
    notebook.page.keyboard.press("Escape")
    assert [one["colour"] for one in text_of(notebook)] == before


def test_metric_and_layers_are_chosen_in_the_editor(notebook):
    button(notebook, "Edit prompt").click()
    root(notebook).get_by_role("combobox", name="Metric").select_option("logit")
    root(notebook).get_by_role("textbox", name="Layers").fill("3-5, 15")
    notebook.page.keyboard.press("Control+Enter")
    notebook.expect("widget.metric == 'logit' and list(widget.layers) == [3, 4, 5, 15]")
    wait_ready(notebook, "statistic")
    assert "logit" in root(notebook).locator(".labels").inner_text()


def test_the_model_writes_on_and_its_part_is_marked(notebook):
    notebook.python("widget.prompt = 'Tom lives in Madrid, the capital of'; _ = widget.wait()")
    n_tokens = int(notebook.python("print(widget.map.query.n_tokens)"))
    button(notebook, "Edit prompt").click()
    amount = root(notebook).get_by_role("spinbutton", name="Number of tokens to write")
    amount.fill("4")
    button(notebook, "Write on").click()
    notebook.expect(f"widget.map.query.n_tokens == {n_tokens + 4} and widget.written_from == {n_tokens}")
    wait_ready(notebook, "statistic")
    labels = [one["label"] for one in text_of(notebook)]
    assert all("written by the model" in label for label in labels[n_tokens : n_tokens + 4])
    assert "written by the model" not in labels[n_tokens - 1]


def test_cancel_and_resume(notebook):
    notebook.python("widget.prompt = 'Not yet computed: ' + story[:150]; _ = widget.wait()")
    buttons = root(notebook).locator(".progress button")
    buttons.filter(has_text="Cancel").click()
    buttons.filter(has_text="Resume").wait_for()
    notebook.expect("widget.progress['filling'] == 'stopped'")
    buttons.filter(has_text="Resume").click()
    buttons.filter(has_text="Cancel").wait_for()
    notebook.expect("widget.progress['filling'] == 'running'")


def test_a_text_is_found_and_gone_to(notebook):
    field = root(notebook).get_by_role("searchbox", name="Find in the prompt")
    field.fill("KEY")
    notebook.expect("widget.find == 'KEY'")
    assert root(notebook).locator(".find-count").inner_text() == "2 found"
    for position in (KEY, KEY_AGAIN, KEY):
        field.press("Enter")
        notebook.expect(f"widget.selected_source == {position}")
    field.press("Escape")
    notebook.expect("widget.find == ''")


def test_undo_goes_back_through_the_clicks(notebook):
    token(notebook, 20).click()
    token(notebook, 30).click(modifiers=["Alt"])
    token(notebook, 50).click()
    notebook.expect("(widget.selected_source, widget.selected_target) == (50, None)")
    for selected in ((20, 30), (20, None), (None, None)):
        button(notebook, "Undo the selection").click()
        notebook.expect(f"(widget.selected_source, widget.selected_target) == {selected}")


def test_selections_are_undone_and_redone(notebook):
    read_token(notebook, KEY)
    read_token(notebook, 20)
    button(notebook, "Undo the selection").click()
    notebook.expect(f"widget.selected_source == {KEY}")
    notebook.page.keyboard.press("Control+z")
    notebook.expect("widget.selected_source is None")
    button(notebook, "Redo the selection").click()
    button(notebook, "Redo the selection").click()
    notebook.expect("widget.selected_source == 20")


def test_the_copied_call_makes_the_same_view(notebook):
    select_cell(notebook)
    token(notebook, KEY).click(modifiers=["Control"])
    notebook.expect(f"list(widget.pinned_sources) == [{KEY}]")
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button(notebook, "Copy as Python").click()
    root(notebook).get_by_role("button", name="Copied").wait_for()
    code = notebook.page.evaluate("() => navigator.clipboard.readText()")
    notebook.python(f"copied = {{}}\nexec({code!r}, copied)")
    names = [
        "prompt",
        "direction",
        "statistic",
        "selected_layer",
        "selected_source",
        "selected_target",
        "selected_offset",
    ]
    names += ["pinned_sources", "fixed_scale", "show_words", "show_arcs", "include_sinks", "find", "asked"]
    differing = notebook.python(
        f"print([name for name in {names} if getattr(copied['widget'], name) != getattr(widget, name)])"
    )
    assert differing.strip() == "[]"
    cell = f"map.cell({LAYER}, {KEY}, {KEY_AGAIN})"
    notebook.expect(f"abs(copied['widget'].{cell} - widget.{cell}) < 1e-4")  # NaN until it is computed
    notebook.python("copied['widget'].close(); del copied")


def test_selections_reach_python_and_come_from_it(notebook):
    notebook.python(
        "seen = []\nnote = lambda change: seen.append(change['new'])\nwidget.observe(note, 'selected_source')"
    )
    notebook.python("widget.selected_source = 12")
    wait_ready(notebook, "row")
    assert token(notebook, 12).get_attribute("data-kind") == "source"
    token(notebook, 5).click()
    notebook.page.wait_for_selector("[data-position='5'][data-kind='source']")
    notebook.expect("seen == [12, 5]")
    notebook.python("widget.unobserve(note, 'selected_source')")


def test_a_linked_slider_moves_the_layer(notebook):
    notebook.python(
        "import ipywidgets\n"
        "slider = ipywidgets.IntSlider(min=0, max=29)\n"
        "bond = ipywidgets.link((widget, 'selected_layer'), (slider, 'value'))\n"
        "slider.value = 3"
    )
    root(notebook).locator(".layer-number").get_by_text("3", exact=True).wait_for()
    notebook.page.keyboard.press("Escape")
    root(notebook).locator(".layer-slider").focus()
    notebook.page.keyboard.press("ArrowRight")
    notebook.expect("slider.value == 4")
    notebook.python("bond.unlink(); slider.close()")


def test_full_screen_and_back(notebook):
    button(notebook, "Full screen").click()
    notebook.page.wait_for_function("() => document.querySelector('.horizon-widget').matches(':fullscreen')")
    button(notebook, "Leave full screen").click()
    notebook.page.wait_for_function("() => document.fullscreenElement === null")


BUSY_CELL = """
import time
until = time.monotonic() + 60
while time.monotonic() < until and widget.selected_target is None:
    time.sleep(0.05)
answered = widget.selected_target is not None
"""


def test_a_new_widget_is_answered_while_later_cells_run(notebook):
    page = notebook.page
    notebook.python("widget.cancel()")
    page.evaluate(
        """codes => {
            window.busy = true;
            const {content, context} = window.jupyterapp.shell.currentWidget;
            for (const source of codes) content.model.sharedModel.addCell({cell_type: 'code', source});
            content.widgets.slice(-codes.length).forEach(({node}, n) => { node.dataset.added = `queued${n}`; });
            content.activeCellIndex = content.widgets.length - codes.length;
            window.jupyterapp.commands.execute('notebook:run-all-below').then(() => { window.busy = false; });
        }""",
        [
            "fresh = hw.HorizonWidget(model, 'A new widget, and a busy kernel.'); fresh",
            BUSY_CELL.replace("widget", "fresh"),
        ],
    )
    new = page.locator("[data-added='queued0'] .horizon-widget")
    new.locator("[data-position='3']").click()
    new.locator("[data-position='5']").click(modifiers=["Alt"])
    page.wait_for_function("() => !window.busy", timeout=READY_MS)
    assert notebook.python("print(answered, fresh.selected_source)").split() == ["True", "3"]
    assert new.get_attribute("data-connection") == "connected"
    notebook.python("fresh.close(); del fresh")


def test_clicks_are_answered_while_a_cell_runs(notebook):
    page = notebook.page
    # Idle time is not used while a cell runs, so only layer 15 has values when the click comes.
    notebook.python("widget.prompt = 'A busy kernel: ' + story[:150]; _ = widget.wait(); widget.selected_layer = 7")
    source = 9
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
        timeout=READY_MS,
    )
    assert page.evaluate("() => window.busy"), "the cell still runs"
    token(notebook, source + 4).click(modifiers=["Alt"])
    page.wait_for_function("() => !window.busy", timeout=READY_MS)  # it received the click while it ran

"""The notebook around the widget: its stop button, unusual prompts, and the requests of the page."""

from __future__ import annotations

from urllib.parse import urlparse

from tests.browser.reader import root, wait_ready

STOPPED_CELL = """
from horizon_widget.schedule.engine import Engine
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
    # The last token has no later target, so it is done at every layer from the start.
    kept = notebook.python("import sys; print(sys.last_value.map.done[:, :-1].sum())")
    assert int(kept) > 0
    notebook.python("again = hw.attribute(model, 'A short text.', layers=[1], progress=False)")
    assert notebook.python("print(again.computed_layers)").strip() == "(1,)"


def test_markup_and_split_characters_in_a_prompt_stay_text(notebook, screenshot):
    notebook.python(
        "widget.prompt = 'A <img src=x onerror=\"window.hacked=1\"> and 🎉 שלום\\x07 end'; _ = widget.wait()"
    )
    wait_ready(notebook, "statistic")
    shown = root(notebook).locator(".text").text_content()
    assert '<img src=x onerror="window.hacked=1">' in shown
    assert notebook.page.evaluate("() => window.hacked") is None
    assert root(notebook).locator("img, script").count() == 0
    assert shown.count("🎉") == 1
    first, last = (
        notebook.page.locator(".horizon-widget [data-position]", has_text=letter).first.bounding_box()["x"]
        for letter in "שם"
    )
    assert first > last, "Hebrew is set from right to left"
    screenshot(notebook.page, "unusual-text")


def test_nothing_is_asked_of_another_host_and_the_page_reports_no_problem(notebook):
    hosts = {urlparse(url).hostname for url in notebook.page.requests if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}
    assert notebook.page.problems == []

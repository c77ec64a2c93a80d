"""Many clicks, views and rounds, and a kernel that fails or ends, with a widget of a short prompt."""

from __future__ import annotations

from tests.browser.conftest import SHORT
from tests.browser.lab import READY_MS
from tests.browser.measure import Meter
from tests.browser.reader import root, shown, wait_ready

ROUNDS = 50
MEGABYTE = 2**20

RSS = "import psutil; print(psutil.Process().memory_info().rss)"


CLICK_FAST = """([cell, n]) => new Promise(done => {
    const shadow = cell.querySelector('.horizon-widget').shadowRoot;
    const tokens = [...shadow.querySelectorAll('.text [data-position]')].slice(1, -1);
    let clicks = 0;
    const click = () => {
        tokens[clicks % tokens.length].click();
        clicks += 1;
        if (clicks === n) done(Number(tokens[(n - 1) % tokens.length].dataset.position));
        else setTimeout(click, 5);
    };
    click();
})"""


def click_fast(notebook, cell, n):
    """Click on one token after the other, every few milliseconds; returns the position of the last."""
    return notebook.page.evaluate(CLICK_FAST, [cell.element_handle(), n])


def test_of_hundreds_of_fast_clicks_the_last_one_wins_and_memory_stays_flat(short):
    cell = shown(short)
    meter = Meter(short.page)
    click_fast(short, cell, 200)  # everything that is made only once exists now
    short.expect("short.state == 'ready'")
    before, resident = meter.held(), int(short.python(RSS))
    for _ in range(3):
        last = click_fast(short, cell, 401)
        short.expect(f"short.selected_source == {last}")
    # Every request of the page was answered.
    cell.locator(".horizon-widget[data-state='ready'][data-connection='connected']").wait_for()
    assert cell.locator(f"[data-position='{last}'][data-kind='source']").count() == 1
    after = meter.held()
    meter.close()
    assert after.heap - before.heap < 8 * MEGABYTE
    assert after.nodes - before.nodes < 500
    assert after.listeners - before.listeners < 50
    assert int(short.python(RSS)) - resident < 64 * MEGABYTE


def test_two_views_of_one_widget_show_the_same(short):
    cell = shown(short, "display(short); display(short)")
    cell.locator(".horizon-widget").nth(1).wait_for()
    first, second = (cell.locator(".horizon-widget").nth(index) for index in range(2))
    first.locator("[data-position='4']").click()
    second.locator("[data-position='4'][data-kind='source']").wait_for()
    second.locator("[data-position='6']").click()
    first.locator("[data-position='6'][data-kind='source']").wait_for()
    other = shown(short)
    other.locator("[data-position='6'][data-kind='source']").wait_for()
    short.clear_output(cell)
    cell.locator(".horizon-widget").first.wait_for(state="detached")
    other.locator("[data-position='2']").click()
    short.expect("short.selected_source == 2")


def test_many_widgets_in_one_notebook_mind_their_own_business(short):
    short.python(f"many = [hw.HorizonWidget(model, {SHORT!r}[n:]) for n in (4, 12, 15)]")
    cell = shown(short, "display(*many)")
    cell.locator(".horizon-widget[data-state='ready']").nth(2).wait_for(timeout=READY_MS)
    for index in range(3):
        cell.locator(".horizon-widget").nth(index).locator(f"[data-position='{index + 1}']").click()
    short.expect("[one.selected_source for one in many] == [1, 2, 3]")
    short.expect("widget.selected_source is None and short.selected_source is None")
    short.python("for one in many: one.close()")


def test_a_cell_that_runs_again_shows_a_widget_that_works(short):
    cell = shown(short, f"again = hw.HorizonWidget(model, {SHORT!r}); again")
    cell.locator("[data-position='3']").click()
    short.expect("again.selected_source == 3")
    short.run_again(cell)
    short.expect("again.selected_source is None")
    cell.locator(".text[data-reading='statistic']").wait_for()
    assert cell.locator(".horizon-widget").count() == 1
    cell.locator("[data-position='5']").click()
    short.expect("again.selected_source == 5")


def test_a_cleared_output_leaves_the_widget_to_python(short):
    cell = shown(short)
    short.clear_output(cell)
    cell.locator(".horizon-widget").wait_for(state="detached")
    short.python("short.selected_source = 3; _ = short.wait()")
    again = shown(short)
    again.locator("[data-position='3'][data-kind='source']").wait_for()


def test_fifty_rounds_of_opening_and_closing_leave_nothing_behind(short):
    page = short.page
    cell = shown(short, "display(short)")

    def rounds(n):
        for _ in range(n):
            short.clear_output(cell)
            cell.locator(".horizon-widget").wait_for(state="detached")
            short.run_again(cell)
            cell.locator(".horizon-widget[data-state='ready']").wait_for(timeout=READY_MS)

    meter = Meter(page)
    rounds(5)
    n_elements = cell.locator(".horizon-widget").evaluate("root => root.shadowRoot.querySelectorAll('*').length")
    before = meter.held()
    rounds(ROUNDS)
    after = meter.held()
    meter.close()
    print(f"{ROUNDS} rounds: {before} to {after}; a view has {n_elements} elements")
    # Each round may leave a tenth of a view, which belongs to the notebook: prompts, outputs, messages.
    assert after.nodes - before.nodes < ROUNDS * n_elements / 10
    assert after.listeners - before.listeners < ROUNDS / 2
    assert after.heap - before.heap < 12 * MEGABYTE


def test_an_error_in_the_kernel_is_shown_with_what_to_do_and_details_to_copy(notebook):
    page = notebook.page
    notebook.python(
        "from horizon_widget.schedule.engine import Engine\n"
        "kept = Engine.compute\n"
        "def broken(self, part): raise RuntimeError('the lamp is out <b>')\n"
        "Engine.compute = broken\n"
        "widget.prompt = 'Something that nobody has computed. ' + story"
    )
    notice = root(notebook).locator(".notice[data-kind='error']")
    notice.wait_for()
    assert root(notebook).get_attribute("data-state") == "error"
    notice.locator("summary").click()
    assert "the lamp is out <b>" in notice.inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notice.get_by_role("button", name="Copy details").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()).includes('the lamp is out <b>')")
    assert "Traceback" in page.evaluate("() => navigator.clipboard.readText()")
    notebook.python("Engine.compute = kept\nwidget.resume()\n_ = widget.wait()")
    notice.wait_for(state="hidden")
    wait_ready(notebook, "statistic")


def test_a_malformed_message_is_answered_and_breaks_nothing(short):
    cell = shown(short)
    short.python(
        "heard, send = [], short.send\n"
        "def overheard(content, *others, **named):\n"
        "    heard.append(content)\n"
        "    return send(content, *others, **named)\n"
        "short.send = overheard"
    )
    short.page.evaluate(
        """async () => {
            const {context} = window.jupyterapp.shell.currentWidget;
            const comms = [...context.sessionContext.session.kernel._comms.values()];
            for (const comm of comms)
                for (const content of [null, [], {type: 'inspect', layer: -1}, {type: 'open', prompt: 3},
                                       {type: 'hello', protocol_version: 99}, {type: '__proto__'}])
                    try { comm.send({method: 'custom', content}); } catch (error) { /* another kind of comm */ }
        }"""
    )
    cell.locator("[data-position='3']").click()
    short.expect("short.selected_source == 3")
    short.expect("any(content['type'] == 'rejected' for content in heard)")
    short.python("del short.send")


def test_a_restarted_kernel_is_noticed_and_the_cells_run_again_reconnect(notebook):
    page = notebook.page
    notebook.restart()
    root(notebook).locator("[data-position='5']").click()
    page.wait_for_selector(".horizon-widget[data-connection='silent']")
    assert root(notebook).get_by_text("The kernel does not answer").is_visible()
    # The values on the screen stay readable.
    page.wait_for_selector(".horizon-widget [data-position='5'][data-kind='source']")
    notebook.run_all()
    page.wait_for_selector(".horizon-widget[data-state='ready'][data-connection='connected']", timeout=READY_MS)
    notebook.python("pass")  # all cells have run
    root(notebook).locator("[data-position='6']").click()
    notebook.expect("widget.selected_source == 6")
    wait_ready(notebook, "row")

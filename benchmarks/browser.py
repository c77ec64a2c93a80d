"""Times from a click to its paint, and from a notebook's run to its first picture, in a real browser and JupyterLab."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import nbformat
from playwright.sync_api import Page, sync_playwright

from benchmarks import page as front_end
from benchmarks.rows import Row
from tests.browser.chromium import find_chromium
from tests.browser.lab import CHROMIUM_FLAGS, READY_MS, Notebook, jupyter_lab

CLICKS = 20


def measure(prompt: str) -> list[Row]:
    """All rows about the browser."""
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "notebooks").mkdir()
        cells = [
            'import horizon_widget as hw\nmodel = hw.load_model("demo")',
            f"widget = hw.HorizonWidget(model, {prompt!r})\nwidget",
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, folder / "notebooks" / "bench.ipynb")
        with jupyter_lab(folder / "notebooks", folder) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
            page = browser.new_page(viewport={"width": 1400, "height": 1200})
            rows = _measure(page, Notebook(page, address, "bench.ipynb"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows + front_end.measure()


def _measure(page: Page, notebook: Notebook) -> list[Row]:
    began = time.perf_counter()
    notebook.run_all()
    token = ".horizon-widget [data-position='1'][data-kind='value']"
    page.wait_for_selector(token, timeout=READY_MS)
    first_token = time.perf_counter() - began
    page.wait_for_selector(".horizon-widget[data-state='ready']", timeout=READY_MS)
    first_picture = time.perf_counter() - began
    alone = float(notebook.python(ONE_ROW))
    page.evaluate(WATCH_ROWS)
    idle, busy = _clicks(page, notebook, range(10, 15), wait=True), _clicks(page, notebook, range(15, 20), wait=False)
    notebook.python("_ = widget.cancel()")
    known = []
    page.evaluate("() => { delete document.querySelector('.horizon-widget').dataset.paintedMs; }")
    for click in range(CLICKS):
        page.evaluate("() => { delete document.querySelector('.horizon-widget').dataset.paintedMs; }")
        page.locator(f"[data-position='{10 + click % 5}']").click()
        page.wait_for_selector(".horizon-widget[data-painted-ms]", timeout=READY_MS)
        known.append(float(page.locator(".horizon-widget").get_attribute("data-painted-ms") or "nan") / 1000)
        page.keyboard.press("Escape")
    return [
        Row("run of a saved notebook to the first token's final colour", first_token, first_token / 10, "10 s"),
        Row("run of a saved notebook to the whole first picture", first_picture, first_picture / 10, "10 s"),
        Row("click to paint, values in the browser (median of 20)", (k := statistics.median(known)), k / 0.05, "50 ms"),
        Row("one row at the shown layer, computed alone in the kernel", alone, 1.0, "itself"),
        Row("click to the first exact row painted, kernel idle (median of 5)", idle, idle / alone, "the row alone"),
        Row("the same while the rows of the click before are computed", busy, busy / alone, "the row alone"),
    ]


def _clicks(page: Page, notebook: Notebook, sources: range, *, wait: bool) -> float:
    """Median time from a click to the painted row of the shown layer, in seconds."""
    times: list[float] = []
    for source in sources:
        if wait:
            notebook.python("from horizon_widget.models import thread; widget.cancel(); thread.run(lambda: None)")
        page.evaluate("s => { window.awaited = String(s); window.painted = null; }", source)
        page.evaluate("() => { addEventListener('click', e => { window.clicked = e.timeStamp; }, {once: true}); }")
        page.locator(f"[data-position='{source}']").click()
        page.wait_for_function("() => window.painted !== null", timeout=READY_MS)
        times.append(page.evaluate("() => (window.painted - window.clicked) / 1000"))
    return statistics.median(times)


# Layer 15 is complete, so its rows are known; the layer below is only prepared.
ONE_ROW = """
import time
from horizon_widget.schedule.engine import Engine
from horizon_widget.schedule.parts import Part
from horizon_widget.models import thread
widget.cancel()
engine = Engine(model, widget._running.map.query)
times = []
for source in (9, 10, 11, 12, 13):
    thread.run(lambda: engine.compute(Part("rows", None, ((14, 70),))))
    began = time.perf_counter()
    thread.run(lambda: engine.compute(Part("rows", None, ((14, source),))))
    times.append(time.perf_counter() - began)
widget.selected_layer = 14
widget.cancel()
print(sorted(times)[2])
"""
WATCH_ROWS = """() => {
    const root = document.querySelector('.horizon-widget').shadowRoot;
    const look = () => {
        const canvas = root.querySelector('canvas.heat-map');
        const text = root.querySelector('.text');
        if (canvas?.dataset.source === window.awaited && text.dataset.reading === 'row'
            && root.querySelector(".ground > :nth-child(16)")?.className === 'done' && window.painted === null)
            window.painted = performance.now();
        requestAnimationFrame(look);
    };
    look();
}"""

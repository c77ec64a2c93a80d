"""One JupyterLab, one browser and one kernel with the demo model for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.browser.lab import READY_MS, ROOT, Notebook, jupyter_lab

SCREENSHOTS = ROOT / "out" / "screenshots"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real JupyterLab, on a copy of the examples."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "examples", folder / "notebooks")
    with jupyter_lab(folder / "notebooks", folder) as address:
        yield address


@pytest.fixture(scope="session")
def quickstart(browser: Browser, lab: str) -> Iterator[Notebook]:
    """The example notebook after all its cells have run."""
    page = browser.new_page(viewport={"width": 1400, "height": 1300})
    page.problems = []
    page.requests = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("websocket", lambda websocket: page.requests.append(websocket.url))
    notebook = Notebook(page, lab, "quickstart.ipynb")
    notebook.run_all()
    page.wait_for_selector(".horizon-widget[data-state='ready']", timeout=READY_MS)
    notebook.python("pass")  # all cells have run
    yield notebook
    page.close()


# Each only if it differs, because setting a prompt opens a map.
AT_REST = """
at_rest = {
    'prompt': story, 'metric': 'logprob', 'baseline': 'auto', 'layers': None,
    'direction': 'row', 'statistic': 'own_share', 'selected_layer': 15, 'selected_source': None,
    'selected_target': None, 'selected_offset': None, 'pinned_sources': [], 'fixed_scale': None, 'show_words': False,
    'show_arcs': False, 'include_sinks': False, 'profile_as_share': False, 'least_offset': 2, 'find': '',
}
for name, value in at_rest.items():
    if getattr(widget, name) != value:
        setattr(widget, name, value)
widget.resume()
_ = widget.wait()
"""


@pytest.fixture
def notebook(quickstart: Notebook) -> Iterator[Notebook]:
    """The example notebook with nothing selected, at the first layer shown."""
    _at_rest(quickstart)
    yield quickstart
    quickstart.remove_added()


def _at_rest(notebook: Notebook) -> None:
    page = notebook.page
    if page.locator(".horizon-widget[data-editing]").count():
        page.locator(".horizon-widget").get_by_role("button", name="Close editor", exact=True).click()
    notebook.python(AT_REST)
    page.wait_for_selector(".horizon-widget[data-state='ready'] .text[data-reading='statistic']")
    page.mouse.move(0, 0)
    page.locator(".horizon-widget").scroll_into_view_if_needed()


SHORT = "The capital of Spain is Madrid. Tom lives in Madrid, the capital of"


@pytest.fixture
def short(notebook: Notebook) -> Iterator[Notebook]:
    """The notebook with a second widget, in ``short``, whose map is complete; nothing else is computed meanwhile."""
    notebook.python(f"widget.cancel(); short = hw.HorizonWidget(model, {SHORT!r}); _ = short.wait('all')")
    yield notebook
    notebook.remove_added()
    notebook.python("short.close(); del short")


@pytest.fixture(scope="session")
def screenshot():
    """Keep a picture under out/screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def keep(of: Page | Locator, name: str) -> None:
        of.screenshot(path=SCREENSHOTS / f"{name}.png")

    return keep

"""The front end alone, with complete made-up values: the cost of a click, a hover and a scroll in the browser."""

from __future__ import annotations

import gzip
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from playwright.sync_api import CDPSession, Page, sync_playwright

from benchmarks.rows import Row
from scripts.front_end import npm
from tests.browser.chromium import find_chromium
from tests.browser.lab import CHROMIUM_FLAGS, ROOT

PAGE = ROOT / "js" / "dev" / "index.html"
BUNDLE = ROOT / "horizon_widget" / "static" / "widget.js"

FRAME = 1 / 60
MOST_SCRIPT = 0.016
MOST_BUNDLE = 60 * 1024
MOST_SILENCE = 3.0
CLICKS = 20
# The story is 85 tokens: 3 times it is more than 200, 12 times it more than 1,000.
TWO_HUNDRED, A_THOUSAND = 3, 12

TOKENS = "document.querySelector('.horizon-widget').shadowRoot.querySelectorAll('.text [data-position]')"
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SCROLL = """n => new Promise(done => {
    const area = document.querySelector('.horizon-widget').shadowRoot.querySelector('.text-area');
    const step = () => {
        area.scrollTop += 12;
        n -= 1;
        if (n === 0) done(); else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
})"""


def measure() -> list[Row]:
    """All rows about the page."""
    npm("run", "dev", quiet=True)
    size = len(gzip.compress(BUNDLE.read_bytes()))
    rows = [Row("the bundle, compressed (bytes)", size, size / MOST_BUNDLE, "60 KB", 1.0)]
    for repeat, name in ((TWO_HUNDRED, "255 tokens × 30 layers"), (A_THOUSAND, "1,020 tokens × 30 layers")):
        with _opened(f"repeat={repeat}&layer=12") as (page, session):
            rows += _rows(page, session, name)
    with _opened("silent") as (page, _):
        page.wait_for_selector(".horizon-widget[data-connection='silent']")
        silence = page.evaluate(
            "() => (performance.now() - performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd) / 1000"
        )
    return [*rows, Row("a kernel that does not answer is said to", silence, silence / MOST_SILENCE, "3 s", 1.0)]


@contextmanager
def _opened(query: str) -> Iterator[tuple[Page, CDPSession]]:
    """The development page, and a session of its browser's own counters."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.goto(f"{Path(PAGE).as_uri()}?{query}")
        page.wait_for_selector(".horizon-widget [data-position='1']")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        yield page, session
        browser.close()


def _rows(page: Page, session: CDPSession, name: str) -> list[Row]:
    page.wait_for_selector(".horizon-widget[data-state='ready']", timeout=120_000)
    page.evaluate(TWO_FRAMES)
    n_tokens = page.evaluate(f"() => {TOKENS}.length")

    def click(position: int) -> Callable[[], object]:
        return partial(page.evaluate, f"position => {{ {TOKENS}[position].click(); }}", position)

    # The first five clicks are a warm-up: a reader meets compiled code, too, after the first clicks.
    clicks = [_cost(page, session, click(10 + 3 * i % (n_tokens // 2))) for i in range(CLICKS + 5)][5:]
    script = statistics.median(cost[0] for cost in clicks)
    layout = statistics.median(cost[1] for cost in clicks)
    canvas = page.locator("canvas.heat-map")
    canvas.scroll_into_view_if_needed()
    area, pane = canvas.bounding_box(), page.locator(".drill-down .grid-pane").first.bounding_box()
    assert area is not None
    assert pane is not None
    width = min(area["width"], pane["width"])
    hovers = []
    for step in range(40):
        x = max(area["x"], pane["x"]) + width * (step + 0.5) / 40
        y = area["y"] + area["height"] * ((7 * step) % 40 + 0.5) / 40
        hovers.append(sum(_cost(page, session, partial(page.mouse.move, x, y))))
    hover = statistics.median(hovers)
    before = _counters(session)
    page.evaluate(SCROLL, 60)
    scroll = sum(after - then for after, then in zip(_counters(session), before, strict=True)) / 60
    return [
        Row(f"script from click to painted, {name} (median of {CLICKS})", script, script / MOST_SCRIPT, "16 ms", 1.0),
        Row(f"style and layout of the same, {name}", layout, layout / FRAME, "a frame"),
        Row(f"script, style and layout of a hover, {name}", hover, hover / FRAME, "a frame", 1.0),
        Row(f"script, style and layout of a frame of scrolling, {name}", scroll, scroll / FRAME, "a frame", 1.0),
    ]


def _counters(session: CDPSession) -> tuple[float, float]:
    """Seconds of script, and of style and layout, that the page has used so far."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return metrics["ScriptDuration"], metrics["LayoutDuration"] + metrics["RecalcStyleDuration"]


def _cost(page: Page, session: CDPSession, act: Callable[[], object]) -> tuple[float, float]:
    """The cost of an action until it is painted: seconds of script, and of style and layout."""
    before = _counters(session)
    act()
    page.evaluate(TWO_FRAMES)
    after = _counters(session)
    return after[0] - before[0], after[1] - before[1]

"""Memory that a page holds, counted by Chromium after a garbage collection."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import CDPSession, Page


@dataclass(frozen=True)
class Held:
    """Listeners, DOM nodes, and bytes of the JavaScript heap."""

    listeners: int
    nodes: int
    heap: int


class Meter:
    """Counts what a page holds."""

    def __init__(self, page: Page) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")

    def held(self) -> Held:
        """Collect garbage, and count."""
        for _ in range(3):  # the next collection frees what a finaliser releases
            self._session.send("HeapProfiler.collectGarbage")
        metrics = {one["name"]: one["value"] for one in self._session.send("Performance.getMetrics")["metrics"]}
        return Held(int(metrics["JSEventListeners"]), int(metrics["Nodes"]), int(metrics["JSHeapUsedSize"]))

    def close(self) -> None:
        self._session.detach()

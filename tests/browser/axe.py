"""Accessibility problems of a widget, found by axe-core."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.lab import ROOT

SOURCE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"

RUN = """async selector => {
    const found = await axe.run(document.querySelector(selector), {resultTypes: ['violations']});
    return {
        nPassed: found.passes.length,
        violations: found.violations.flatMap(({id, nodes}) => nodes.map(
            ({target, failureSummary}) => `${id}: ${target.flat().at(-1)}: ${failureSummary}`)),
    };
}"""


def violations(page: Page, selector: str = ".horizon-widget") -> list[str]:
    """Problems that axe-core finds in a widget and its shadow root: rule, element and what to do."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(SOURCE.read_text())
    found = page.evaluate(RUN, selector)
    assert found["nPassed"] > 10, "axe-core looked at something else"
    return list(found["violations"])

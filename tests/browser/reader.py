"""Reading and operating a widget in a notebook."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
from playwright.sync_api import Locator

from tests.browser.lab import READY_MS, Notebook

#: “ key”, “ key” again 71 tokens later, and a layer at which the state of the first is used for the second.
KEY, KEY_AGAIN, LAYER = 3, 74, 12
FIRST_LAYER = 15
ALPHA_STEP = 1 / 255

READ_CANVAS = """canvas => {
    const {width, height} = canvas;
    const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    return {width, height, pixels: Array.from(pixels), ...canvas.dataset};
}"""
READ_TEXT = """root => [...root.shadowRoot.querySelectorAll('[data-position]')].map(element => ({
    position: Number(element.dataset.position), kind: element.dataset.kind,
    colour: getComputedStyle(element).backgroundColor, label: element.getAttribute('aria-label'),
}))"""

Floats = npt.NDArray[np.float64]


def root(notebook: Notebook) -> Locator:
    """The widget."""
    return notebook.page.locator(".horizon-widget")


def token(notebook: Notebook, position: int) -> Locator:
    """A token of the text."""
    return notebook.page.locator(f".horizon-widget [data-position='{position}']")


def button(notebook: Notebook, name: str) -> Locator:
    """A button, by its name or its text."""
    return root(notebook).get_by_role("button", name=name, exact=True)


def wait_ready(notebook: Notebook, reading: str) -> None:
    """Wait until what was asked for is painted; ``reading``: statistic, row, column or offset."""
    notebook.page.wait_for_selector(
        f".horizon-widget[data-state='ready'] .text[data-reading='{reading}']", timeout=READY_MS
    )


def shown(notebook: Notebook, code: str = "short") -> Locator:
    """Show something in a cell of its own, and return the cell when its widgets are ready."""
    cell = notebook.run_cell(code)
    cell.locator(".horizon-widget[data-state='ready']").first.wait_for(timeout=READY_MS)
    return cell


def said(value: float) -> str:
    """A number as it is shown, without its sign, with its significant digits."""
    magnitude = abs(value)
    if magnitude == 0:
        return "0"
    digits = 2 if magnitude < 9.995 else 1 if magnitude < 99.95 else 0
    if magnitude < 0.0995:
        digits = min(8, 1 - math.floor(math.log10(magnitude)))
    return f"{magnitude:.{digits}f}"


def read_token(notebook: Notebook, position: int, direction: str = "row") -> None:
    """Click a token to read its row (with Shift: its column), and wait until it is painted at every layer."""
    token(notebook, position).click(modifiers=["Shift"] if direction == "column" else [])
    wait_ready(notebook, direction)


def select_cell(notebook: Notebook, layer: int = LAYER, source: int = KEY, target: int = KEY_AGAIN) -> None:
    """Select a cell from Python, and wait until it is painted."""
    notebook.python(
        f"widget.selected_layer, widget.selected_source, widget.selected_target = {layer}, {source}, {target}\n"
        "_ = widget.wait()"
    )
    wait_ready(notebook, "row")
    notebook.page.wait_for_selector(".horizon-widget .readout[data-cell='selected']")


def values_of(notebook: Notebook, expression: str) -> Floats:
    """An array of the kernel; NaN where there is no number."""
    return np.array(
        json.loads(notebook.python(f"import json; print(json.dumps(({expression}).tolist()))")), dtype=float
    )


def text_of(notebook: Notebook) -> list[dict[str, Any]]:
    """Kind, colour and label of each token as painted."""
    return list(root(notebook).evaluate(READ_TEXT))


def alpha_of(colour: str) -> float:
    """Opacity of a computed colour."""
    numbers = re.findall(r"[\d.]+", colour.split("(")[1])
    return float(numbers[3]) if len(numbers) == 4 else 1.0


def is_blue(colour: str) -> bool:
    """Whether a computed colour is the one of positive influence."""
    red, _, blue = (float(number) for number in re.findall(r"[\d.]+", colour.split("(")[1])[:3])
    return blue > red


def heat_map(notebook: Notebook) -> dict[str, Any]:
    """The heat map: ``pixels`` as (row, column, RGBA), layer 0 first, and its data attributes."""
    read = root(notebook).locator("canvas.heat-map").evaluate(READ_CANVAS)
    pixels = np.array(read["pixels"]).reshape(read["height"], read["width"], 4)[::-1]
    return {**read, "pixels": pixels}


def expected_alpha(values: Floats, scale: float, floor: Floats) -> Floats:
    """Opacity that shows influence: the square root of its share of the scale, 0 below the noise floor."""
    alpha = np.sqrt(np.minimum(1, np.abs(values) / scale))
    alpha[np.abs(values) < floor] = 0
    return np.asarray(alpha)


def point_at_cell(notebook: Notebook, row: int, column: int) -> tuple[float, float]:
    """Where a cell of the heat map lies on the page."""
    canvas = root(notebook).locator("canvas.heat-map")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    columns, rows = canvas.evaluate("canvas => [canvas.width, canvas.height]")
    return box["x"] + box["width"] * (column + 0.5) / columns, box["y"] + box["height"] * (rows - row - 0.5) / rows

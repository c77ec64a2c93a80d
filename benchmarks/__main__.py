"""Measure, print one table, and keep it as JSON under ``out/``."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import torch

import horizon_widget as hw
from benchmarks import browser, engine
from horizon_widget import __version__

PROMPT = (
    "Anna kept the key to the old library in a blue tin on the shelf by the window. Every evening, after the last "
    "visitor had gone, she walked past the long rows of books, turned off the lamps, and locked the heavy door behind "
    "her. One night the tin was empty, and the librarian knew at once that the library would stay closed until someone "
    "found the key. She called Tom and waited in the rain."
)


def main() -> None:
    """Run everything (``engine`` or ``browser`` as an argument: only that)."""
    only = sys.argv[1:] or ["engine", "browser"]
    rows = []
    if "engine" in only:
        rows += engine.measure(hw.load_model("demo"), PROMPT)
    if "browser" in only:
        rows += browser.measure(PROMPT)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "horizon_widget": __version__,
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    for row in rows:
        print(f"{row.name:70} {row.seconds:9.3f} {row.ratio:8.2f} x {row.of}")
    results = Path("out") / "benchmarks.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2))
    print(f"Kept in {results}")


if __name__ == "__main__":
    main()

"""Measure, print one table, and save it as JSON under ``out/``."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import torch

import horizon_widget as hw
from benchmarks import browser, engine, growth, peers, remote
from horizon_widget import __version__

PROMPT = (
    "Anna kept the key to the old library in a blue tin on the shelf by the window. Every evening, after the last "
    "visitor had gone, she walked past the long rows of books, turned off the lamps, and locked the heavy door behind "
    "her. One night the tin was empty, and the librarian knew at once that the library would stay closed until someone "
    "found the key. She called Tom and waited in the rain."
)


def main() -> None:
    """Run all parts, or only those named as arguments."""
    parts = {
        "engine": lambda: engine.measure(hw.load_model("demo"), PROMPT),
        "peers": lambda: peers.measure(hw.load_model("demo"), PROMPT),
        "growth": lambda: growth.measure(hw.load_model("demo")),
        "browser": lambda: browser.measure(PROMPT),
        "remote": lambda: remote.measure(PROMPT),
    }
    rows = [row for name in sys.argv[1:] or parts for row in parts[name]()]
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "horizon_widget": __version__,
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    for row in rows:
        must = "" if row.must is None else f" (must: {row.must:.2f})"
        print(f"{row.name:80} {row.seconds:9.3f} {row.ratio:8.2f} x {row.of}{must}")
    results = Path("out") / "benchmarks.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2))
    print(f"Kept in {results}")


if __name__ == "__main__":
    main()

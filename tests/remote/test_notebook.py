"""``examples/remote.ipynb`` runs, and no output holds the key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat

from tests.remote.conftest import TRUSTED

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "remote.ipynb"


def test_the_example_runs(trusted, tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "run_notebook.py"), str(NOTEBOOK), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    executed = (tmp_path / NOTEBOOK.name).read_text(encoding="utf-8")
    assert "Capabilities(sandboxed=False, gradients=True" in executed
    assert "Gradients work on" in shown(executed)
    for text in (executed, (tmp_path / "remote.html").read_text(encoding="utf-8"), done.stdout, done.stderr):
        assert TRUSTED not in text


def shown(notebook: str) -> str:
    """The printed output of its last cell."""
    last = nbformat.reads(notebook, as_version=4).cells[-1]
    return "".join(output.get("text", "") for output in last.outputs)  # a progress bar has no text output


def test_no_outputs_are_stored():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not any(cell.outputs for cell in cells if cell.cell_type == "code")

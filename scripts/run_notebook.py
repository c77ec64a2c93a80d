"""Execute a notebook without a browser and write it, with its outputs, as .ipynb and .html.

An error in a cell ends the run with that error and exit status 1; the outputs so far are written.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter


def main() -> None:
    """The command line: a notebook, and the folder to write to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--timeout", type=int, default=600, help="seconds that one cell may take (default: 600)")
    chosen = parser.parse_args()

    notebook = nbformat.read(chosen.notebook, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=chosen.timeout,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
        resources={"metadata": {"path": str(chosen.notebook.parent)}},
    )
    print(f"Running {chosen.notebook}", flush=True)
    started = time.monotonic()
    failure = None
    try:
        client.execute()
    except CellExecutionError as error:
        failure = str(error)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    executed = chosen.folder / chosen.notebook.name
    nbformat.write(notebook, executed)
    page = executed.with_suffix(".html")
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    if failure is not None:
        sys.exit(f"{failure}\n{chosen.notebook} failed; as far as it came it is in {executed}")
    print(f"Ran without errors in {time.monotonic() - started:.0f} s. The result: {executed} and {page}")


if __name__ == "__main__":
    main()

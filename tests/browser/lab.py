"""A real JupyterLab on loopback, with settings of its own, and a notebook open in it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page

ROOT = Path(__file__).parents[2]
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
START_SECONDS = 60
READY_MS = 120_000


@contextmanager
def jupyter_lab(notebooks: Path, state: Path, **variables: str) -> Iterator[str]:
    """Run JupyterLab over a folder of notebooks; yields its address and ends it afterwards.

    Args:
        notebooks: The folder.
        state: The folder that it writes to.
        variables: Environment variables for it and its kernels.
    """
    for plugin, values in SETTINGS.items():
        file = state / "settings" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(state / "config"),
        "JUPYTER_DATA_DIR": str(state / "data"),
        "JUPYTER_RUNTIME_DIR": str(state / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(state / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(state / "workspaces"),
        "IPYTHONDIR": str(state / "ipython"),
        **variables,
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={notebooks}", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True"]
    command += ["--LabApp.expose_app_in_browser=True"]
    log = state / "lab.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(server, address, log)
            yield address
        finally:
            server.terminate()  # it shuts its kernels down
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab ended early:\n{log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=1)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"JupyterLab did not answer in {START_SECONDS} s:\n{log.read_text()[-2000:]}")


class Notebook:
    """A notebook open in a page, and its kernel."""

    def __init__(self, page: Page, address: str, name: str) -> None:
        self.page = page
        page.goto(f"{address}/lab/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=READY_MS)
        # Until the session is connected, running cells is a silent no-op.
        page.wait_for_function(
            """() => window.jupyterapp?.shell.currentWidget?.context?.sessionContext
                       ?.session?.kernel?.status === 'idle'""",
            timeout=READY_MS,
        )

    def run_all(self) -> None:
        """Start all cells."""
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme."""
        self.page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name)
        light = "true" if "Light" in name else "false"
        self.page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")

    def python(self, code: str) -> str:
        """Run code in the notebook's kernel as a cell would, and return its printed output.

        Raises:
            RuntimeError: if the code raised.
        """
        printed, error = self.page.evaluate(
            """async code => {
                const context = window.jupyterapp.shell.currentWidget.context.sessionContext;
                let printed = '', error = null;
                const future = context.session.kernel.requestExecute({code});
                future.onIOPub = message => {
                    if (message.header.msg_type === 'stream' && message.content.name === 'stdout')
                        printed += message.content.text;
                    if (message.header.msg_type === 'error')
                        error = message.content.ename + ': ' + message.content.evalue;
                };
                await future.done;
                return [printed, error];
            }""",
            code,
        )
        if error is not None:
            raise RuntimeError(error)
        return str(printed)

    def run_cell(self, code: str) -> Locator:
        """Add a cell at the end and run it; returns the cell."""
        added = self.page.evaluate(
            """async code => {
                const {content} = window.jupyterapp.shell.currentWidget;
                content.model.sharedModel.addCell({cell_type: 'code', source: code});
                const index = content.widgets.length - 1;
                content.activeCellIndex = index;
                await content.scrollToItem(index);
                window.nAdded = (window.nAdded ?? 0) + 1;
                content.widgets[index].node.dataset.added = String(window.nAdded);
                await window.jupyterapp.commands.execute('notebook:run-cell');
                return window.nAdded;
            }""",
            code,
        )
        return self.page.locator(f"[data-added='{added}']")

    def run_again(self, cell: Locator) -> None:
        """Run a cell that ``run_cell`` added again."""
        self._activate(cell)
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")

    def clear_output(self, cell: Locator) -> None:
        """Clear the output of a cell that ``run_cell`` added."""
        self._activate(cell)
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-cell-output')")

    def remove_added(self) -> None:
        """Remove all cells that ``run_cell`` added."""
        self.page.evaluate(
            """() => {
                const {content} = window.jupyterapp.shell.currentWidget;
                for (let index = content.widgets.length - 1; index >= 0; index -= 1)
                    if ('added' in content.widgets[index].node.dataset) content.model.sharedModel.deleteCell(index);
            }"""
        )

    def restart(self) -> None:
        """Restart the kernel, as its menu does; no cell runs again."""
        self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()"
        )

    def _activate(self, cell: Locator) -> None:
        cell.evaluate(
            """node => {
                const {content} = window.jupyterapp.shell.currentWidget;
                content.activeCellIndex = content.widgets.findIndex(cell => cell.node === node);
            }"""
        )

    def expect(self, expression: str, timeout: float = 60) -> None:
        """Wait until an expression is true in the kernel, since messages of the page may be under way."""
        deadline = time.monotonic() + timeout
        while self.python(f"print(bool({expression}))").strip() != "True":
            assert time.monotonic() < deadline, f"never true in the kernel: {expression}"

"""A running NDIF server, seen from outside."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from tests.remote.server import environment

Part = Literal["model", "api", "store", "redis", "everything"]

WAIT_SECONDS = 300


class ServerError(Exception):
    """The server failed; the message ends with the last lines of its logs."""


class Server:
    """A real NDIF on this machine's loopback interface. All of it ends when this process ends, for any reason.

    Args:
        models: Folders of models that are loaded at the start; another model is loaded at the first request for it.
        keys: The tags of each API key (``"trusted"``: its code runs beside the model, not in a sandbox); ``None``: any
            key is accepted and trusted.
        dtype: Of the loaded models.
        time_limit: Seconds that a request may take.
        sandboxes: How many sandbox runners wait for requests (0.3 GB each).
        port: Where the API listens; 0: a free port.
    """

    def __init__(
        self,
        models: Sequence[Path | str] = (),
        *,
        keys: dict[str, list[str]] | None = None,
        dtype: str = "float32",
        time_limit: float | None = None,
        sandboxes: int = 1,
        port: int = 0,
    ) -> None:
        self._models = [str(Path(model).absolute()) for model in models]
        self._wanted = {"keys": keys, "dtype": dtype, "time_limit": time_limit, "sandboxes": sandboxes}
        self._port, self._store_port = port, 0
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._killed: set[Part] = set()
        self._paused: set[Part] = set()

    @property
    def url(self) -> str:
        """The value for NDIF_HOST; a restart does not change it."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until its models are loaded (25 to 45 s on two cores).

        Raises:
            Missing: if this machine lacks something.
            ServerError: if it does not come up.
        """
        python = environment.prepare()
        self._killed, self._paused = set(), set()
        # in /tmp, whatever TMPDIR is, because Ray's sockets need a short path
        self._folder = Path(tempfile.mkdtemp(prefix="ndif-", dir="/tmp"))
        try:
            self._boot(python)
            self.wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all processes, and remove their files."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._line = self._process = self._folder = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def kill(self, part: Part) -> None:
        """End a part with SIGKILL. After "everything", nothing listens; a model starts again by itself."""
        self._killed.add(part)
        if part == "everything":
            self.stop()
        else:
            self._ask("kill", part)

    def pause(self, part: Part) -> None:
        """Stop a part with SIGSTOP: it accepts connections but does not answer."""
        self._paused.add(part)
        self._ask("pause", part)

    def resume(self, part: Part) -> None:
        """Resume a paused part."""
        self._ask("resume", part)
        self._paused.discard(part)

    def restart(self, part: Literal["model", "api", "everything"] = "everything") -> None:
        """End a part, if it was not killed before, and wait until the server is ready again, at the same URL."""
        if part == "everything":
            self.stop()
            self.start()
            return
        if part not in self._killed:
            self.kill(part)
        if part == "model":
            self._ask("await", part)
        else:
            with _listening(self._port) as listener:
                self._ask("start", part, listener)
        self._killed.discard(part)
        self._paused.discard(part)
        self.wait()

    def mend(self) -> None:
        """Resume what is paused, and start what was killed."""
        if self._killed & {"store", "redis", "everything"}:
            self.restart()
        for part in sorted(self._paused - self._killed):
            self.resume(part)
        if "api" in self._killed:
            self.restart("api")
        if "model" in self._killed:
            self.restart("model")

    def wait(self) -> None:
        """Wait until the server answers and its models are loaded.

        Raises:
            ServerError: if this takes more than five minutes, or a service has ended.
        """
        until = time.monotonic() + WAIT_SECONDS
        while not self._is_ready():
            self._ask("check", "everything")
            if time.monotonic() > until:
                raise ServerError(f"The NDIF server is not ready after {WAIT_SECONDS} s.\n{self.logs()}")
            time.sleep(0.25)

    def logs(self, n_lines: int = 8) -> str:
        """The last lines of the logs of each service and each process of Ray."""
        if self._folder is None:
            return "The server is not running."
        files = [*self._folder.glob("log/*.log"), *self._folder.glob("ray/session_latest/logs/worker-*.*")]
        tails = ((file.name, file.read_text(errors="replace").splitlines()[-n_lines:]) for file in sorted(files))
        shown = [[f"--- {name}", *(line[:300] for line in lines)] for name, lines in tails if lines]
        return "\n".join(line for lines in shown for line in lines)

    def _boot(self, python: Path) -> None:
        assert self._folder is not None
        (self._folder / "log").mkdir()
        self._line, theirs = socket.socketpair()
        with theirs, _listening(self._port) as api, _listening(self._store_port) as store:
            self._port, self._store_port = api.getsockname()[1], store.getsockname()[1]
            descriptor = theirs.fileno()
            with (self._folder / "log" / "supervisor.log").open("wb") as log:
                self._process = subprocess.Popen(
                    [*environment.NAMESPACES, python, "-m", "ndif_on_cpu.supervisor", str(descriptor)],
                    env=environment.variables(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[descriptor],
                    start_new_session=True,  # Control-C interrupts only this process
                )
            folder, store_url = str(self._folder), f"http://127.0.0.1:{self._store_port}"
            settings = {**self._wanted, "models": self._models, "folder": folder, "store_url": store_url}
            self._send(settings, api, store)
        self._receive()

    def _is_ready(self) -> bool:
        try:
            # ignores the machine's proxies
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{self.url}/status", timeout=5) as answer:
                deployed = json.load(answer)["deployments"].values()
        except (OSError, urllib.error.URLError):
            return False
        running = {model["repo_id"] for model in deployed if model["application_state"] == "RUNNING"}
        return running.issuperset(self._models)

    def _ask(self, command: str, part: str, *listeners: socket.socket) -> None:
        self._send({"do": command, "part": part}, *listeners)
        self._receive()

    def _send(self, message: dict[str, Any], *sockets: socket.socket) -> None:
        if self._line is None:
            raise ServerError("The NDIF server is not running.")
        line = json.dumps(message).encode() + b"\n"
        # One call may send only a part of the message; the descriptors go with its first bytes.
        sent = socket.send_fds(self._line, [line], [each.fileno() for each in sockets]) if sockets else 0
        self._line.sendall(line[sent:])

    def _receive(self) -> None:
        assert self._line is not None
        answer = b""
        while not answer.endswith(b"\n"):
            data = self._line.recv(65536)
            if not data:
                raise ServerError(f"The NDIF server ended.\n{self.logs()}")
            answer += data
        error = json.loads(answer).get("error")
        if error is not None:
            raise ServerError(f"The NDIF server failed: {error}.\n{self.logs()}")


def _listening(port: int) -> socket.socket:
    """A socket that listens on loopback, at a port; 0: at a free one."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as error:
        raise ServerError(f"Port {port} is taken ({error.strerror}).") from error

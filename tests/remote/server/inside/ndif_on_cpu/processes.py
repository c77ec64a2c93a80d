"""The processes of each part of the server, from /proc, which shows only this namespace."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MODEL_ACTOR = "ray::HostedModel"  # the beginning of the names of actors.HostedModel's processes
RUNNER_SOCKETS = "/tmp/sbx-"  # NDIF puts them there


class Process(NamedTuple):
    """One process: its numbers, the session it belongs to, and its command line."""

    pid: int
    parent: int
    session: int
    command: str


def running() -> list[Process]:
    """All processes but the first one and zombies."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or folder.name == "1":
            continue
        try:
            # The name, in parentheses, may contain anything; after it come state, parent, group, session.
            state, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            n_threads = sum(1 for _ in (folder / "task").iterdir())
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The files of a process are open until its last thread has ended.
        if state != "Z" or n_threads > 1:
            found.append(Process(int(folder.name), int(parent), int(session), command))
    return found


def of_session(session: int) -> list[int]:
    """A service and everything that it has started."""
    return [process.pid for process in running() if process.session == session]


def model_actors() -> list[int]:
    """The processes that hold a model."""
    return [process.pid for process in running() if process.command.startswith(MODEL_ACTOR)]


def of_models() -> list[int]:
    """The model actors and their sandbox runners."""
    actors = model_actors()
    return actors + [process.pid for process in running() if process.parent in actors]


def end(pids: Iterable[int]) -> None:
    """Kill processes, wait until all have ended, and remove the sockets of sandbox runners."""
    ended = set(pids)
    words = [word for process in running() if process.pid in ended for word in process.command.split()]
    tell(ended, signal.SIGKILL)
    while any(process.pid in ended for process in running()):
        time.sleep(0.01)
    for word in words:
        if word.startswith(RUNNER_SOCKETS):
            Path(word).unlink(missing_ok=True)


def tell(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue

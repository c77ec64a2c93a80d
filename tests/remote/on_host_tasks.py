"""Tasks for the tests of faults; sent to the host as text."""

from __future__ import annotations

import time
from typing import Any

from horizon_widget.errors import ModelError, QueryError


def echo(traced: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Return what was sent."""
    return request


def sleep(traced: Any, request: dict[str, Any]) -> str:
    """Take some time, in steps that can be interrupted, as in a computation."""
    end = time.monotonic() + request["seconds"]
    while time.monotonic() < end:
        time.sleep(0.05)
    return "slept"


def fail(traced: Any, request: dict[str, Any]) -> None:
    """Raise an error of this package, or another."""
    if request["error"] == "QueryError":
        raise QueryError("prompt", "there is none", advice="Write one.")
    if request["error"] == "ModelError":
        raise ModelError("no such layer", advice="Choose another.")
    if request["error"] == "MemoryError":
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")
    raise ZeroDivisionError("by nought")


def nothing_sendable(traced: Any, request: dict[str, Any]) -> Any:
    """Return a value that cannot be sent: the host fails on it after this code has ended."""
    return (number for number in range(3))


def say(traced: Any, request: dict[str, Any]) -> str:
    """Print a line; the host forwards it."""
    print(request["line"])
    return "said"


def much(traced: Any, request: dict[str, Any]) -> bytes:
    """Return more than fits the connection; it cannot be compressed."""
    import random

    return random.Random(0).randbytes(request["bytes"])

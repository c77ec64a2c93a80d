"""What the tests of faults have a host do; sent there as text."""

from __future__ import annotations

import time
from typing import Any

from horizon_widget.errors import ModelError, QueryError


def echo(traced: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Give back what was sent."""
    return request


def sleep(traced: Any, request: dict[str, Any]) -> str:
    """Take some time, in steps that can be interrupted, as a computation's can."""
    end = time.monotonic() + request["seconds"]
    while time.monotonic() < end:
        time.sleep(0.05)
    return "slept"


def fail(traced: Any, request: dict[str, Any]) -> None:
    """Raise an error of our own, or another."""
    if request["error"] == "QueryError":
        raise QueryError("prompt", "there is none", advice="Write one.")
    if request["error"] == "ModelError":
        raise ModelError("no such layer", advice="Choose another.")
    if request["error"] == "MemoryError":
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")
    raise ZeroDivisionError("by nought")


def nothing_sendable(traced: Any, request: dict[str, Any]) -> Any:
    """Give what cannot be sent: the host fails on it after our own code has ended."""
    return (number for number in range(3))


def say(traced: Any, request: dict[str, Any]) -> str:
    """Print, which a host sends on."""
    print(request["line"])
    return "said"


def much(traced: Any, request: dict[str, Any]) -> bytes:
    """More than fits the connection, and cannot be compressed."""
    import random

    return random.Random(0).randbytes(request["bytes"])

"""Waiting for what blocks, without waiting any longer than somebody wants it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

from horizon_widget.remote.faults import Abandoned

T = TypeVar("T")

SLICE = 0.2  # seconds between two looks at whether anybody still waits


class TooLate(Exception):
    """Something took longer than it may."""


def look(abandoned: threading.Event) -> None:
    """Raise ``Abandoned`` if nobody waits any more."""
    if abandoned.is_set():
        raise Abandoned


def until_done(future: futures.Future[T], abandoned: threading.Event, *, limit: float | None = None) -> T:
    """The result of a future, waited for until ``abandoned`` is set or ``limit`` seconds have passed.

    Raises:
        Abandoned: or ``TooLate``; the future is then cancelled if it has not begun, and otherwise goes on.
    """
    begun = time.monotonic()
    try:
        while not future.done():
            look(abandoned)
            left = SLICE if limit is None else limit - (time.monotonic() - begun)
            if left <= 0:
                raise TooLate
            futures.wait([future], timeout=min(SLICE, left))
    except BaseException:
        future.cancel()
        raise
    return future.result()


def aside(
    work: Callable[[], T], abandoned: threading.Event, *, limit: float, unwanted: Callable[[T], None] | None = None
) -> T:
    """Run what blocks on a thread of its own, which is left behind if nobody waits for it any more.

    Args:
        work: What blocks, such as connecting.
        abandoned: Set when nobody waits.
        limit: Seconds to wait.
        unwanted: What becomes of a result that comes too late, such as closing it.

    Raises:
        Abandoned: or ``TooLate``, or what ``work`` raises.
    """
    future: futures.Future[T] = futures.Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    future.set_running_or_notify_cancel()
    threading.Thread(target=run, name="horizon-widget-host", daemon=True).start()
    try:
        return until_done(future, abandoned, limit=limit)
    except BaseException:  # the keyboard's interrupt too
        if unwanted is not None:
            future.add_done_callback(lambda late: None if late.exception() else unwanted(late.result()))
        raise


def pause(seconds: float, abandoned: threading.Event) -> None:
    """Wait, unless somebody says that it is for nothing.

    Raises:
        Abandoned: if ``abandoned`` is set meanwhile.
    """
    abandoned.wait(seconds)
    look(abandoned)

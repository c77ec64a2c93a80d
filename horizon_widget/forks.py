"""Locks that are free in forked processes.

``os.fork`` copies a process with one of its threads. In the copy, a lock that another thread held is never released.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable


def in_child(renew: Callable[[], None]) -> None:
    """Call a function in each process that is forked from now on, before anything else runs there."""
    if hasattr(os, "register_at_fork"):  # Windows has no fork
        os.register_at_fork(after_in_child=renew)


class Lock:
    """A lock that is free in a forked process. While it is held, nothing waits for another thread or forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def renew(self) -> None:
        """Make the lock free, even if a thread holds it."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _renew() -> None:
    for lock in _locks:
        lock.renew()


in_child(_renew)

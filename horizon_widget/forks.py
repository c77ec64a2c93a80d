"""Locks in forked processes.

``os.fork`` copies a process with one of its threads. A lock that another thread held stays locked in the copy for ever.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable


def in_child(renew: Callable[[], None]) -> None:
    """Call a function in each process that is forked from now on, before anything else runs there."""
    if hasattr(os, "register_at_fork"):  # there is no fork on Windows
        os.register_at_fork(after_in_child=renew)


class Lock:
    """A lock that is held for a few instructions, none of which forks; free in a forked process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def renew(self) -> None:
        """Be free, whoever holds it."""
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

"""One thread at a time changes traits and tells the page of maps.

There is one lock for all widgets, since an observer of one may set another's traits. The model thread never waits for
it, since the holder may wait for the model thread. It leaves its work to the holder.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from horizon_widget.errors import HorizonError
from horizon_widget.forks import Lock, in_child
from horizon_widget.models import thread

_lock = threading.RLock()
_depth = 0  # how often the holder has taken it
_left: dict[object, Callable[[], None]] = {}  # work that other threads have left for the holder, in order
_left_lock = Lock()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold the lock. Work that other threads have left meanwhile is done at the end, also after an error.

    Raises:
        HorizonError: if the model changes a trait while it computes, and another thread holds the lock.
    """
    global _depth
    if not _lock.acquire(blocking=not thread.is_current()):
        raise HorizonError("A trait was set by the model, while it runs.", advice="Set it from a cell or an observer.")
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        _lock.release()
        _catch_up()


def when_free(act: Callable[[], None], *, key: object = None) -> None:
    """Do something now, or leave it to the thread that holds the lock; never wait.

    Args:
        act: What to do; must raise nothing.
        key: Of several things left under one key, only the newest is done.
    """
    with _left_lock:
        key = object() if key is None else key
        _left.pop(key, None)
        _left[key] = act
    _catch_up()


def _catch_up() -> None:
    """Do the work that was left, also after the lock is released: some may have been left just before that."""
    global _depth
    while _left and _lock.acquire(blocking=False):
        try:
            if _depth:  # this thread still holds it
                return
            _depth += 1
            try:
                while (act := _next()) is not None:
                    act()
            finally:
                _depth -= 1
        finally:
            _lock.release()


def _next() -> Callable[[], None] | None:
    with _left_lock:
        return _left.pop(next(iter(_left))) if _left else None


def _renew() -> None:
    """In a forked process: the parent does the work that was left. The lock stays held only by the forking thread."""
    global _lock, _depth
    _left.clear()
    if _lock.acquire(blocking=False):
        _lock.release()
    else:
        _lock, _depth = threading.RLock(), 0


in_child(_renew)

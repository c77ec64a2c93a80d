"""Who changes traits, and tells the browser of maps: one thread at a time, whichever widgets there are.

One lock for all widgets: an observer of one may set another's traits. The model thread never waits for it, since who
holds it may wait for the model thread: what it has to say it leaves to whoever holds the lock.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from horizon_widget.errors import HorizonError
from horizon_widget.forks import Lock, in_child
from horizon_widget.models import thread

_lock = threading.RLock()
_depth = 0  # how often its holder has taken it
_left: dict[object, Callable[[], None]] = {}  # what others have left for the holder, in order
_left_lock = Lock()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """While this lasts it is this thread's turn; what others have left meanwhile is done at the end, come what may.

    Raises:
        HorizonError: if the model, while it computes, changes a trait, and it is another thread's turn.
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
    """Do something now, or leave it to the thread whose turn it is, which does it at the end; never waits.

    Args:
        act: What; raises nothing.
        key: Of several things of one key that are left, only the newest is done.
    """
    with _left_lock:
        key = object() if key is None else key
        _left.pop(key, None)
        _left[key] = act
    _catch_up()


def _catch_up() -> None:
    """Also after the lock is given back: something may have been left just before that."""
    global _depth
    while _left and _lock.acquire(blocking=False):
        try:
            if _depth:  # this thread's own turn is not over
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
    """In a forked process: what was left is the parent's to do; a turn goes on only if it is the forking thread's."""
    global _lock, _depth
    _left.clear()
    if _lock.acquire(blocking=False):
        _lock.release()
    else:
        _lock, _depth = threading.RLock(), 0


in_child(_renew)

"""Which map is filled in idle time: of those with something left to fill, the one used last."""

from __future__ import annotations

import weakref
from typing import Protocol

from horizon_widget.forks import Lock


class Filler(Protocol):
    """Fills a map in idle time."""

    wants_idle_time: bool  # when this becomes false, ``pass_on`` must be called

    def wake(self) -> None:
        """Called when it may have become this one's turn."""


_lock = Lock()
_by_use: list[weakref.ref[Filler]] = []  # the one used last comes last


def used(filler: Filler) -> None:
    """Give this one the first claim on idle time."""
    with _lock:
        _by_use[:] = [*_others(filler), weakref.ref(filler)]


def forget(filler: Filler) -> None:
    """Forget a filler that has ended."""
    with _lock:
        _by_use[:] = _others(filler)


def is_turn_of(filler: Filler) -> bool:
    """Whether no filler that was used later has anything to fill."""
    with _lock:
        for other in (ref() for ref in reversed(_by_use)):
            if other is filler:
                return True
            if other is not None and other.wants_idle_time:
                return False
    return False  # never used, or forgotten


def pass_on() -> None:
    """Wake the filler whose turn it is. The caller must hold no lock of its own."""
    with _lock:
        waiting = (filler for filler in (ref() for ref in reversed(_by_use)) if filler and filler.wants_idle_time)
        following = next(waiting, None)
    if following is not None:
        following.wake()


def _others(filler: Filler) -> list[weakref.ref[Filler]]:
    return [ref for ref in _by_use if ref() is not None and ref() is not filler]

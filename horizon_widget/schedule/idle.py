"""Whose turn idle time is: of those that have something left to fill, the one used last."""

from __future__ import annotations

import weakref
from typing import Protocol

from horizon_widget.forks import Lock


class Filler(Protocol):
    """Who fills a map in idle time."""

    wants_idle_time: bool  # as far as is known; whoever loses this calls ``pass_on``

    def wake(self) -> None:
        """It may be its turn now."""


_lock = Lock()
_by_use: list[weakref.ref[Filler]] = []  # the one used last stands last


def used(filler: Filler) -> None:
    """Idle time is this one's first from now on."""
    with _lock:
        _by_use[:] = [*_others(filler), weakref.ref(filler)]


def forget(filler: Filler) -> None:
    """It fills no more."""
    with _lock:
        _by_use[:] = _others(filler)


def is_turn_of(filler: Filler) -> bool:
    """Whether nobody used later has anything to fill."""
    with _lock:
        for other in (ref() for ref in reversed(_by_use)):
            if other is filler:
                return True
            if other is not None and other.wants_idle_time:
                return False
    return False  # it was never used, or is forgotten


def pass_on() -> None:
    """Wake whose turn it is. Who calls this holds no lock of its own."""
    with _lock:
        waiting = (filler for filler in (ref() for ref in reversed(_by_use)) if filler and filler.wants_idle_time)
        following = next(waiting, None)
    if following is not None:
        following.wake()


def _others(filler: Filler) -> list[weakref.ref[Filler]]:
    return [ref for ref in _by_use if ref() is not None and ref() is not filler]

"""Whether idle time is used for what nobody has asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Filling:
    """Of one controller's map.

    Attributes:
        on_request: Only when the reader says so: the host of a remote model is shared.
        allowed: Somebody looks.
        cells_running: The user's own cells run.
        stopped: By the reader, by an error, or until the reader says so.
        halted: By the reader or an error: nothing is prepared either.
        waiting: How many cells wait for the whole map: then they run only for that.
    """

    on_request: bool
    allowed: bool = False
    cells_running: bool = False
    stopped: bool = False
    halted: bool = False
    waiting: int = 0

    @property
    def is_open(self) -> bool:
        """Whether idle time may be used."""
        return self.allowed and not self.cells_running and not self.stopped

    @property
    def may_prepare(self) -> bool:
        """Whether idle time is used to prepare layers all the same: that is little, and helps the first click much."""
        return self.on_request and self.allowed and not self.cells_running and not self.halted

    def begin(self, *, viewed: bool, cells_running: bool, stopped: bool) -> None:
        """A map is shown."""
        self.allowed, self.cells_running = viewed, cells_running
        self.stopped, self.halted = stopped or self.on_request, stopped

    def halt(self) -> None:
        """The reader or an error stops it."""
        self.stopped = self.halted = True

    def resume(self, *, after_failure: bool) -> None:
        """The reader says so; after a failure or a cancellation, that means what failed or was cancelled."""
        self.on_request = self.on_request and after_failure
        self.stopped, self.halted = self.on_request, False

    def in_words(self, *, failed: bool, may_fill: bool) -> str:
        """As in ``listener.Status``, where something is left to fill.

        Args:
            failed: What was asked for has failed or was cancelled.
            may_fill: Whether it is this map's turn.
        """
        if failed:
            return "stopped"
        if self.waiting:
            return "running"
        if self.stopped:
            return "on request" if self.on_request else "stopped"
        if not self.allowed:
            return "idle"
        if self.cells_running:
            return "waiting"
        return "running" if may_fill else "behind"

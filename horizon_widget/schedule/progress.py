"""How far a task is, and how long the rest of it will take."""

from __future__ import annotations


class Progress:
    """Of one task at a time, in operations of the model."""

    def __init__(self) -> None:
        self._task: object = None
        self._total = 0.0
        self._learned = (0.0, 0.0)  # operations and seconds of the last parts, older ones counting less

    def begin(self, task: object, missing: float) -> None:
        """Another task begins, unless it is the same still.

        Args:
            task: Which.
            missing: Operations that are left.
        """
        if task != self._task:
            self._task, self._total = task, missing

    def learn(self, operations: float, seconds: float) -> None:
        """So many operations took so long."""
        memory = 0.8
        self._learned = (memory * self._learned[0] + operations, memory * self._learned[1] + seconds)

    def done(self, missing: float) -> float:
        """Share of the task that is done, 0 to 1, where so many operations are left."""
        return 1.0 if missing == 0 else max(0.0, min(1.0, 1.0 - missing / max(self._total, missing)))

    def seconds_left(self, missing: float) -> float | None:
        """How long so many operations will take; ``None`` where nothing is known yet."""
        operations, seconds = self._learned
        return missing * seconds / operations if operations else None

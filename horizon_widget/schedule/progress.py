"""The progress of a task, and the time that the rest will take."""

from __future__ import annotations


class Progress:
    """The progress of one task at a time, counted in operations of the cost model."""

    def __init__(self) -> None:
        self._task: object = None
        self._total = 0.0
        self._learned = (0.0, 0.0)  # operations and seconds of recent parts; older ones count less

    def begin(self, task: object, missing: float) -> None:
        """Begin a task, unless it is the current one.

        Args:
            task: The name of the task.
            missing: The operations that are left.
        """
        if task != self._task:
            self._task, self._total = task, missing

    def learn(self, operations: float, seconds: float) -> None:
        """Note how long some operations took."""
        memory = 0.8
        self._learned = (memory * self._learned[0] + operations, memory * self._learned[1] + seconds)

    def done(self, missing: float) -> float:
        """The finished share of the task, 0 to 1, when so many operations are left."""
        return 1.0 if missing == 0 else max(0.0, min(1.0, 1.0 - missing / max(self._total, missing)))

    def seconds_left(self, missing: float) -> float | None:
        """How long so many operations will take; ``None`` before anything was measured."""
        operations, seconds = self._learned
        return missing * seconds / operations if operations else None

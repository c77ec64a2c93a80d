"""One line of the table, and the measurement of a time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

REPEATS = 3


@dataclass(frozen=True)
class Row:
    """A measurement in seconds, and a ratio to another one of the same run.

    Attributes:
        name: What was measured.
        seconds: Its time, or another quantity if the name says so.
        ratio: The ratio to ``of``.
        of: What it is compared with.
        must: The largest ratio allowed, if there is a requirement.
    """

    name: str
    seconds: float
    ratio: float
    of: str
    must: float | None = None


def median_seconds(work: Callable[[], object], repeats: int = REPEATS, *, warm: bool = True) -> float:
    """Median wall time of several runs, after one that warms up."""
    if warm:
        work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)

"""One line of the table, and how a time is taken."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

REPEATS = 3


@dataclass(frozen=True)
class Row:
    """What was measured, in seconds, and a ratio to something in the same run.

    Attributes:
        name: What was measured.
        seconds: Its time, or another quantity where the name says so.
        ratio: To what ``of`` names.
        of: What it is compared with.
        must: What the ratio must not exceed, where something was asked for.
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

"""Choose the cells that are computed together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Cell = tuple[int, int]  # (layer, source)
Cells = Sequence[Cell]

# All copies of a batch start at the earliest source's position. The largest share of rows that are not needed:
GREATEST_WASTE = 0.25
SAMPLE_TARGETS = 32  # later targets of the source that a layer is prepared by


def first_cells(cells: Iterable[Cell], stop: int, rows_per_part: int) -> list[Cell]:
    """The first of some cells that make a good batch.

    Args:
        cells: The cells in the order they are wanted.
        stop: The first position that need not be computed.
        rows_per_part: Most positions computed in one part. A single source may have more.
    """
    chosen: list[Cell] = []
    total, start = 0, stop
    for layer, source in cells:
        first = min(start, source)
        n = len(chosen) + 1
        rows = n * max(stop - first, 1)
        wasted = total + source - n * first
        if chosen and (rows > rows_per_part or wasted > GREATEST_WASTE * rows):
            break
        chosen.append((layer, source))
        total, start = total + source, first
    return chosen


def sample_source(n_tokens: int) -> int:
    """The source that a layer is prepared by. It has enough later targets, and no more, since each costs time.

    It is never the first token, which is an attention sink in most models.
    """
    return min(n_tokens - 1, max(1, n_tokens - 1 - SAMPLE_TARGETS))

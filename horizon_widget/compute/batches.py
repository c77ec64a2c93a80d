"""Which cells are computed together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Cell = tuple[int, int]  # (layer, source)
Cells = Sequence[Cell]

# Copies in a batch all start at the earliest source's position. Beyond this share of the rows computed in vain,
# a batch is cut.
GREATEST_WASTE = 0.25

SAMPLE_TARGETS = 32


def first_cells(cells: Iterable[Cell], stop: int, rows_per_part: int) -> list[Cell]:
    """The first of some cells that make a good batch.

    Args:
        cells: In the order they are wanted.
        stop: Positions from here on need not be computed.
        rows_per_part: Positions computed in one part, at most (one source may have more).
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
    """The source by which a layer is prepared: enough later targets to judge by, and no more, for each costs time.

    Never the first token, which is an attention sink in most models.
    """
    return min(n_tokens - 1, max(1, n_tokens - 1 - SAMPLE_TARGETS))

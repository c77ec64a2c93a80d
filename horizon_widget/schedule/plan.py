"""The choice of the next computation: pure functions of the finished cells and the reader's interest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from horizon_widget.compute.batches import Cell, first_cells, sample_source

Done = npt.NDArray[np.bool_]  # shape (n_layers, T)

# A selected source's row at all layers is one request, unless it is this many times longer than a request should be.
LONGEST_ROW = 10


@dataclass(frozen=True)
class Interest:
    """What the reader wants, most wanted first.

    Attributes:
        layer: The layer on the screen: first the selected source's row there.
        source: The selected source, whose rows at all layers come next; or ``None``.
        layers: Layers whose whole maps are wanted after that, in this order.
        samples: Layers of which one source is wanted before any other whole map: that prepares them, so that a later
            question about a token finds them ready to answer.
        neighbours: Sources whose rows at ``layers`` come after that: probably the next clicks.
        target: The selected target: next come the sources before it, at ``layers``, nearest layer first.
        sources: Only these sources of ``layers``; ``None`` for all.
        targets: Only these targets; ``None`` for all.
        patient: Nobody waits for the first values or clicks meanwhile: larger parts, which are faster.
    """

    layer: int
    source: int | None = None
    layers: Sequence[int] = ()
    samples: Sequence[int] = ()
    neighbours: tuple[int, ...] = ()
    target: int | None = None
    sources: tuple[int, ...] | None = None
    targets: tuple[int, ...] | None = None
    patient: bool = False


def next_part(done: Done, interest: Interest, rows: int) -> tuple[Cell, ...]:
    """The most wanted cells that are not done and make a good small part, sorted; none if all that is wanted is done.

    Args:
        done: Whether each (layer, source) is computed, shape ``(n_layers, T)``.
        interest: What the reader wants.
        rows: Positions computed in one part, at most (one source may have more).
    """
    stop = _stop(done, interest)
    return _first(first_cells(wish, stop, rows) for wish in _wishes(done, interest))


def next_request(done: Done, interest: Interest, rows: int) -> tuple[Cell, ...]:
    """As ``next_part``, for a host: the cells of a request are computed in several batches and need not fit together.

    A selected source's whole row is one request. If nobody waits, a request takes wanted cells of any group.
    """
    stop = _stop(done, interest)
    if interest.source is not None:
        row = _missing(done, nearest_first(interest.layer, len(done)), [interest.source])
        if cells := _as_many(row, stop, LONGEST_ROW * rows):
            return tuple(sorted(cells))
    wishes: Iterable[Iterable[Cell]] = _wishes(done, interest)
    wishes = [chain.from_iterable(wishes)] if interest.patient else wishes
    return _first(_as_many(wish, stop, rows) for wish in wishes)


def _first(groups: Iterable[list[Cell]]) -> tuple[Cell, ...]:
    return tuple(sorted(next(filter(None, groups), [])))


def _stop(done: Done, interest: Interest) -> int:
    return done.shape[1] if interest.targets is None else max(interest.targets)


def _as_many(cells: Iterable[Cell], stop: int, rows: int) -> list[Cell]:
    chosen: list[Cell] = []
    total = 0
    for layer, source in dict.fromkeys(cells):
        total += max(stop - source, 1)
        if chosen and total > rows:
            break
        chosen.append((layer, source))
    return chosen


def _wishes(done: Done, interest: Interest) -> Iterator[Iterator[Cell]]:
    """The wanted cells that are not done, group by group. A part takes cells of one group only."""
    n_layers, n_tokens = done.shape
    everywhere = nearest_first(interest.layer, n_layers)
    if interest.source is not None:
        yield _missing(done, [interest.layer], [interest.source])
        yield _missing(done, everywhere, [interest.source])
    sources = range(n_tokens) if interest.sources is None else sorted(interest.sources)
    yield _missing(done, interest.layers[:1], sources)
    yield _missing(done, interest.samples, [sample_source(n_tokens)])
    chosen = set(interest.layers)
    nearest = [layer for layer in everywhere if layer in chosen]
    for neighbour in interest.neighbours:
        yield _missing(done, nearest, [neighbour])
    if interest.target is not None:
        yield _missing(done, nearest, range(min(interest.target, n_tokens)))
    yield _missing(done, interest.layers[1:], sources)


def _missing(done: Done, layers: Iterable[int], sources: Sequence[int]) -> Iterator[Cell]:
    """The cells of some layers and sources that are not done, layer by layer."""
    columns = np.array(sources, dtype=np.int64)
    for layer in layers:
        for source in columns[~done[layer, columns]].tolist():
            yield layer, source


def neighbours_of(source: int, n_tokens: int) -> tuple[int, ...]:
    """The positions next to one. Of two equally near, the later comes first, because readers read on."""
    return tuple(other for other in (source + 1, source - 1, source + 2, source - 2) if 0 <= other < n_tokens)


def nearest_first(layer: int, n_layers: int) -> list[int]:
    """All layers, by distance from one; of two equally near, the earlier first."""
    return sorted(range(n_layers), key=lambda other: (abs(other - layer), other))


def bisecting(n_layers: int) -> list[int]:
    """All layers: the middle one, then the middles of the gaps, so that each next one is the most informative."""
    order: list[int] = []
    spans = [(0, n_layers)]
    while spans:
        following: list[tuple[int, int]] = []
        for low, high in spans:
            if low < high:
                middle = (low + high) // 2
                order.append(middle)
                following += [(low, middle), (middle + 1, high)]
        spans = following
    return order


def without_unwanted(done: Done, interest: Interest) -> Done:
    """``done``, with all unwanted cells marked as done, so that unmarked cells are wanted and missing."""
    masked = np.ones_like(done)
    if interest.source is not None:
        masked[:, interest.source] = done[:, interest.source]
    sources = range(done.shape[1]) if interest.sources is None else interest.sources
    wanted = np.ix_(list(interest.layers), list(sources))
    masked[wanted] = done[wanted]
    return masked

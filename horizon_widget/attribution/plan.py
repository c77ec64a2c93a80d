"""What is computed next, and what it costs: pure functions of what is done and what the reader looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from horizon_widget.models.model import Model
    from horizon_widget.query import Query

Done = npt.NDArray[np.bool_]  # shape (n_layers, T)
Cell = tuple[int, int]  # (layer, source)

# Copies in a batch all start at the earliest source's position. Beyond this share of the rows computed in vain,
# a batch is cut.
GREATEST_WASTE = 0.25

SAMPLE_TARGETS = 32

# Where each part costs a journey, a selected source's row at all layers is one part, unless it is longer than so many.
LONGEST_ROW = 10


@dataclass(frozen=True)
class Part:
    """A piece of work: some cells, sorted by layer.

    Attributes:
        cells: Which (layer, source).
        targets: Which targets of each; ``None`` for all.
    """

    cells: tuple[Cell, ...]
    targets: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Interest:
    """What the reader wants, most wanted first.

    Attributes:
        layer: The layer on the screen: first the selected source's row there.
        source: The selected source, whose rows at all layers come next; or ``None``.
        layers: Layers whose whole maps are wanted after that, in this order.
        samples: Layers of which one source is wanted before any other whole map: that prepares them, so that a later
            question about a token finds them ready to answer.
        neighbours: Sources whose rows at ``layers`` come after that: the next clicks, probably.
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


def next_part(done: Done, interest: Interest, rows_per_part: int, *, in_batches: bool = False) -> Part | None:
    """The most wanted part that is not yet done, or ``None`` if all that is wanted is.

    Args:
        done: Which (layer, source) are computed, shape ``(n_layers, T)``.
        interest: What the reader wants.
        rows_per_part: Positions computed in one part, at most (one source may have more).
        in_batches: A part is computed in several batches, and each part costs a journey: a source's whole row is one
            part, and cells need not fit together.
    """
    stop = done.shape[1] if interest.targets is None else max(interest.targets)
    if in_batches and interest.source is not None:
        row = [(layer, interest.source) for layer in nearest_first(interest.layer, done.shape[0])]
        cells = cells_of_some_batches((cell for cell in row if not done[cell]), stop, LONGEST_ROW * rows_per_part)
        if cells:
            return Part(tuple(sorted(cells)), interest.targets)
    wishes: Iterable[Iterable[Cell]] = _wishes(done, interest)
    if in_batches and interest.patient:
        wishes = [chain.from_iterable(wishes)]
    choose = cells_of_some_batches if in_batches else first_cells
    for wish in wishes:
        cells = choose((cell for cell in wish if not done[cell]), stop, rows_per_part)
        if cells:
            return Part(tuple(sorted(cells)), interest.targets)
    return None


def _wishes(done: Done, interest: Interest) -> Iterator[Iterable[Cell]]:
    """What is wanted, group after group; a part is taken from one group alone."""
    n_layers, n_tokens = done.shape
    if interest.source is not None:
        yield [(interest.layer, interest.source)]
        yield [(layer, interest.source) for layer in nearest_first(interest.layer, n_layers)]
    sources = range(n_tokens) if interest.sources is None else sorted(interest.sources)
    first, rest = interest.layers[:1], interest.layers[1:]
    yield ((layer, source) for layer in first for source in sources)
    yield [(layer, sample_source(n_tokens)) for layer in interest.samples]
    nearest = [layer for layer in nearest_first(interest.layer, n_layers) if layer in set(interest.layers)]
    for neighbour in interest.neighbours:
        yield [(layer, neighbour) for layer in nearest]
    if interest.target is not None:
        before = range(min(interest.target, n_tokens))
        yield ((layer, source) for layer in nearest for source in before)
    yield ((layer, source) for layer in rest for source in sources)


def cells_of_some_batches(cells: Iterable[Cell], stop: int, rows_per_part: int) -> list[Cell]:
    """The first of some cells, as many as are computed in so many positions; arguments as for ``first_cells``."""
    chosen: list[Cell] = []
    rows = 0
    for layer, source in dict.fromkeys(cells):
        rows += max(stop - source, 1)
        if chosen and rows > rows_per_part:
            break
        chosen.append((layer, source))
    return chosen


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


def neighbours_of(source: int, n_tokens: int) -> tuple[int, ...]:
    """The positions next to one, the later of two as near first: a reader goes on to what follows."""
    return tuple(other for other in (source + 1, source - 1, source + 2, source - 2) if 0 <= other < n_tokens)


def nearest_first(layer: int, n_layers: int) -> list[int]:
    """All layers, by distance from one; of two as near, the earlier."""
    return sorted(range(n_layers), key=lambda other: (abs(other - layer), other))


def bisecting(n_layers: int) -> list[int]:
    """All layers, the middle one first, then the middles of what lies between: each next one tells the most."""
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


@dataclass(frozen=True)
class CostModel:
    """Operation counts of partial forwards.

    Attributes:
        n_layers: ``L``.
        n_tokens: ``T``.
        block: Weights of one block.
        head: Weights of the unembedding, ``V d``.
    """

    n_layers: int
    n_tokens: int
    block: int
    head: int

    @classmethod
    def of(cls, model: Model, query: Query) -> CostModel:
        """Of a query of a model."""
        return cls(model.n_layers, query.n_tokens, model.weights_per_block, model.vocab_size * model.d_model)

    def rows(self, layer: int, n_positions: float) -> float:
        """Operations to run ``n_positions`` through blocks ``layer .. L-1`` and the head."""
        return 2.0 * n_positions * (self.block * (self.n_layers - layer) + self.head)

    def column(self, target: int) -> float:
        """Operations for one backward pass from the prediction of a target, to all layers and earlier positions."""
        return 2.0 * self.block * self.n_layers * target + 4.0 * self.head

    def missing(self, done: Done) -> float:
        """Operations for all that is not done: each source's own later positions, and no waste."""
        length = self.n_tokens - 1 - np.arange(self.n_tokens)
        return float(sum(self.rows(layer, float(length[~row].sum())) for layer, row in enumerate(done)))


def wanted(done: Done, interest: Interest) -> Done:
    """Mark as done all that is not asked for, so that what remains is what is wanted and missing."""
    masked = np.ones_like(done)
    if interest.source is not None:
        masked[:, interest.source] = done[:, interest.source]
    sources = range(done.shape[1]) if interest.sources is None else interest.sources
    for layer in interest.layers:
        masked[layer, list(sources)] = done[layer, list(sources)]
    return masked

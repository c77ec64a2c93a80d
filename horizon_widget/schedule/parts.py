"""The two ways in which a map is filled, part by part: by rows, and by columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from horizon_widget.compute.batches import Cell
from horizon_widget.compute.cost import CostModel
from horizon_widget.compute.executor import Executor
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.schedule import labels
from horizon_widget.schedule.plan import Interest, next_part, next_request, without_unwanted


@dataclass(frozen=True)
class Part:
    """A piece of work, to be computed by one task.

    Attributes:
        task: One of ``compute.tasks.TASKS``.
        targets: The targets, ascending; ``None`` for all.
        cells: The cells (layer, source), sorted by layer; empty: all.
    """

    task: str
    targets: tuple[int, ...] | None
    cells: tuple[Cell, ...] = ()


class Filling(Protocol):
    """How a map is filled.

    The functions are given the map, the executor of its query, and what the reader wants.
    """

    def next_part(self, hmap: HorizonMap, executor: Executor, interest: Interest, rows: int | None) -> Part | None:
        """The most wanted part that is not yet done, or ``None`` if all that is wanted is done.

        Args:
            hmap: The map.
            executor: The executor that will compute it.
            interest: What is wanted.
            rows: Positions computed in one part; by default as many as suit the executor.
        """

    def missing(self, hmap: HorizonMap, cost: CostModel, interest: Interest) -> float:
        """Operations for all that is wanted and not done, by the cost model."""

    def label(self, hmap: HorizonMap, part: Part, interest: Interest) -> str:
        """A short label of a part."""

    def arguments(self, hmap: HorizonMap, part: Part) -> dict[str, Any] | None:
        """The arguments of the part's task; ``None`` if all of it is done by now."""

    def enter(self, hmap: HorizonMap, arguments: dict[str, Any], result: Any) -> None:
        """Enter the task's result in the map."""


class ByRows:
    """A part is some cells, each with all targets."""

    def next_part(self, hmap: HorizonMap, executor: Executor, interest: Interest, rows: int | None) -> Part | None:
        """See ``Filling``."""
        choose = next_request if executor.by_requests else next_part
        cells = choose(
            hmap.done_for(interest.targets), interest, rows or executor.rows_at_once(patient=interest.patient)
        )
        return Part("rows", interest.targets, cells) if cells else None

    def missing(self, hmap: HorizonMap, cost: CostModel, interest: Interest) -> float:
        """See ``Filling``."""
        return cost.missing(without_unwanted(hmap.done_for(interest.targets), interest))

    def label(self, hmap: HorizonMap, part: Part, interest: Interest) -> str:
        """The one row or column that is wanted, or else the part's layers."""
        layers = sorted({layer for layer, _ in part.cells})
        return labels.only_line(interest, hmap.tokens) or labels.several("layer", layers)

    def arguments(self, hmap: HorizonMap, part: Part) -> dict[str, Any] | None:
        """See ``Filling``."""
        done = hmap.done_for(part.targets)
        cells = [cell for cell in part.cells if not done[cell]]
        return {"cells": cells, "targets": part.targets} if cells else None

    def enter(self, hmap: HorizonMap, arguments: dict[str, Any], result: Any) -> None:
        """See ``Filling``."""
        for variable, rows in reversed(result.items()):  # influence last: it says what is done
            for (layer, source), row in zip(arguments["cells"], rows, strict=True):
                hmap.record(layer, [source], row[None], targets=arguments["targets"], variable=variable)


class ByColumns:
    """A part is some targets, at every layer and source."""

    def next_part(self, hmap: HorizonMap, executor: Executor, interest: Interest, rows: int | None) -> Part | None:
        """See ``Filling``."""
        missing = self._missing(hmap, interest)
        if not missing:
            return None
        # The longest first: the others of a part go as far as the first. No small rest is left over.
        at_once = executor.targets_at_once(missing[-1], patient=interest.patient, rows=rows)
        return Part("columns", tuple(missing if len(missing) <= 1.25 * at_once else missing[-at_once:]))

    def missing(self, hmap: HorizonMap, cost: CostModel, interest: Interest) -> float:
        """See ``Filling``."""
        return float(sum(cost.column(target) for target in self._missing(hmap, interest)))

    def label(self, hmap: HorizonMap, part: Part, interest: Interest) -> str:
        """The part's targets, by name if it is one; they are computed for every source, wanted or not."""
        del interest
        targets = part.targets or ()
        return labels.column_of(targets[0], hmap.tokens) if len(targets) == 1 else labels.several("target", targets)

    def arguments(self, hmap: HorizonMap, part: Part) -> dict[str, Any] | None:
        """See ``Filling``."""
        del hmap
        return {"targets": list(part.targets or ())}

    def enter(self, hmap: HorizonMap, arguments: dict[str, Any], result: Any) -> None:
        """See ``Filling``."""
        hmap.record_targets(arguments["targets"], result)

    def _missing(self, hmap: HorizonMap, interest: Interest) -> list[int]:
        wanted = np.zeros(hmap.done.shape, dtype=bool)
        if interest.source is not None:
            wanted[:, interest.source] = True
        sources = list(range(hmap.query.n_tokens)) if interest.sources is None else list(interest.sources)
        wanted[np.ix_(list(interest.layers), sources)] = True
        lacking = (np.isnan(hmap.values.values) & wanted[..., None]).any(axis=(0, 1))
        asked = None if interest.targets is None else set(interest.targets)
        return [int(column) + 1 for column in np.flatnonzero(lacking) if asked is None or int(column) + 1 in asked]


FILLINGS: dict[str, Filling] = {"rows": ByRows(), "columns": ByColumns()}

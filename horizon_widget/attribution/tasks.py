"""What may be asked of a computation: the same in this process and on a host."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from horizon_widget.attribution.ablation import Ablation
from horizon_widget.attribution.computation import Computation
from horizon_widget.attribution.findings import ASPECTS, Cell, Steps
from horizon_widget.attribution.gradient import Gradient
from horizon_widget.baseline import Baseline
from horizon_widget.models.model import Model
from horizon_widget.query import Query


def computation_for(model: Model, query: Query, **options: Any) -> Computation:
    """What computes a query's method."""
    kind = Ablation if query.is_exact else Gradient
    return kind(model, query, **options)


def perform(computation: Computation, task: str, arguments: dict[str, Any]) -> Steps[Any]:
    """Perform a task in steps, between which one may stop.

    Args:
        computation: On the thread that owns its model.
        task: One of ``TASKS``.
        arguments: Plain values, ``Cell`` and ``Baseline``.

    Returns:
        Plain values, arrays, and what ``findings`` has.
    """
    found = TASKS[task](computation, **arguments)
    if inspect.isgenerator(found):
        found = yield from found
    return found


def _begin(computation: Computation) -> None:
    computation.begin()


def _prepare(ablation: Ablation, layers: Sequence[int]) -> None:
    ablation.prepare(layers)


def _under(ablation: Ablation, baselines: Sequence[Baseline], cell: Cell) -> list[float]:
    return [ablation.under(baseline, (cell.layer, cell.source), cell.target) for baseline in baselines]


TASKS: dict[str, Callable[..., Any]] = {
    "begin": _begin,
    "prepare": _prepare,
    "rows": Ablation.rows,
    "columns": Gradient.columns,
    "together": Ablation.together,
    "total_and_direct": Ablation.total_and_direct,
    "under": _under,
    "memory": lambda computation, rows: computation.memory_needed(rows),
    **ASPECTS,
}

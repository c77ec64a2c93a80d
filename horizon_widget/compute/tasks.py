"""The tasks of a computation, in this process and on a host."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from horizon_widget.compute.ablation import Ablation
from horizon_widget.compute.batches import Cells
from horizon_widget.compute.computation import Array, Computation
from horizon_widget.compute.findings import ASPECTS, Cell, Steps
from horizon_widget.compute.gradient import Gradient
from horizon_widget.models.local_model import LocalModel
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.query import Query

COMPUTATIONS: dict[str, type[Computation]] = {"ablation": Ablation, "gradient": Gradient, "energy": Gradient}


def computation_for(model: LocalModel, query: Query, **options: Any) -> Computation:
    """The computation of a query's method."""
    return COMPUTATIONS[query.method](model, query, **options)


def perform(computation: Computation, task: str, arguments: dict[str, Any]) -> Steps[Any]:
    """Perform a task in steps, on the thread that owns the model. It may be stopped between steps.

    Args:
        computation: The computation of the query.
        task: The name of the task, one of ``TASKS``.
        arguments: Plain values, ``Cell`` and ``Baseline``.

    Returns:
        Plain values, arrays, and dataclasses of ``findings``.
    """
    found = TASKS[task](computation, **arguments)
    if inspect.isgenerator(found):
        found = yield from found
    return found


def _rows(computation: Any, cells: Cells, targets: Sequence[int] | None) -> dict[str, Array]:
    """Rows by the name of their variable in the map."""
    found = computation.rows(cells, targets)
    return found if isinstance(found, dict) else {"influence": found}


def _prepare(ablation: Ablation, layers: Sequence[int]) -> None:
    ablation.prepare(layers)


def _under(ablation: Ablation, baselines: Sequence[Baseline], cell: Cell) -> list[float]:
    return [ablation.under(baseline, (cell.layer, cell.source), cell.target) for baseline in baselines]


TASKS: dict[str, Callable[..., Any]] = {
    "begin": Computation.begin,
    "prepare": _prepare,
    "rows": _rows,
    "columns": lambda computation, targets: computation.columns(targets),
    "together": Ablation.together,
    "total_and_direct": Ablation.total_and_direct,
    "under": _under,
    "memory": lambda computation, rows: computation.memory_needed(rows),
    **ASPECTS,
}

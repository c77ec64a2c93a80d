"""The executor: it performs the tasks of one query where its model is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from horizon_widget.compute import gradient
from horizon_widget.compute.ablation import PATIENCE, rows_at_once
from horizon_widget.compute.computation import CleanValues, Computation
from horizon_widget.compute.findings import Steps
from horizon_widget.compute.preparation import Preparation
from horizon_widget.compute.tasks import computation_for, perform
from horizon_widget.models.local_model import LocalModel
from horizon_widget.question.query import Query

PATIENCE_OF_CHECKS = 5.0  # time between two runs of the prompt for a check, as a multiple of the time that one takes


@dataclass(frozen=True)
class Answer:
    """The result of a task, and what is new since the last answer of the same executor.

    Attributes:
        result: The task's result.
        clean: Values of the unchanged prompt; ``None`` if an earlier answer had them.
        preparations: The preparations of layers that are newly prepared.
        operations: Number of new operations, by the cost model.
        facts: Facts of the machine, for the map's attributes.
    """

    result: Any
    clean: CleanValues | None
    preparations: dict[int, Preparation]
    operations: float
    facts: dict[str, str] = field(default_factory=dict)


class Executor(Protocol):
    """Performs tasks of one query, on the thread that owns the model."""

    by_requests: bool  # whether each task is a request to a host, so that few large tasks are best

    def perform(self, task: str, arguments: dict[str, Any]) -> Steps[Answer]:
        """Perform one of ``tasks.TASKS``, in steps between which one may stop."""

    def is_outdated(self) -> bool:
        """Whether the model has changed since the prompt was run; from any thread."""

    def distrust_model(self) -> None:
        """Have the next ``check_model`` run the prompt again; from any thread, returns at once.

        Only this notices writes through ``parameter.data``.
        """

    def check_model(self) -> None:
        """Refuse a model that has changed since the prompt was run; on the thread that owns it.

        Raises:
            OutdatedError: naming the module that has changed, if it is known.
        """

    def rows_at_once(self, *, patient: bool) -> int:
        """Number of positions to compute in one task. A single row may have more.

        Args:
            patient: Whether nobody waits for the first values. More positions at once are faster.
        """

    def targets_at_once(self, target: int, *, patient: bool, rows: int | None = None) -> int:
        """Number of columns to compute in one task.

        Args:
            target: The last target.
            patient: As for ``rows_at_once``.
            rows: Most targets times positions; by default chosen for the machine.
        """


class LocalExecutor:
    """Performs tasks in this process.

    Args:
        model: The model whose states are asked about.
        query: The question.
        **options: ``strategy`` and ``memory_limit`` as for ``Computation``, ``batched`` as for ``Gradient``.
    """

    by_requests = False

    def __init__(self, model: LocalModel, query: Query, **options: Any) -> None:
        self.computation: Computation = computation_for(model, query, **options)
        self._told_clean = False
        self._told_layers: set[int] = set()
        self._told_operations = 0.0
        self._distrusts = False
        self._next_check = 0.0

    def perform(self, task: str, arguments: dict[str, Any]) -> Steps[Answer]:
        """See ``Executor``. The result is dropped if the model has changed meanwhile."""
        performed = perform(self.computation, task, arguments)
        while True:
            self._check(thorough=self._distrusts and time.monotonic() >= self._next_check)
            try:
                next(performed)
            except StopIteration as end:
                self._check()
                return self._answer(end.value)
            except Exception:
                self._check()  # a change of the model may be the reason
                raise
            yield

    def _answer(self, result: Any) -> Answer:
        computation = self.computation
        clean = computation.clean if computation.has_begun and not self._told_clean else None
        new = {at: known for at, known in computation.preparations.items() if at not in self._told_layers}
        operations = computation.operations - self._told_operations
        self._told_clean = self._told_clean or clean is not None
        self._told_layers |= new.keys()
        self._told_operations = computation.operations
        return Answer(result, clean, new, operations)

    def check_model(self) -> None:
        """See ``Executor``."""
        self._check(thorough=self._distrusts)

    def _check(self, *, thorough: bool = False) -> None:
        began = time.monotonic()
        if thorough:
            self._distrusts = False
        try:
            self.computation.check_current(thorough=thorough)
        except BaseException:
            self._distrusts = self._distrusts or thorough  # the next check is thorough, too
            raise
        if thorough:
            self._next_check = time.monotonic() + PATIENCE_OF_CHECKS * (time.monotonic() - began)

    def is_outdated(self) -> bool:
        """See ``Executor``."""
        return self.computation.model.thread.run(self.computation.is_outdated)

    def distrust_model(self) -> None:
        """See ``Executor``."""
        self._distrusts = True

    def rows_at_once(self, *, patient: bool) -> int:
        """See ``Executor``."""
        return rows_at_once(self.computation.model.device) * (PATIENCE if patient else 1)

    def targets_at_once(self, target: int, *, patient: bool, rows: int | None = None) -> int:
        """See ``Executor``."""
        del patient
        return gradient.targets_at_once(self.computation.model.device, target, rows)

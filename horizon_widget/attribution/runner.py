"""Where a query's tasks are performed, and what performing them tells of its map."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from horizon_widget.attribution.ablation import PATIENCE, rows_at_once
from horizon_widget.attribution.computation import CleanValues, Computation
from horizon_widget.attribution.findings import Steps
from horizon_widget.attribution.preparation import Preparation
from horizon_widget.attribution.tasks import computation_for, perform
from horizon_widget.errors import OutdatedError
from horizon_widget.models.model import Model
from horizon_widget.query import Query

MOST_BYTES = 4_000_000  # of values in one answer of a host
PATIENCE_OF_CHECKS = 5.0  # between two runs of the prompt for a check, how many times as long as one takes


@dataclass
class Learnt:
    """What tasks have told, beside their results.

    Attributes:
        clean: Of the unchanged prompt, once it has been run.
        preparations: Of each layer prepared so far.
        operations: What was computed so far, by the cost model.
        facts: Of the machine, for the map's attributes, once they are known.
    """

    clean: CleanValues | None = None
    preparations: dict[int, Preparation] = field(default_factory=dict)
    operations: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Size:
    """How large a part of a map may be.

    Attributes:
        rows: Positions computed in one part (one source may have more).
        in_batches: A part is computed in several batches, so that its cells need not fit into one.
    """

    rows: int
    in_batches: bool = False


class Runner(Protocol):
    """Performs tasks of one query, on the thread that owns the model."""

    @property
    def learnt(self) -> Learnt:
        """What they have told."""

    def steps(self, task: str, arguments: dict[str, Any]) -> Steps[Any]:
        """Perform a task; see ``tasks.perform``."""

    def is_outdated(self) -> bool:
        """Whether the model has changed since the prompt was run; from any thread."""

    def distrust_model(self) -> None:
        """Compare the model in full at the next ``check_model``; from any thread, returns at once.

        What is written through ``parameter.data`` can be seen in no other way.
        """

    def check_model(self) -> None:
        """Refuse a model that has changed since the prompt was run; on the thread that owns it.

        Raises:
            OutdatedError: naming what has changed.
        """

    def size(self, *, patient: bool) -> Size:
        """How large parts may be; larger where nobody waits for the first values."""


class Here:
    """Performs tasks in this process."""

    def __init__(self, model: Model, query: Query, **options: Any) -> None:
        self.computation: Computation = computation_for(model, query, **options)
        self._learnt = Learnt()
        self._distrusts = False
        self._next_check = 0.0

    @property
    def learnt(self) -> Learnt:
        """See ``Runner``."""
        computation = self.computation
        if self._learnt.clean is None and computation.has_begun:
            self._learnt.clean = computation.clean
        self._learnt.preparations, self._learnt.operations = computation.preparations, computation.operations
        return self._learnt

    def steps(self, task: str, arguments: dict[str, Any]) -> Steps[Any]:
        """See ``Runner``; what a model gave that was changed meanwhile is dropped."""
        performed = perform(self.computation, task, arguments)
        while True:
            self._check(thorough=self._distrusts and time.monotonic() >= self._next_check)
            try:
                next(performed)
            except StopIteration as end:
                self._check()
                return end.value
            except Exception:
                self._check()  # is the model's change why it failed?
                raise
            yield

    def check_model(self) -> None:
        """See ``Runner``."""
        self._check(thorough=self._distrusts)

    def _check(self, *, thorough: bool = False) -> None:
        began = time.monotonic()
        try:
            self._distrusts = self._distrusts and not thorough
            self.computation.check_current(thorough=thorough)
        except OutdatedError:
            self._distrusts = self._distrusts or thorough  # so is what is asked next
            raise
        if thorough:
            self._next_check = time.monotonic() + PATIENCE_OF_CHECKS * (time.monotonic() - began)

    def is_outdated(self) -> bool:
        """See ``Runner``."""
        return self.computation.model.thread.run(self.computation.is_outdated)

    def distrust_model(self) -> None:
        """See ``Runner``."""
        self._distrusts = True

    def size(self, *, patient: bool) -> Size:
        """See ``Runner``."""
        return Size(rows_at_once(self.computation.model.device) * (PATIENCE if patient else 1))

"""Performs the tasks of one query on a remote model's host, each by one request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from horizon_widget.compute.computation import CleanValues
from horizon_widget.compute.cost import CostModel
from horizon_widget.compute.executor import Answer
from horizon_widget.compute.findings import Steps
from horizon_widget.compute.preparation import Preparation
from horizon_widget.errors import HostError, ModelError
from horizon_widget.question.query import Query
from horizon_widget.remote import sending
from horizon_widget.remote.faults import Fault
from horizon_widget.remote.on_host import tasks
from horizon_widget.remote.packing import pack, unpack

if TYPE_CHECKING:
    from horizon_widget.remote.remote_model import RemoteModel

MOST_BYTES = 4_000_000  # of values in one answer
# Requests are short: while one runs, no other can run on the host's model, and a cancelled one goes on. But a whole row
# is always one request.
SECONDS, PATIENT_SECONDS = 3.0, 8.0
FIRST_ROWS = 2048  # before the host's speed is known
SANDBOX = 4  # about how many times longer a row takes in a sandbox
TOO_MUCH = ("too much", "silent", "lost")  # kinds of fault after which smaller requests are sent
FILLING = ("rows", "columns")  # tasks that can be of any size
MEMORY = 0.6  # weight of the earlier measured speed


class RemoteExecutor:
    """Performs tasks on the model's host.

    Args:
        model: On the host.
        query: The question.
        **options: None can be chosen: the host decides on memory and strategies.

    Raises:
        ModelError: if an option is given.
    """

    by_requests = True

    def __init__(self, model: RemoteModel, query: Query, **options: Any) -> None:
        options = {name: value for name, value in options.items() if value is not None}
        if options:
            raise ModelError(
                f"{', '.join(options)} cannot be chosen for a model on another machine.", advice="Leave it out."
            )
        if query.metric.function is not None:
            sending.send_by_value(query.metric.function)
        self._model, self._query = model, query
        self._cost = CostModel.of(model, query)
        self._clean: CleanValues | None = None  # in the first answer
        self._preparations: dict[int, Preparation] = {}
        self._batched: bool | None = None
        self._rate = 0.0  # operations per second
        self._most_rows: int | None = None
        self._outdated = False

    def perform(self, task: str, arguments: dict[str, Any]) -> Steps[Answer]:
        """See ``Executor``: a single step."""
        yield from ()
        self._model.check_offered(task, self._query.method)
        request = {
            "query": pack(self._query),
            "task": task,
            "arguments": pack(arguments),
            "preparations": pack(self._preparations),
            "strategies": self._model.strategies_tried,
            "batched": self._batched,
        }
        try:
            answer = unpack(self._model.ask(tasks.perform_task, request), tasks.IN_ANSWERS)
        except HostError as error:
            if task in FILLING and error.kind in TOO_MUCH:
                self._most_rows = self._rows(PATIENT_SECONDS) // 4
            raise
        self._check_same_model(answer["clean"])
        self._model.strategies_tried, self._batched = answer["strategies"], answer["batched"]
        if task in FILLING:
            self._learn_speed(answer["operations"], answer["seconds"])
        clean = answer["clean"] if self._clean is None else None
        self._clean = self._clean or clean
        # Their rows are in the map; the host does not need them again.
        self._preparations |= {at: replace(known, rows={}) for at, known in answer["preparations"].items()}
        facts = {**self._model.provenance, "dtype": answer["dtype"], "device": answer["device"]}
        return Answer(answer["result"], clean, answer["preparations"], answer["operations"], facts)

    def _learn_speed(self, operations: float, seconds: float) -> None:
        rate = operations / seconds
        self._rate = MEMORY * self._rate + (1 - MEMORY) * rate if self._rate else rate
        if self._most_rows is not None:
            self._most_rows *= 2

    def _check_same_model(self, clean: CleanValues) -> None:
        before = self._clean
        if before is None:
            return
        # The norms too: on the unchanged prompt, some metrics have the same value for all models.
        scale = max(before.metric.std(), np.abs(before.metric).mean(), 1e-3)
        of_metric = np.abs(clean.metric - before.metric).max() / scale
        apart = max(of_metric, np.abs(clean.norms / np.maximum(before.norms, 1e-6) - 1).max())
        if not apart <= self._model.agreement:
            self._outdated = True
            self._model.forget()
            raise self._model.host.faults.of(Fault.MODEL_CHANGED)

    def is_outdated(self) -> bool:
        """See ``Executor``: each answer is compared with the first one."""
        return self._outdated

    def distrust_model(self) -> None:
        """See ``Executor``: each answer is compared with the first one."""

    def check_model(self) -> None:
        """See ``Executor``: without a request of its own."""

    def rows_at_once(self, *, patient: bool) -> int:
        """See ``Executor``: by the host's speed, if it is known."""
        return self._rows(PATIENT_SECONDS if patient else SECONDS)

    def targets_at_once(self, target: int, *, patient: bool, rows: int | None = None) -> int:
        """See ``Executor``."""
        column = 4 * self._model.n_layers * self._query.n_tokens  # bytes
        return max(1, min((rows or self.rows_at_once(patient=patient)) // target, MOST_BYTES // column))

    def _rows(self, seconds: float) -> int:
        """About how many positions the host computes in a time."""
        if self._rate:
            rows = int(seconds * self._rate / self._cost.rows(0, 1))
        else:
            rows = FIRST_ROWS // SANDBOX if self._model.is_sandboxed else FIRST_ROWS
        return max(self._query.n_tokens, min(rows, MOST_BYTES // 4, self._most_rows or rows))

"""Performs a query's tasks where a remote model is: one request for each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from horizon_widget.compute.computation import CleanValues
from horizon_widget.compute.cost import CostModel
from horizon_widget.compute.executor import Answer
from horizon_widget.compute.findings import Steps
from horizon_widget.compute.preparation import Preparation
from horizon_widget.errors import HostError, ModelError
from horizon_widget.question.query import Query
from horizon_widget.remote import travel, visit
from horizon_widget.remote.remote_model import RemoteModel
from horizon_widget.remote.values import pack, unpack

MOST_BYTES = 4_000_000  # of values in one answer
# A request should be short: while it runs, nothing else that is asked of the host's model can, and a cancelled one goes
# on. A whole row is one request all the same.
SECONDS, PATIENT_SECONDS = 3.0, 8.0
FIRST_ROWS = 2048  # before anything is known of the host
SANDBOX = 4  # how many times dearer a row is there, about
TOO_MUCH = ("silent", "time limit", "memory", "replica died")  # faults of a request that may have been too long
FILLING = ("rows", "columns")  # tasks whose size is ours to choose
MEMORY = 0.6  # weight of what was learnt before


class RemoteExecutor:
    """Performs tasks on the model's host.

    Args:
        model: A remote one.
        query: The question.
        **options: None is offered: the host's memory and strategies are its own.

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
            travel.bring(query.metric.function)
        self._model, self._query = model, query
        self._cost = CostModel.of(model, query)
        self._clean: CleanValues | None = None  # of the first answer
        self._preparations: dict[int, Preparation] = {}
        self._batched: bool | None = None
        self._rate = 0.0  # operations in a second
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
            told = unpack(self._model.ask(visit.ENTRY, request), visit.ANSWERED)
        except HostError as error:
            if task in FILLING and error.kind in TOO_MUCH:  # so much is not asked for again
                self._most_rows = self._rows(PATIENT_SECONDS) // 4
            raise
        self._check_same_model(told["clean"])
        self._model.strategies_tried, self._batched = told["strategies"], told["batched"]
        if task in FILLING:
            self._learn_speed(told["operations"], told["seconds"])
        clean, self._clean = (told["clean"], told["clean"]) if self._clean is None else (None, self._clean)
        # Their rows are in the map and need not be sent back.
        self._preparations |= {at: replace(known, rows={}) for at, known in told["preparations"].items()}
        facts = {**self._model.provenance, "dtype": told["dtype"], "device": told["device"]}
        return Answer(told["result"], clean, told["preparations"], told["operations"], facts)

    def _learn_speed(self, operations: float, seconds: float) -> None:
        rate = operations / seconds
        self._rate = MEMORY * self._rate + (1 - MEMORY) * rate if self._rate else rate
        if self._most_rows is not None:
            self._most_rows *= 2

    def _check_same_model(self, clean: CleanValues) -> None:
        before = self._clean
        if before is None:
            return
        # Norms too: some metrics are alike for all models on the unchanged prompt.
        scale = max(before.metric.std(), np.abs(before.metric).mean(), 1e-3)
        of_metric = np.abs(clean.metric - before.metric).max() / scale
        apart = max(of_metric, np.abs(clean.norms / np.maximum(before.norms, 1e-6) - 1).max())
        if not apart <= self._model.agreement:
            self._outdated = True
            self._model.forget()
            raise self._model.host.fault("model changed")

    def is_outdated(self) -> bool:
        """See ``Executor``: each answer is compared with the first one."""
        return self._outdated

    def distrust_model(self) -> None:
        """See ``Executor``: each answer is compared with the first one."""

    def check_model(self) -> None:
        """See ``Executor``: no request is made for it."""

    def rows_at_once(self, *, patient: bool) -> int:
        """See ``Executor``: by what is known of the host's speed."""
        return self._rows(PATIENT_SECONDS if patient else SECONDS)

    def targets_at_once(self, target: int, *, patient: bool, rows: int | None = None) -> int:
        """See ``Executor``."""
        column = 4 * self._model.n_layers * self._query.n_tokens  # bytes
        return max(1, min((rows or self.rows_at_once(patient=patient)) // target, MOST_BYTES // column))

    def _rows(self, seconds: float) -> int:
        """Positions that the host computes in so many seconds, about."""
        if self._rate:
            rows = int(seconds * self._rate / self._cost.rows(0, 1))
        else:
            rows = FIRST_ROWS // SANDBOX if self._model.is_sandboxed else FIRST_ROWS
        return max(self._query.n_tokens, min(rows, MOST_BYTES // 4, self._most_rows or rows))

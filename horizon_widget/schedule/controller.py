"""Computes the values that one widget's reader wants, and reports them.

Between two pieces of work the controller plans anew from its state, so a newer question overtakes an older one and
nothing queues up.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from horizon_widget.compute.findings import Cell
from horizon_widget.errors import CancelledError, HorizonError, describe
from horizon_widget.models import thread
from horizon_widget.models.model import Model
from horizon_widget.models.writing import Writing
from horizon_widget.question.query import Query
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.schedule import idle
from horizon_widget.schedule.engine import exact_engine_for
from horizon_widget.schedule.jobs import Jobs
from horizon_widget.schedule.listener import Listener, Status
from horizon_widget.schedule.parts import Part
from horizon_widget.schedule.plan import bisecting
from horizon_widget.schedule.progress import Progress
from horizon_widget.schedule.state import LookedAt, Plan, State, plan

logger = logging.getLogger(__name__)


class Controller:
    """Computes the values that one widget's reader wants.

    Args:
        model: The model whose states are asked about.
        query: The question.
        layer: The layer first shown.
        layers: The layers that idle time is used for; ``None``: all.
        listener: Hears of rows, status, findings and failures.
    """

    def __init__(
        self, model: Model, query: Query, *, layer: int, listener: Listener, layers: Sequence[int] | None = None
    ) -> None:
        self._model = model
        self._engine = exact_engine_for(model, query)
        self._listener = listener
        self._process = os.getpid()
        self._condition = threading.Condition()  # guards the state; notified when it changes
        self._state = State(
            LookedAt(layer),
            [other for other in bisecting(model.n_layers) if layers is None or other in layers],
            fills_all=layers is None,
            on_request=model.remote and layers is None,
        )
        self._jobs = Jobs(self._engine, listener, self._fail)
        self._was_job = False  # the last piece of work was a job
        self._progress = Progress()
        self._told = np.zeros_like(self.map.done)
        self._is_scheduled = self._is_stepping = False
        self._abandoned = threading.Event()  # set when nobody waits for the host's answer of the step under way
        self._unsubscribe: Callable[[], None] | None = None  # unsubscribes from the model's news
        self.wants_idle_time = False

    # -- actions of the reader; from any thread, return at once --------------------------------------------------

    @property
    def map(self) -> HorizonMap:
        """The map being filled."""
        return self._engine.map

    @property
    def not_offered(self) -> dict[str, str]:
        """As for the model; known once that has been asked."""
        return self._model.not_offered

    @property
    def looked_at(self) -> LookedAt:
        """The selection of the reader."""
        return self._state.looked_at

    @property
    def stopped(self) -> dict[str, bool]:
        """The part that the reader has stopped, as for ``start``; an error does not stop another map."""
        state = self._state
        return {"cancelled": state.cancelled, "stopped": state.stopped and state.error is None}

    @property
    def is_outdated(self) -> bool:
        """Whether it stopped because the model has changed, so that only a new map can continue."""
        return self._state.outdated and self._state.error is not None

    def start(self, looked_at: LookedAt | None = None, **state: bool) -> None:
        """Begin.

        Args:
            looked_at: What the reader looks at; ``None``: the layer first shown.
            **state: ``viewed``, ``cells_running``, ``cancelled``, ``stopped``, as in ``State``.
        """
        if self._state.closed:
            return
        if self._unsubscribe is None:
            self._unsubscribe = self._model.listen(self._tell_news)
        idle.used(self)
        self.wants_idle_time = state.get("viewed", False)  # until the first step knows better
        self._change(looked_at=looked_at or self.looked_at, **state)

    def look_at(self, layer: int, source: int | None, *, target: int | None = None) -> None:
        """Note a new selection. It is answered even after a cancellation or an error; see ``LookedAt``."""
        idle.used(self)
        self._change(looked_at=LookedAt(layer, source, target), cancelled=False, error=None)

    def inspect(self, cell: Cell, aspects: Sequence[str]) -> None:
        """Look into aspects of a cell, in this order. Questions about another cell are dropped.

        Args:
            cell: The cell.
            aspects: Some of ``compute.findings.ASPECTS``.
        """
        idle.used(self)
        self._jobs.inspect(cell, aspects)
        self._change()

    def write_on(self, n_tokens: int, token_ids: Sequence[int]) -> None:
        """Let the model continue a prompt by at most so many tokens; the newest request counts."""
        idle.used(self)
        self._jobs.write(Writing(self._model, token_ids, n_tokens))
        self._change()

    def allow_filling(self) -> None:
        """Use idle time to fill the rest of the map, because somebody looks at it."""
        idle.used(self)
        self.wants_idle_time = not self._state.closed
        self._change(viewed=True)

    def cells_running(self, running: bool) -> None:
        """Note whether the user's own cells run; filling waits until they end."""
        if not running:
            self._engine.executor.distrust_model()
        self._change(cells_running=running, unchecked=not running)

    def cancel(self) -> None:
        """Compute nothing more until asked again, and fill nothing more until ``resume``.

        The model stops writing; questions about a cell are answered with a problem.
        """
        self._jobs.cancel()
        self._change(cancelled=True, stopped=True)
        self._abandoned.set()

    def resume(self) -> None:
        """Continue after a cancellation or an error, and with the rest of the map.

        After a failure or a cancellation, a map that is filled on request continues only with the requested values.
        """
        idle.used(self)
        with self._condition:
            failed = self._state.cancelled or self._state.error is not None
            self._change(cancelled=False, error=None, stopped=False, on_request=self._state.on_request and failed)

    def close(self) -> None:
        """Stop for good after the part under way."""
        idle.forget(self)
        self.wants_idle_time = False
        self._change(closed=True)
        self._jobs.drop()
        self._abandoned.set()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        idle.pass_on()

    def wake(self) -> None:
        """Plan again (called by ``idle``)."""
        self._change()

    def wait(self, *, whole_map: bool = False, timeout: float | None = None) -> Status:
        """Block until everything asked for, or the whole map, is computed, or an error or a cancellation ends it.

        Raises:
            TimeoutError: if it takes longer than ``timeout`` seconds.
            HorizonError: if called on the thread that computes, or in a forked process.
        """
        if self._is_copy:
            raise HorizonError(
                "This widget is a copy in a forked process, where it computes nothing.",
                advice="Its map has the values computed before the fork; hw.attribute computes here.",
            )
        if thread.is_current():
            raise HorizonError(
                "wait() was called from an observer, while the map is being computed.",
                advice="Call it from a cell.",
            )
        with self._condition:
            self._change(waiting=self._state.waiting + whole_map)
        try:
            with self._condition:
                if not self._condition.wait_for(lambda: self._is_over(whole_map), timeout):
                    raise TimeoutError(f"The map is not ready after {timeout} seconds.")
        finally:
            with self._condition:
                self._change(waiting=self._state.waiting - whole_map)
        return self._status(self._plan())

    # -- one piece of work after another, on the model thread ----------------------------------------------------

    def _plan(self) -> Plan:
        return plan(self._state, self._engine, has_turn=idle.is_turn_of(self))

    def _is_over(self, whole_map: bool) -> bool:
        if self._state.is_stopped:
            return True
        now = self._plan()
        return (now.rest if whole_map else now.asked) is None

    @property
    def _is_copy(self) -> bool:
        """Whether this process is a forked one. The work under way and the holder of the lock are in its parent."""
        return os.getpid() != self._process

    def _change(self, **changes: Any) -> None:
        if self._is_copy:
            return
        with self._condition:
            self._state = replace(self._state, **changes)
            if not self._is_scheduled and not self._state.closed:
                self._is_scheduled = True
                self._submit()
            self._condition.notify_all()

    def _submit(self) -> None:
        try:
            self._model.thread.submit(self._step)
        except RuntimeError:  # the interpreter is shutting down
            self._state = replace(self._state, closed=True)

    def _step(self) -> None:
        """Do the most wanted piece of work, tell the listener, and queue the next step after other widgets' work."""
        try:
            with self._condition:
                self._is_stepping, self._abandoned = True, threading.Event()
                now = self._plan()
                work = self._choose(now)
                self._progress.begin((self.looked_at if now.asked else None), now.missing)
            if work is not None:
                self._listener.on_status(self._status(now))
                with self._model.under(self._abandoned):
                    work()
            self._tell_rows()
        except Exception as error:
            logger.exception("a step of the controller failed")
            self._fail(error)
        with self._condition:
            self._is_stepping = False
            now = self._plan()
            wanted, self.wants_idle_time = self.wants_idle_time, now.wants_idle_time
            self._is_scheduled = self._has_work(now)
            if self._is_scheduled:
                self._submit()
        if wanted and not self.wants_idle_time:
            idle.pass_on()
        try:
            self._listener.on_status(self._status(now))
        except Exception as error:
            logger.exception("the status could not be told")
            self._listener.on_failed(None, describe(error))
        with self._condition:
            self._condition.notify_all()

    def _has_work(self, now: Plan) -> bool:
        return not self._state.closed and (bool(self._jobs) or now.part is not None or self._may_check())

    def _choose(self, now: Plan) -> Callable[[], None] | None:
        """Jobs precede parts, but parts that are asked for take turns with them. A check of the model comes last."""
        job = self._jobs.next()
        turn_of_job = job is not None and not (self._was_job and now.asked is not None and now.part is not None)
        self._was_job = turn_of_job
        if self._state.closed:
            return None
        if turn_of_job:
            return job
        if now.part is not None:
            return partial(self._compute, now.part)
        if self._may_check():
            self._state = replace(self._state, unchecked=False)
            return self._check_model
        return None

    def _may_check(self) -> bool:
        return self._state.unchecked and not self._state.is_stopped

    def _check_model(self) -> None:
        try:
            self._engine.executor.check_model()
        except Exception as error:
            self._fail(error)

    def _compute(self, part: Part) -> None:
        began, before = time.perf_counter(), self._engine.operations
        try:
            self._engine.compute(part)
        except CancelledError:
            logger.debug("%s was cancelled", part)
        except Exception as error:
            logger.debug("computing %s failed", part, exc_info=True)
            self._fail(error)
        else:
            self._progress.learn(self._engine.operations - before, time.perf_counter() - began)

    def _fail(self, error: Exception) -> None:
        with self._condition:
            # In idle time, each question would meet the same failure again.
            stopped = self._state.stopped or self._plan().asked is None
            outdated = getattr(error, "outdates_map", False)
            self._state = replace(self._state, error=describe(error), outdated=outdated, stopped=stopped)

    # -- messages to the listener ----------------------------------------------------------------------------------

    def _tell_rows(self) -> None:
        """Report all rows not reported yet: another widget or a call of ``attribute`` may have computed some."""
        prepared = self.map.dataset["baseline"].values != ""
        new = self.map.done & ~self._told & prepared[:, None]
        for layer in np.flatnonzero(new.any(axis=1)):
            sources = tuple(int(source) for source in np.flatnonzero(new[layer]))
            self._told[layer, list(sources)] = True
            self._listener.on_rows(int(layer), sources)

    def _tell_news(self) -> None:
        """Report news of a request to the model's host; on the thread that sent it."""
        if self._is_stepping:
            self._listener.on_status(self._status(self._plan()))

    def _status(self, now: Plan) -> Status:
        host = self._model.news if self._is_stepping else None
        writing = self._jobs.writing
        if writing is not None:
            task = f"writing, {len(writing.written)} of {writing.n_tokens} tokens"
            done = len(writing.written) / writing.n_tokens
            return Status("computing", task, done, seconds_left=None, filling="writing", host=host)
        error = self._state.error
        computing = now.asked is not None and not self._state.cancelled
        return Status(
            state="error" if error else "computing" if computing else "ready",
            task=now.task,
            done=self._progress.done(now.missing),
            seconds_left=self._progress.seconds_left(now.missing),
            filling=now.filling,
            error=error,
            host=host,
        )

"""What is computed next for one widget, and what is told about it.

The controller keeps the reader's ``Interest`` and computes one part after another on the model thread. Between two
parts it looks at the interest anew, so a newer question overtakes an older one and nothing queues up.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
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
from horizon_widget.schedule import labels as words
from horizon_widget.schedule.engine import Engine, exact_engine_for
from horizon_widget.schedule.filling import Filling
from horizon_widget.schedule.jobs import Jobs
from horizon_widget.schedule.listener import Listener, Status
from horizon_widget.schedule.parts import Part
from horizon_widget.schedule.plan import Interest, bisecting, neighbours_of
from horizon_widget.schedule.progress import Progress

logger = logging.getLogger(__name__)


class Controller:
    """Computes what one widget's reader wants.

    Args:
        model: Whose states are asked about.
        query: The question.
        layer: The layer first shown.
        layers: Those that idle time is used for; ``None``: all.
        listener: Told of rows, status, findings and failures.
    """

    def __init__(
        self,
        model: Model,
        query: Query,
        *,
        layer: int,
        listener: Listener,
        layers: Sequence[int] | None = None,
    ) -> None:
        self._model = model
        self._engine: Engine = exact_engine_for(model, query)
        self._listener = listener
        self._process = os.getpid()
        self._condition = threading.Condition()
        self._layer = layer
        self._source: int | None = None
        self._target: int | None = None  # of which the column is looked at
        self._filled = "all layers" if layers is None else "the chosen layers"
        self._fill_order = [layer for layer in bisecting(model.n_layers) if layers is None or layer in layers]
        self._jobs = Jobs(self._engine, listener, self._fail)
        self._was_job = False  # the last piece of work was one of these
        self.wants_idle_time = False
        self._filling = Filling(on_request=model.remote and layers is None)
        self._cancelled = False
        self._told = np.zeros_like(self.map.done)
        self._closed = False
        self._scheduled = False
        self._stepping = False
        self._abandoned = threading.Event()  # set when what the step under way asks a host for is not waited for
        self._deaf: Callable[[], None] | None = None  # ends listening to the model's news
        self._error: dict[str, str] | None = None
        self._outdated = False  # the error is that the model has changed
        self._unchecked = False  # a cell has run, which may have changed the model
        self._progress = Progress()

    # -- what the reader does; from any thread, returns at once --------------------------------------------------

    @property
    def map(self) -> HorizonMap:
        """The map being filled."""
        return self._engine.map

    @property
    def not_offered(self) -> dict[str, str]:
        """As for the model; known once that has been asked."""
        return self._model.not_offered

    @property
    def looked_at(self) -> tuple[int, int | None, int | None]:
        """Layer, source and target, as for ``look_at``."""
        return self._layer, self._source, self._target

    @property
    def stopped(self) -> tuple[bool, bool]:
        """Whether the reader has stopped what was asked for, and whether idle time is used no more."""
        return self._cancelled, self._filling.stopped

    @property
    def is_outdated(self) -> bool:
        """Whether it stopped because the model has changed: only a new map goes on."""
        return self._outdated and self._error is not None

    def start(
        self,
        looked_at: tuple[int, int | None, int | None] | None = None,
        *,
        viewed: bool = False,
        cells_running: bool = False,
        stopped: tuple[bool, bool] = (False, False),
    ) -> None:
        """Begin.

        Args:
            looked_at: As the property; ``None``: the layer first shown.
            viewed: As after ``allow_filling``.
            cells_running: As for ``cells_running``.
            stopped: As the property of the map that this one goes on with.
        """
        if self._closed:
            return
        layer, source, target = looked_at or self.looked_at
        cancelled, filling_stopped = stopped
        if self._deaf is None:
            self._deaf = self._model.listen(self._hear)
        idle.used(self)
        self._filling.begin(viewed=viewed, cells_running=cells_running, stopped=filling_stopped)
        self._change(
            wants_idle_time=viewed,  # until the first step knows better
            _layer=layer,
            _source=source,
            _target=target,
            _cancelled=cancelled,
        )

    def look_at(self, layer: int, source: int | None, *, target: int | None = None) -> None:
        """Something else is selected: it is answered even after a cancellation or an error.

        Args:
            layer: The layer on the screen.
            source: The token whose state's row is looked at.
            target: The token whose prediction's column is looked at instead.
        """
        idle.used(self)
        self._change(_layer=layer, _source=source, _target=target, _cancelled=False, _error=None)

    def inspect(self, cell: Cell, aspects: Sequence[str]) -> None:
        """Look into aspects of a cell, in this order; what was asked of another cell is given up.

        Args:
            cell: Which.
            aspects: Some of ``attribution.cell.ASPECTS``.
        """
        self._jobs.inspect(cell, aspects)
        self._change()

    def write_on(self, n_tokens: int, token_ids: Sequence[int]) -> None:
        """Let the model write on from a prompt, so many tokens at most; the newest wish counts."""
        self._jobs.write(Writing(self._model, token_ids, n_tokens))
        self._change()

    def allow_filling(self) -> None:
        """Somebody looks: use idle time to fill the rest of the map."""
        idle.used(self)
        self._filling.allowed = True
        self._change(wants_idle_time=not self._closed)

    def cells_running(self, running: bool) -> None:
        """The user's own cells run (filling waits) or have ended."""
        self._filling.cells_running = running
        if not running:
            self._engine.executor.distrust_model()
        self._change(_unchecked=not running)

    def cancel(self) -> None:
        """Compute nothing more until asked again, and fill nothing more until ``resume``.

        What the model was writing ends where it is; what was to be found out of a cell is answered with a problem.
        """
        self._jobs.cancel()
        self._filling.halt()
        self._change(_cancelled=True)
        self._abandoned.set()

    def resume(self) -> None:
        """Go on after a cancellation or an error, and with the rest of the map.

        Where that is computed on request only, it is left alone by who wants what failed or was cancelled.
        """
        self._filling.resume(after_failure=bool(self._cancelled or self._error))
        self._change(_cancelled=False, _error=None)

    def close(self) -> None:
        """Stop for good after the part under way."""
        idle.forget(self)
        self._change(_closed=True, wants_idle_time=False)
        self._jobs.drop()
        self._abandoned.set()
        if self._deaf is not None:
            self._deaf()
            self._deaf = None
        idle.pass_on()

    def _hear(self) -> None:
        """There is news of a request to the model's host; on the thread that sent it."""
        if self._stepping:
            self._tell_status()

    def wake(self) -> None:
        """Look anew at what is to be done (called by ``idle``)."""
        self._change()

    def wait(self, *, whole_map: bool = False, timeout: float | None = None) -> Status:
        """Block until what is asked for is computed (or the whole map), or an error or a cancellation ends it.

        Raises:
            TimeoutError: if it takes longer than ``timeout`` seconds.
            HorizonError: if called on the thread that computes, or in a forked process.
        """
        if self._is_copy:
            raise HorizonError(
                "This widget is a copy in a forked process, where it computes nothing.",
                advice="What was computed before the fork is in its map; hw.attribute computes here.",
            )
        if thread.is_current():
            raise HorizonError(
                "wait() was called from an observer, while the map is being computed.",
                advice="Call it from a cell.",
            )
        with self._condition:
            self._filling.waiting += whole_map
            self._change()
        try:
            with self._condition:
                if not self._condition.wait_for(lambda: self._is_over(whole_map), timeout):
                    raise TimeoutError(f"The map is not ready after {timeout} seconds.")
        finally:
            with self._condition:
                self._filling.waiting -= whole_map
                self._change()
        return self._status()

    # -- one part after another, on the model thread -------------------------------------------------------------

    def _is_over(self, whole_map: bool) -> bool:
        if self._error or self._cancelled or self._closed:
            return True
        return self._engine.next_part(self._interest(filling=whole_map)) is None

    @property
    def _is_copy(self) -> bool:
        """Whether this process is a forked one: what is under way, and who holds the lock, is in its parent."""
        return os.getpid() != self._process

    def _change(self, **attributes: Any) -> None:
        if self._is_copy:
            return
        with self._condition:
            for name, value in attributes.items():
                setattr(self, name, value)
            if not self._scheduled and not self._closed:
                self._scheduled = True
                self._submit()
            self._condition.notify_all()

    def _submit(self) -> None:
        try:
            self._model.thread.submit(self._step)
        except RuntimeError:  # the interpreter is shutting down
            self._closed = True

    def _step(self) -> None:
        """Do the most wanted piece of work, tell the listener, and queue the next step behind other widgets' work."""
        try:
            with self._condition:
                self._stepping, self._abandoned = True, threading.Event()
                work = self._take_work()
                self._begin_task()
            if work is not None:
                self._tell_status()
                with self._model.under(self._abandoned):
                    work()
            self._tell_rows()
        except Exception as error:
            logger.exception("a step of the controller failed")
            self._fail(error)
        with self._condition:
            self._stepping = False
            wanted, self.wants_idle_time = self.wants_idle_time, self._wants_to_fill()
            self._scheduled = self._has_work()
            if self._scheduled:
                self._submit()
        if wanted and not self.wants_idle_time:
            idle.pass_on()
        try:
            self._tell_status()
        except Exception as error:
            logger.exception("the status could not be told")
            self._listener.on_failed(None, describe(error))
        with self._condition:
            self._condition.notify_all()

    def _has_work(self) -> bool:
        return not self._closed and (self._may_check() or bool(self._jobs) or self._next() is not None)

    def _take_work(self) -> Callable[[], None] | None:
        """Jobs go before parts, but rows that are asked for meanwhile take turns with them."""
        if self._closed:
            return None
        job, part = self._jobs.next(), self._next()
        if job is None and part is None and self._may_check():
            self._unchecked = False
            return self._check_model
        turn_of_part = job is None or (self._was_job and self._asked_for())
        self._was_job = part is None or not turn_of_part
        if part is not None and turn_of_part:
            return partial(self._compute, part)
        return job

    def _may_check(self) -> bool:
        return self._unchecked and not (self._cancelled or self._error)

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
            self._error = describe(error)
            self._outdated = getattr(error, "outdates_map", False)
            if not self._asked_for():
                self._filling.halt()  # else each question would meet the same failure again

    def _tell_rows(self) -> None:
        """Tell of all rows not told yet: another widget or a call of ``attribute`` may have computed some."""
        prepared = self.map.dataset["baseline"].values != ""
        new = self.map.done & ~self._told & prepared[:, None]
        for layer in np.flatnonzero(new.any(axis=1)):
            sources = tuple(int(source) for source in np.flatnonzero(new[layer]))
            self._told[layer, list(sources)] = True
            self._listener.on_rows(int(layer), sources)

    def _next(self) -> Part | None:
        if self._cancelled or self._closed or self._error:
            return None
        interest = self._interest(filling=self._may_fill(), preparing=self._filling.may_prepare)
        return self._engine.next_part(interest)

    def _may_fill(self) -> bool:
        if self._filling.waiting:
            return True
        return self._wants_to_fill() and idle.is_turn_of(self)

    def _wants_to_fill(self) -> bool:
        """Whether something is left for idle time, and nothing but another widget is in its way."""
        if self._cancelled or self._closed or self._error or not self._filling.is_open:
            return False
        return self._engine.next_part(self._interest(filling=True)) is not None

    def _interest(self, *, filling: bool, preparing: bool = False) -> Interest:
        rest = [layer for layer in self._fill_order if layer != self._layer]
        near = neighbours_of(self._source, self._engine.query.n_tokens) if filling and self._source is not None else ()
        return Interest(
            layer=self._layer,
            source=self._source,
            layers=[self._layer, *rest] if filling else [self._layer],
            samples=rest if filling or preparing else (),
            neighbours=near,
            target=self._target if filling else None,
        )

    # -- what the reader is told -----------------------------------------------------------------------------------

    def _asked_for(self) -> bool:
        """Whether something other than filling is missing."""
        return self._engine.next_part(self._interest(filling=False)) is not None

    def _begin_task(self) -> None:
        filling = not self._asked_for()
        key = (filling,) if filling else (self._layer, self._source)
        self._progress.begin(key, self._engine.missing(self._interest(filling=filling)))

    def _tell_status(self) -> None:
        self._listener.on_status(self._status())

    def _status(self) -> Status:
        writing = self._jobs.writing
        host = self._model.news if self._stepping else None
        if writing is not None:
            task = f"writing, {len(writing.written)} of {writing.n_tokens} tokens"
            done = len(writing.written) / writing.n_tokens
            return Status("computing", task, done, seconds_left=None, filling="writing", host=host)
        asked_for = self._asked_for()
        missing = self._engine.missing(self._interest(filling=not asked_for))
        state = "error" if self._error else "computing" if asked_for and not self._cancelled else "ready"
        filling = self._filling.in_words(failed=bool(self._cancelled or self._error), may_fill=self._may_fill())
        return Status(
            state=state,
            task=self._task(asked_for),
            done=self._progress.done(missing),
            seconds_left=self._progress.seconds_left(missing),
            filling=filling if missing > 0 else "complete",
            error=self._error,
            host=host,
        )

    def _task(self, asked_for: bool) -> str:
        if not asked_for:
            return self._filled
        if self._source is not None and not self.map.done[:, self._source].all():
            return words.row_of(self._source, self.map.tokens)
        return words.several("layer", [self._layer])

"""Work other than filling the map: looking into one cell, and letting the model write on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from horizon_widget.compute.findings import ASPECTS, Cell, Steps
from horizon_widget.errors import CancelledError, ModelError, QueryError, describe
from horizon_widget.forks import Lock
from horizon_widget.models.writing import Writing
from horizon_widget.schedule.engine import Engine, step_of
from horizon_widget.schedule.listener import Listener

logger = logging.getLogger(__name__)

CANCELLED = {"title": "It was cancelled.", "advice": "Ask again to see it.", "detail": ""}


class Inspection:
    """Finds out one aspect of a cell, step by step on the model thread.

    Args:
        engine: The engine of the cell's map.
        cell: The cell.
        aspect: One of ``ASPECTS``.

    Attributes:
        found: The result after the last step, as plain lists, dicts, numbers and texts.
    """

    def __init__(self, engine: Engine, cell: Cell, aspect: str) -> None:
        self.cell, self.aspect = cell, aspect
        self.found: Any = None
        self._steps = _inspect(engine, cell, aspect)

    def step(self) -> bool:
        """Do a piece of the work, and say whether there is more to do.

        Raises:
            QueryError: if the map has no such cell, or the aspect does not apply to it.
            ModelError: if a number is not finite.
        """
        ended, self.found = step_of(self._steps)
        return not ended


def _inspect(engine: Engine, cell: Cell, aspect: str) -> Steps[Any]:
    if aspect not in ASPECTS:
        raise QueryError("aspects", f"{aspect!r} is not offered.", advice=f"Choose from: {', '.join(ASPECTS)}.")
    arguments: dict[str, Any] = {"cell": cell.check(engine.query, engine.model.n_layers)}
    if aspect == "verification":
        arguments["value"] = engine.known(cell)
    found = yield from engine.steps(aspect, **arguments)
    lines = found if isinstance(found, list) else [found]
    plain = [line if isinstance(line, dict) else asdict(line) for line in lines]
    for name, value in [item for line in plain for item in line.items()]:
        if isinstance(value, float) and not np.isfinite(value):
            raise ModelError(f"The {name} of this cell is not finite.", advice="Try dtype=torch.float32.")
    return plain if isinstance(found, list) else plain[0]


class Jobs:
    """The jobs of one controller: on one cell at a time, and on one text. Any thread may ask for them.

    Args:
        engine: The engine of the map.
        listener: Hears of findings, of written text and of failures.
        on_outdated: Called with an error that ends the map, not only the job.
    """

    def __init__(self, engine: Engine, listener: Listener, on_outdated: Callable[[Exception], None]) -> None:
        self._engine = engine
        self._listener = listener
        self._on_outdated = on_outdated
        self._lock = Lock()
        self._inspections: tuple[Inspection, ...] = ()  # all of one cell
        self._writing: Writing | None = None

    def __bool__(self) -> bool:
        """Whether there is a job."""
        return bool(self._inspections or self._writing)

    @property
    def writing(self) -> Writing | None:
        """The text that the model is writing, if any."""
        return self._writing

    def inspect(self, cell: Cell, aspects: Sequence[str]) -> None:
        """Look into aspects of a cell, in this order. Jobs on another cell are dropped."""
        with self._lock:
            kept = tuple(inspection for inspection in self._inspections if inspection.cell == cell)
            known = {inspection.aspect for inspection in kept}
            new = [aspect for aspect in dict.fromkeys(aspects) if aspect not in known]
            self._inspections = (*kept, *(Inspection(self._engine, cell, aspect) for aspect in new))

    def write(self, writing: Writing) -> None:
        """Let the model write. This replaces an older request."""
        with self._lock:
            self._writing = writing

    def cancel(self) -> None:
        """Stop writing, and answer open questions about a cell with ``CANCELLED``."""
        with self._lock:
            dropped, self._inspections = self._inspections, ()
            if self._writing is not None:
                self._writing.stop()
        for inspection in dropped:
            self._listener.on_finding(inspection.cell, inspection.aspect, None, CANCELLED)

    def drop(self) -> None:
        """Drop all jobs without an answer."""
        with self._lock:
            self._inspections, self._writing = (), None

    def next(self) -> Callable[[], None] | None:
        """The next piece of work, for the model thread: a few tenths of a second."""
        with self._lock:
            if self._inspections:
                return partial(self._inspect, self._inspections[0])
            return None if self._writing is None else partial(self._write, self._writing)

    def _inspect(self, inspection: Inspection) -> None:
        problem = None
        try:
            going_on = inspection.step()
        except Exception as error:
            logger.debug("%s of %s failed", inspection.aspect, inspection.cell, exc_info=True)
            going_on, problem = False, describe(error)
            if getattr(error, "outdates_map", False):
                self._on_outdated(error)
        if going_on:
            return
        with self._lock:
            wanted = inspection in self._inspections
            self._inspections = tuple(other for other in self._inspections if other is not inspection)
        if wanted:
            self._listener.on_finding(inspection.cell, inspection.aspect, inspection.found, problem)

    def _write(self, writing: Writing) -> None:
        """Write one token."""
        failure = None
        try:
            going_on = writing.step()
        except CancelledError:
            going_on = False
        except Exception as error:
            logger.debug("writing on failed", exc_info=True)
            going_on, failure = False, error
        if going_on:
            return
        with self._lock:
            wanted = self._writing is writing
            if wanted:
                self._writing = None
        if not wanted:
            return
        if failure is not None:
            self._listener.on_failed(getattr(failure, "field", None), describe(failure))
        if writing.written:
            self._listener.on_written(writing.token_ids)

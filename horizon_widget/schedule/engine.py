"""One query's map, filled part by part; and a model's engines, shared by all requests with the same question."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import partial
from importlib import metadata
from math import nan
from typing import Any
from weakref import WeakValueDictionary

from horizon_widget.compute.ablation import PATIENCE
from horizon_widget.compute.cost import CostModel
from horizon_widget.compute.executor import Answer
from horizon_widget.compute.findings import Cell, Steps
from horizon_widget.errors import QueryError
from horizon_widget.forks import Lock
from horizon_widget.models.model import Model
from horizon_widget.question.facts import METHODS
from horizon_widget.question.query import Query
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.schedule.parts import FILLINGS, Part
from horizon_widget.schedule.plan import Interest

ENGINES_KEPT = 4
PACKAGES = ("horizon-widget", "torch", "transformers", "nnsight")


class Engine:
    """Fills the ``HorizonMap`` of one query with values that its ``executor`` computes, here or elsewhere.

    ``steps``, and its callers (``ask``, ``begin``, ``compute``, ``memory_needed``), must run on the model's thread.
    Everything else may be called from any thread.

    Args:
        model: The model whose states are asked about.
        query: The question.
        rows_per_part: Positions computed in one part; by default chosen for where the model is.
        **options: For ``model.executor``.
    """

    def __init__(self, model: Model, query: Query, *, rows_per_part: int | None = None, **options: Any) -> None:
        self.model = model
        self.query = query
        self.map = empty_map(model, query)
        self.rows_per_part = rows_per_part
        self.executor = model.executor(query, **options)
        self.operations = 0.0  # operations so far, by the cost model
        self._cost = CostModel.of(model, query)
        self._filling = FILLINGS[METHODS[query.method].filled_by]
        self._has_begun = False

    def next_part(self, interest: Interest) -> Part | None:
        """The most wanted part that is not yet done, or ``None`` if all that is wanted is."""
        return self._filling.next_part(self.map, self.executor, interest, self._rows(patient=interest.patient))

    def label(self, part: Part, interest: Interest) -> str:
        """A short label of a wanted part."""
        return self._filling.label(self.map, part, interest)

    def missing(self, interest: Interest) -> float:
        """Operations for all that is wanted and not done, by the cost model."""
        return self._filling.missing(self.map, self._cost, interest)

    def memory_needed(self) -> float:
        """Bytes held at once, at most, by the plan; on the model's thread."""
        return float(self.ask("memory", rows=self._rows(patient=True)))

    def _rows(self, *, patient: bool) -> int | None:
        return None if self.rows_per_part is None else self.rows_per_part * (PATIENCE if patient else 1)

    def compute(self, part: Part) -> None:
        """Compute a part and enter it in the map.

        Raises:
            ModelError: if the model gives values that are not finite, or memory does not suffice for one copy.
        """
        arguments = self._filling.arguments(self.map, part)
        if arguments is not None:
            self._filling.enter(self.map, arguments, self.ask(part.task, **arguments))

    def steps(self, task: str, **arguments: Any) -> Steps[Any]:
        """Perform one of ``compute.tasks.TASKS`` in steps, and enter new values in the map."""
        answer = yield from self.executor.perform(task, arguments)
        self._enter(answer)
        return answer.result

    def ask(self, task: str, **arguments: Any) -> Any:
        """Perform one of ``compute.tasks.TASKS``."""
        steps = self.steps(task, **arguments)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    def run(self, task: str, **arguments: Any) -> Any:
        """``ask`` from any thread; between two steps the model's thread does other work."""
        steps = self.steps(task, **arguments)
        while True:
            ended, result = self.model.thread.run(lambda: step_of(steps))
            if ended:
                return result

    def begin(self) -> None:
        """Run the prompt, unless that is done."""
        if not self._has_begun:
            self.ask("begin")

    def known(self, cell: Cell) -> float:
        """The map's value of a cell; NaN: not computed."""
        return self.map.cell(cell.layer, cell.source, cell.target) if self.map.done[cell.layer, cell.source] else nan

    def is_outdated(self) -> bool:
        """Whether the model has changed since the prompt was run: its weights, its hooks, an adapter of it."""
        return self.executor.is_outdated()

    def _enter(self, answer: Answer) -> None:
        dataset = self.map.dataset
        self.operations += answer.operations
        dataset.attrs.update(answer.facts)
        if answer.clean is not None:
            self._has_begun = True
            self.map.record_clean(answer.clean.metric, answer.clean.norms)
            dataset["resample_positions"].values[:] = answer.clean.resample_positions
            if METHODS[self.query.method].by_gradient:  # layers need no preparation: a state patched by itself gives 0
                dataset["noise_floor"].values[:] = 0.0
                dataset["baseline"].values[:] = self.query.default_baseline
        for layer, preparation in answer.preparations.items():
            dataset["baseline_shock"].values[layer] = preparation.shock
            dataset["noise_floor"].values[layer] = preparation.noise_floor
            dataset["baseline"].values[layer] = preparation.baseline
            for source, row in preparation.rows.items():
                self.map.record(layer, [source], row[None])


def step_of(steps: Steps[Any]) -> tuple[bool, Any]:
    """Take a step. Return whether it was the last one, and its result."""
    try:
        next(steps)
    except StopIteration as end:  # which must not leave the thread: a future cannot hold it
        return True, end.value
    return False, None


def compute(engine: Engine, interest: Interest, *, begin: Callable[[Part], None] = lambda part: None) -> Iterator[Part]:
    """Compute all that is wanted, most wanted first; yields each part when it is in the map.

    The computation stops when the iteration stops. May be called from any thread.

    Args:
        engine: The engine whose map is filled.
        interest: What is wanted.
        begin: Called with each part before it is computed.
    """
    while (part := engine.next_part(interest)) is not None:
        begin(part)
        engine.model.thread.run(partial(engine.compute, part))
        yield part


def empty_map(model: Model, query: Query) -> HorizonMap:
    """A map of a query with nothing computed yet, and the model, its dtype and library versions noted in it."""
    versions = {f"version_{name.replace('-', '_')}": metadata.version(name) for name in PACKAGES}
    attrs = {"model": model.name, "model_type": str(model.config.model_type), **versions, **model.provenance}
    return HorizonMap.empty(query, model.read_tokens(query.token_ids), n_layers=model.n_layers, attrs=attrs)


class Engines:
    """A model's engines. Each is kept while it is in use, and the last few stay after that."""

    def __init__(self) -> None:
        self._lock = Lock()  # engines are asked for in cells and on the model thread
        self._known: WeakValueDictionary[Hashable, Engine] = WeakValueDictionary()
        self._recent: dict[Hashable, Engine] = {}

    def get(self, key: Hashable, make: Callable[[], Engine]) -> Engine:
        """The engine of a key, the same for all callers; a new one if there is none, or the model has changed."""
        known = self._known.get(key)
        outdated = known is not None and known.is_outdated()  # may wait for the model thread
        with self._lock:
            engine = self._known.get(key)
            if engine is None or (outdated and engine is known):
                engine = self._known[key] = make()
            self._recent.pop(key, None)
            self._recent[key] = engine
            while len(self._recent) > ENGINES_KEPT:
                self._recent.pop(next(iter(self._recent)))
        return engine


def engine_for(model: Model, query: Query, *, memory_limit: int | None = None) -> Engine:
    """The model's engine for this query: a repeated question continues there, unless the model has changed."""
    engines: Engines = model.cache.setdefault("engines", Engines())
    return engines.get((query, memory_limit), lambda: Engine(model, query, memory_limit=memory_limit))


def exact_engine_for(model: Model, query: Query) -> Engine:
    """``engine_for`` a query whose method is exact.

    Raises:
        QueryError: if it is not.
    """
    if not query.is_exact:
        raise QueryError("method", f"{query.method!r} is an estimate.", advice='This needs method="ablation".')
    return engine_for(model, query)

"""What all engines share: one query's map, filled part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from horizon_widget.attribution.findings import Steps
from horizon_widget.attribution.plan import CostModel, Interest
from horizon_widget.attribution.provenance import empty_map
from horizon_widget.attribution.runner import Here, Learnt, Runner
from horizon_widget.attribution.there import There
from horizon_widget.models.model import Model
from horizon_widget.models.remote.remote_model import RemoteModel
from horizon_widget.query import Query

P = TypeVar("P")


class Engine(ABC, Generic[P]):
    """Fills the ``HorizonMap`` of one query, part by part, with what its ``runner`` computes here or elsewhere.

    ``steps``, ``ask`` and ``compute`` must run on the model's thread; everything else may be read from any thread.

    Args:
        model: Whose states are asked about.
        query: The question.
        **options: ``way``: how the model is entered half-way, by default the fastest that is right; ``memory_limit``:
            in bytes, by default a share of what is free; ``batched`` for gradients.
    """

    def __init__(self, model: Model, query: Query, **options: Any) -> None:
        self.model = model
        self.query = query
        self.map = empty_map(model, query)
        self.cost = CostModel.of(model, query)
        self.runner: Runner = (
            There(model, query, **options) if isinstance(model, RemoteModel) else Here(model, query, **options)
        )
        self._entered = Learnt()

    @abstractmethod
    def next_part(self, interest: Interest) -> P | None:
        """The most wanted part that is not yet done, or ``None`` if all that is wanted is."""

    @abstractmethod
    def in_words(self, part: P, interest: Interest) -> str:
        """What a part of what is wanted is, in few words."""

    @abstractmethod
    def missing(self, interest: Interest) -> float:
        """Operations for all that is wanted and not done, by the cost model."""

    @abstractmethod
    def compute(self, part: P) -> None:
        """Compute a part and enter it in the map.

        Raises:
            ModelError: if the model gives values that are not finite, or memory does not suffice for one copy.
        """

    @abstractmethod
    def memory_needed(self) -> float:
        """Bytes held at once, at most, by the plan; on the model's thread."""

    @property
    def operations(self) -> float:
        """What was computed so far, by the cost model."""
        return self.runner.learnt.operations

    def steps(self, task: str, **arguments: Any) -> Steps[Any]:
        """Perform one of ``tasks.TASKS`` in steps; the map is told what is learnt on the way."""
        try:
            return (yield from self.runner.steps(task, arguments))
        finally:
            self._learn(self.runner.learnt)

    def ask(self, task: str, **arguments: Any) -> Any:
        """Perform one of ``tasks.TASKS``."""
        steps = self.steps(task, **arguments)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    def begin(self) -> None:
        """Run the prompt, unless that is done."""
        if self.runner.learnt.clean is None:
            self.ask("begin")

    def is_outdated(self) -> bool:
        """Whether the model has changed since the prompt was run: its weights, its hooks, an adapter of it."""
        return self.runner.is_outdated()

    def distrust_model(self) -> None:
        """See ``Runner``."""
        self.runner.distrust_model()

    def check_model(self) -> None:
        """See ``Runner``."""
        self.runner.check_model()

    def _learn(self, learnt: Learnt) -> None:
        """Enter in the map what is new."""
        dataset, entered = self.map.dataset, self._entered
        if learnt.clean is not None and entered.clean is None:
            self.map.record_clean(learnt.clean.metric, learnt.clean.norms)
            dataset["resample_positions"].values[:] = learnt.clean.resample_positions
            entered.clean = learnt.clean
        dataset.attrs.update(learnt.facts)
        for layer, preparation in learnt.preparations.items():
            if layer in entered.preparations:
                continue
            entered.preparations[layer] = preparation
            dataset["baseline_shock"].values[layer] = preparation.shock
            dataset["noise_floor"].values[layer] = preparation.noise_floor
            dataset["baseline"].values[layer] = preparation.baseline
            for source, row in preparation.rows.items():
                self.map.record(layer, [source], row[None])


def compute(
    engine: Engine[Any], interest: Interest, *, begin: Callable[[Any], None] = lambda part: None
) -> Iterator[Any]:
    """Compute all that is wanted, most wanted first; yields each part when it is in the map.

    To stop iterating is to stop computing. May be called from any thread.

    Args:
        engine: Whose map is filled.
        interest: What is wanted.
        begin: Called with each part before it is computed.
    """
    while (part := engine.next_part(interest)) is not None:
        begin(part)
        engine.model.thread.run(partial(engine.compute, part))
        yield part

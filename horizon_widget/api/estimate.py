"""Estimate the cost of a map before it is computed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from horizon_widget.models.model import Model
from horizon_widget.question.query import check_layers
from horizon_widget.question.reading import read_positions, read_query
from horizon_widget.schedule.engine import engine_for
from horizon_widget.schedule.plan import Interest


@dataclass(frozen=True)
class Estimate:
    """The cost of the part of a map that is not computed yet.

    Attributes:
        seconds: Approximate time, by the measured speed of a first part.
        operations: Number of floating-point operations, by the cost model.
        memory: Most bytes held at once.
    """

    seconds: float
    operations: float
    memory: float

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        needed = f"{minutes} min {seconds} s" if minutes else f"{self.seconds:.1f} s"
        return f"about {needed}, {self.operations / 1e9:.0f}e9 operations, up to {self.memory / 1e6:.0f} MB at once"


def estimate(
    model: Model,
    prompt: Any,
    *,
    layers: Any = None,
    sources: Any = None,
    targets: Any = None,
    memory_limit: int | None = None,
    **arguments: Any,
) -> Estimate:
    """Estimate how long ``attribute`` would take and how much memory it would use.

    Computes a small part of the map to measure the speed, and keeps it for the map.

    Args:
        model: A model from ``load_model``.
        prompt: As for ``attribute``.
        layers: As for ``attribute``.
        sources: As for ``attribute``.
        targets: As for ``attribute``.
        memory_limit: As for ``attribute``.
        **arguments: ``method``, ``metric``, ``baseline``, ``site``, ``head``, ``seed``, ``draws`` as for ``attribute``.

    Raises:
        QueryError: if an argument is wrong, naming it.
    """
    query = read_query(model, prompt, **arguments)
    chosen = check_layers(layers, model.n_layers)
    interest = Interest(
        chosen[0],
        layers=chosen,
        sources=read_positions("sources", sources, query),
        targets=read_positions("targets", targets, query),
        patient=True,
    )
    engine = engine_for(model, query, memory_limit=memory_limit)
    missing = engine.missing(interest)

    def work() -> tuple[float, float, float]:
        engine.begin()
        before, began = engine.operations, time.perf_counter()
        part = engine.next_part(interest)
        if part is not None:
            engine.compute(part)
        took = time.perf_counter() - began
        return engine.operations - before, took, engine.memory_needed()

    done, took, memory = model.thread.run(work)
    return Estimate(took * missing / done if done else 0.0, missing, memory)

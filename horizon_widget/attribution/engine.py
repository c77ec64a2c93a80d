"""What all engines share: one query's map, filled part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from horizon_widget.attribution.baselines import Replacements
from horizon_widget.attribution.experiment import Experiment
from horizon_widget.attribution.plan import CostModel, Interest
from horizon_widget.attribution.provenance import empty_map
from horizon_widget.errors import ModelError
from horizon_widget.models import thread
from horizon_widget.models.model import Model
from horizon_widget.query import Query

Array = npt.NDArray[np.floating]
P = TypeVar("P")


class Engine(ABC, Generic[P]):
    """Fills the ``HorizonMap`` of one query, part by part.

    ``operations`` counts what was computed so far, by the cost model. ``begin`` and ``compute`` must run on the model
    thread (``models.thread``); everything else may be read from any thread.

    Args:
        model: Whose states are asked about.
        query: The question.
        way: How the model is entered half-way; by default the fastest that is right.
        memory_limit: In bytes; by default a share of what is free.
    """

    def __init__(self, model: Model, query: Query, *, way: str | None = None, memory_limit: int | None = None) -> None:
        self.model = model
        self.query = query
        self.map = empty_map(model, query)
        self.cost = CostModel(model.n_layers, query.n_tokens, model.weights_per_block, model.vocab_size * model.d_model)
        self.operations = 0.0
        self._way, self._memory_limit = way, memory_limit
        self._experiment: Experiment | None = None
        self._replacements: Replacements | None = None

    @abstractmethod
    def next_part(self, interest: Interest) -> P | None:
        """The most wanted part that is not yet done, or ``None`` if all that is wanted is."""

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
        """Bytes held at once, at most, by the plan; on the model thread."""

    @property
    def experiment(self) -> Experiment:
        """The prompt's run; made when first asked for."""
        if self._experiment is None:
            self.adopt(Experiment.begin(self.model, self.query, way=self._way, memory_limit=self._memory_limit))
        assert self._experiment is not None
        return self._experiment

    def adopt(self, experiment: Experiment) -> None:
        """Take over a run of the prompt, and enter in the map what it gave."""
        norms = torch.stack([states.float().norm(dim=-1).cpu() for states in experiment.clean.states[:-1]])
        self.map.record_clean(experiment.clean_metric.float().cpu().numpy(), norms.numpy())
        self._experiment = experiment

    @property
    def replacements(self) -> Replacements:
        """What states are replaced by."""
        if self._replacements is None:
            self._replacements = Replacements(self.experiment)
            self.map.dataset["resample_positions"].values[:] = self._replacements.positions
        return self._replacements

    def begin(self) -> None:
        """Run the prompt, unless that is done."""
        _ = self.replacements

    def is_outdated(self) -> bool:
        """Whether the model has changed since the prompt was run: its weights, its hooks, an adapter of it."""
        if self._experiment is None:
            return False
        return not self._experiment.agrees_with(self.model.clean_run(self.query.token_ids, self._experiment.site))

    def check_finite(self, cells: Sequence[tuple[int, int]], rows: Array) -> None:
        """Refuse values that are not finite, row by row.

        Raises:
            ModelError: naming the cell and the target.
        """
        for (layer, source), row in zip(cells, rows, strict=True):
            if not np.isfinite(row).all():
                target = int(np.flatnonzero(~np.isfinite(row))[0]) + 1
                raise ModelError(
                    f"Replacing the state at layer {layer}, token {source} gives predictions that are not finite, "
                    f"from token {target} on.",
                    advice="Try dtype=torch.float32 or another baseline.",
                )


def compute(engine: Engine[Any], interest: Interest) -> Iterator[Any]:
    """Compute all that is wanted, most wanted first; yields each part when it is in the map.

    To stop iterating is to stop computing. May be called from any thread.
    """
    while (part := engine.next_part(interest)) is not None:
        thread.run(partial(engine.compute, part))
        yield part

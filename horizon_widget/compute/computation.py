"""The computation of one query, in this process or on a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from horizon_widget.compute.baselines import Replacements
from horizon_widget.compute.cost import CostModel
from horizon_widget.compute.experiment import Experiment
from horizon_widget.compute.preparation import Preparation
from horizon_widget.errors import ASK_AGAIN, ModelError, OutdatedError
from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.fingerprint import Fingerprint, first_difference
from horizon_widget.models.local_model import LocalModel
from horizon_widget.models.trial import agreement
from horizon_widget.question.query import Query

Array = npt.NDArray[np.floating]
NOISE = 4.0  # largest ratio of the differences between two pairs of runs of an unchanged model


@dataclass(frozen=True)
class CleanValues:
    """Values of the run over the unchanged prompt.

    Attributes:
        metric: The metric ``m[j]``, shape ``(n_targets,)``.
        norms: Norms of the states that enter each block, shape ``(n_layers, T)``.
        resample_positions: The position of the state that replaces each source's, shape ``(draws, T)``.
    """

    metric: Array
    norms: Array
    resample_positions: npt.NDArray[np.int64]


class Computation:
    """Computes for one query. Everything runs on the thread that owns the model.

    Args:
        model: The model whose states are asked about.
        query: The question.
        strategy: The execution strategy; by default the fastest that agrees with full forward passes.
        memory_limit: Bytes that may be used; by default a share of the free memory.

    Attributes:
        operations: Number of operations so far, by the cost model.
        preparations: The preparation of each layer that has been prepared.
    """

    def __init__(
        self, model: LocalModel, query: Query, *, strategy: str | None = None, memory_limit: int | None = None
    ) -> None:
        self.model = model
        self.query = query
        self.cost = CostModel.of(model, query)
        self.operations = 0.0
        self.preparations: dict[int, Preparation] = {}
        self._strategy, self._memory_limit = strategy, memory_limit
        self._experiment: Experiment | None = None
        self._replacements: Replacements | None = None
        self._followed: Fingerprint = {}  # the model's fingerprint when the prompt was run

    @property
    def has_begun(self) -> bool:
        """Whether the prompt was run."""
        return self._experiment is not None

    @property
    def experiment(self) -> Experiment:
        """The prompt's run. The prompt is run when this is first read."""
        if self._experiment is None:
            self._experiment = Experiment.begin(
                self.model, self.query, strategy=self._strategy, memory_limit=self._memory_limit
            )
            self._followed = self.model.followed
        return self._experiment

    @property
    def replacements(self) -> Replacements:
        """The states that the baseline puts in the place of others."""
        if self._replacements is None:
            self._replacements = Replacements(self.experiment)
        return self._replacements

    def begin(self) -> None:
        """Run the prompt and those of the baseline, unless that is done."""
        _ = self.replacements

    @property
    def clean(self) -> CleanValues:
        """Values of the run over the unchanged prompt."""
        experiment = self.experiment
        norms = torch.stack([states.float().norm(dim=-1).cpu() for states in experiment.clean.states[:-1]])
        return CleanValues(experiment.clean_metric.float().cpu().numpy(), norms.numpy(), self.replacements.positions)

    def is_outdated(self) -> bool:
        """Run the prompt again. Return whether the model gives other values than before."""
        if self._experiment is None:
            return False
        now = self.model.fingerprint()
        if now == self._followed:
            return not self._has_same_states(self._experiment, self._run_clean(self._experiment))
        # A new hook may need another execution strategy.
        again = Experiment.begin(self.model, self.query, strategy=self._strategy, memory_limit=self._memory_limit)
        if not self._has_same_states(self._experiment, again.clean) or not self._experiment.predicts_as(again):
            return True
        self._experiment, self._replacements = again, None
        if self._gives_other_values():
            return True
        self._followed = now  # the change makes no difference to this query
        return False

    def check_current(self, *, thorough: bool = False) -> None:
        """Refuse a model that has changed since the prompt was run. Called before and after each step of a task.

        Args:
            thorough: Whether the prompt is run again even if the model's fingerprint is the same.

        Raises:
            OutdatedError: naming the module that has changed, if it is known.
        """
        if self._experiment is None:
            return
        self.model.follow()  # ``followed`` may be of a change that was undone since
        before, now = self._followed, self.model.followed
        if (thorough or now != before) and self.is_outdated():
            where = f" ({first_difference(before, now)})" if now != before else ""
            raise OutdatedError(f"{self.model.name} has changed{where} since this map was begun.", advice=ASK_AGAIN)

    def _run_clean(self, experiment: Experiment) -> CleanRun:
        return self.model.clean_run(self.query.token_ids, experiment.site)

    def _has_same_states(self, experiment: Experiment, now: CleanRun) -> bool:
        """Whether a run has an experiment's states. On some GPUs no two runs have exactly the same."""
        difference = now.distance(experiment.clean)
        return difference == 0 or difference <= NOISE * now.distance(self._run_clean(experiment))

    def are_same(self, some: Array, other: Array) -> bool:
        """Whether two computations of the same values agree."""
        scale = max(float(np.abs(other).max(initial=0)), float(self.experiment.clean_metric.abs().mean()))
        return bool(np.abs(some - other).max(initial=0) <= agreement(self.model.dtype) * scale)

    def _gives_other_values(self) -> bool:
        """Compute a known value again. Return whether it has changed; ``False`` if none is known."""
        return False


def check_finite(cells: Sequence[tuple[int, int]], rows: Array) -> None:
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

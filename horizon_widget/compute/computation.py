"""What is computed of one query, where its model is: in this process, or on a host that knows no map and no widget."""

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
NOISE = 4.0  # how many times farther apart than two others two runs of an unchanged model may be


@dataclass(frozen=True)
class CleanValues:
    """What the run over the unchanged prompt says, of each query.

    Attributes:
        metric: ``m[j]``, shape ``(n_targets,)``.
        norms: Of the states entering each block, shape ``(n_layers, T)``.
        resample_positions: Which state takes each source's place, shape ``(draws, T)``.
    """

    metric: Array
    norms: Array
    resample_positions: npt.NDArray[np.int64]


class Computation:
    """Computes for one query. Everything runs on the thread that owns the model.

    Args:
        model: Whose states are asked about.
        query: The question.
        strategy: How the model is entered half-way; by default the fastest that is right.
        memory_limit: In bytes; by default a share of what is free.

    Attributes:
        operations: What was computed so far, by the cost model.
        preparations: Of each layer that has been prepared.
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
        self._followed: Fingerprint = {}  # what the model was like when the prompt was run

    @property
    def has_begun(self) -> bool:
        """Whether the prompt was run."""
        return self._experiment is not None

    @property
    def experiment(self) -> Experiment:
        """The prompt's run; made when first asked for."""
        if self._experiment is None:
            self._experiment = Experiment.begin(
                self.model, self.query, strategy=self._strategy, memory_limit=self._memory_limit
            )
            self._followed = self.model.followed
        return self._experiment

    @property
    def replacements(self) -> Replacements:
        """What states are replaced by."""
        if self._replacements is None:
            self._replacements = Replacements(self.experiment)
        return self._replacements

    def begin(self) -> None:
        """Run the prompt, unless that is done."""
        _ = self.replacements

    @property
    def clean(self) -> CleanValues:
        """What the run over the unchanged prompt says."""
        experiment = self.experiment
        norms = torch.stack([states.float().norm(dim=-1).cpu() for states in experiment.clean.states[:-1]])
        return CleanValues(experiment.clean_metric.float().cpu().numpy(), norms.numpy(), self.replacements.positions)

    def is_outdated(self) -> bool:
        """Whether the model gives other values than when the prompt was run: it is run again, and compared."""
        if self._experiment is None:
            return False
        now = self.model.fingerprint()
        if now == self._followed:
            return not self._left_same_states(self._experiment, self._run_clean(self._experiment))
        # With another hook it may have to be entered by another strategy.
        again = Experiment.begin(self.model, self.query, strategy=self._strategy, memory_limit=self._memory_limit)
        if not self._left_same_states(self._experiment, again.clean) or not self._experiment.predicts_as(again):
            return True
        self._experiment, self._replacements = again, None
        if self._gives_other_values():
            return True
        self._followed = now  # what was changed does not matter here
        return False

    def check_current(self, *, thorough: bool = False) -> None:
        """Refuse values of a model that has changed since the prompt was run; before and after each step of a task.

        Args:
            thorough: Run the prompt again in any case, and not only where the model's fingerprint differs.

        Raises:
            OutdatedError: naming what has changed.
        """
        if self._experiment is None:
            return
        self.model.follow()  # another question may have followed a change that was taken back
        before, now = self._followed, self.model.followed
        if (thorough or now != before) and self.is_outdated():
            where = f" ({first_difference(before, now)})" if now != before else ""
            raise OutdatedError(f"{self.model.name} has changed{where} since this map was begun.", advice=ASK_AGAIN)

    def _run_clean(self, experiment: Experiment) -> CleanRun:
        return self.model.clean_run(self.query.token_ids, experiment.site)

    def _left_same_states(self, experiment: Experiment, now: CleanRun) -> bool:
        """Whether a run left the states of an experiment's: the very same, or as near as two runs are, on some GPUs."""
        apart = now.distance(experiment.clean)
        return apart == 0 or apart <= NOISE * now.distance(self._run_clean(experiment))

    def are_same(self, some: Array, other: Array) -> bool:
        """Whether values of some cells are as near as two ways to compute them are."""
        scale = max(float(np.abs(other).max(initial=0)), float(self.experiment.clean_metric.abs().mean()))
        return bool(np.abs(some - other).max(initial=0) <= agreement(self.model.dtype) * scale)

    def _gives_other_values(self) -> bool:
        """Whether a value that is known comes out otherwise now; ``False`` if none is known."""
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

"""Fills a map by gradients: first-order estimates of the exact effects."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from horizon_widget.attribution.baselines import default_kind
from horizon_widget.attribution.engine import Array, Engine
from horizon_widget.attribution.memory import is_out_of_memory
from horizon_widget.attribution.plan import Interest
from horizon_widget.errors import ModelError, QueryError
from horizon_widget.metric import FUNCTION
from horizon_widget.models.backward import gradients
from horizon_widget.models.model import Model
from horizon_widget.models.readout import Readout
from horizon_widget.models.trial import agreement
from horizon_widget.models.ways import FULL
from horizon_widget.query import Query

logger = logging.getLogger(__name__)

# Rows (targets x positions) and targets that go backward at once: more waste what lies beyond each target's own
# position, fewer make smaller matrix products and more forward passes of each block. For 64 tokens 8, 12, 16 and 21
# targets took 1.98, 1.88, 1.80 and 1.81 times the limit.
ROWS_PER_PART = {"cpu": 2048}
ROWS_PER_PART_ELSEWHERE = 16384
FEWEST_TARGETS, MOST_TARGETS = 4, 16
# A backward pass holds a block's graph beside what a forward pass does.
BACKWARD_MEMORY = 3


@dataclass(frozen=True)
class Columns:
    """A piece of work: some targets, at every layer and source.

    Attributes:
        targets: Which ``t``, ascending.
    """

    targets: tuple[int, ...]


class GradientEngine(Engine[Columns]):
    """Computes ``"gradient"``, ``<dm[j]/dh, h - b>``, and ``"energy"``, ``|dm[j]/dh| |h - b|``.

    One backward pass gives a target's whole column, all layers and sources.

    Args:
        model: Whose states are asked about.
        query: The question.
        rows_per_part: Rows that go backward at once; by default chosen for the model's device.
        batched: Whether a block's gradients are taken for all targets at once; by default tried.
        **options: As for ``Engine``.
    """

    def __init__(
        self,
        model: Model,
        query: Query,
        *,
        rows_per_part: int | None = None,
        batched: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, query, **options)
        self.rows_per_part = rows_per_part or ROWS_PER_PART.get(model.device.type, ROWS_PER_PART_ELSEWHERE)
        self._batched = batched

    def next_part(self, interest: Interest) -> Columns | None:
        """The most wanted part that is not yet done, or ``None`` if all that is wanted is."""
        missing = self._missing(interest)
        if not missing:
            return None
        # The longest first: the others of a part go as far as the first. No small rest is left over.
        at_once = self._targets_at_once(missing[-1])
        return Columns(tuple(missing if len(missing) <= 1.25 * at_once else missing[-at_once:]))

    def missing(self, interest: Interest) -> float:
        """Operations for all that is wanted and not done, by the cost model."""
        return float(sum(self.cost.column(target) for target in self._missing(interest)))

    def memory_needed(self) -> float:
        """Bytes held at once, at most."""
        n_tokens = self.query.n_tokens
        fit = self.experiment.memory.copies(n_tokens * BACKWARD_MEMORY)
        targets = max(1, min(self._targets_at_once(n_tokens), fit))
        return self.experiment.memory.needed(targets, BACKWARD_MEMORY * n_tokens)

    def compute(self, part: Columns) -> None:
        """Compute a part and enter it in the map.

        Raises:
            ModelError: if the model gives values that are not finite, or memory does not suffice for one target.
        """
        self.begin()
        targets = list(part.targets)
        while targets:
            at_once = self.experiment.memory.copies(BACKWARD_MEMORY * max(targets))
            try:
                some = targets[-at_once:]
                self._enter(some, self._columns(some))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(some) == 1:
                    raise ModelError(
                        "There is not enough memory for one backward pass over the prompt.",
                        advice="Use a shorter prompt or a smaller model; what is computed is kept.",
                    ) from error
                self.experiment.memory.ran_out(len(some))
                continue
            del targets[-len(some) :]

    def begin(self) -> None:
        """Run the prompt, unless that is done, and try whether gradients can be taken for all targets at once."""
        super().begin()
        dataset = self.map.dataset
        if not dataset["baseline"].values[0]:
            dataset["noise_floor"].values[:] = 0.0  # a state patched by itself: h - b is 0
            dataset["baseline"].values[:] = default_kind(self.query)
        if self._batched is None:
            self._batched = self._try_batched()

    def _targets_at_once(self, target: int) -> int:
        if self.model.device.type != "cpu":
            return max(FEWEST_TARGETS, self.rows_per_part // target)
        return min(MOST_TARGETS, max(FEWEST_TARGETS, self.rows_per_part // target))

    def _missing(self, interest: Interest) -> list[int]:
        wanted = np.zeros(self.map.done.shape, dtype=bool)
        if interest.source is not None:
            wanted[:, interest.source] = True
        sources = list(range(self.query.n_tokens)) if interest.sources is None else list(interest.sources)
        wanted[np.ix_(list(interest.layers), sources)] = True
        lacking = (np.isnan(self.map.values.values) & wanted[..., None]).any(axis=(0, 1))
        asked = None if interest.targets is None else set(interest.targets)
        return [int(column) + 1 for column in np.flatnonzero(lacking) if asked is None or int(column) + 1 in asked]

    def _enter(self, targets: list[int], columns: Array) -> None:
        if not np.isfinite(columns).all():
            layer, source, column = (int(index[0]) for index in np.nonzero(~np.isfinite(columns)))
            raise ModelError(
                f"The gradient at layer {layer}, token {source} is not finite, for token {targets[column]}.",
                advice="Try dtype=torch.float32.",
            )
        self.operations += sum(self.cost.column(target) for target in targets)
        self.map.record_targets(targets, columns)

    def _columns(self, targets: list[int], *, batched: bool | None = None) -> Array:
        """Influence on some targets, shape ``(n_layers, T, len(targets))``."""
        experiment, n_tokens = self.experiment, self.query.n_tokens
        by_layer = gradients(
            self.model,
            experiment.clean,
            experiment.site,
            [target - 1 for target in targets],
            self._score,
            self._influence,
            way=experiment.way,
            batched=bool(self._batched if batched is None else batched),
        )
        columns = np.zeros((self.model.n_layers, n_tokens, len(targets)), dtype=np.float32)
        columns[:, : by_layer.shape[2]] = by_layer.float().numpy().transpose(0, 2, 1)
        acausal = np.arange(n_tokens)[:, None] >= np.array(targets)[None, :]
        columns[:, acausal] = 0.0
        return columns

    def _score(self, readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
        scores = self.experiment.scorer(readout, copy, position)
        if not scores.requires_grad:
            raise QueryError(
                "metric",
                f"{self.query.metric} has no gradient.",
                advice='Use method="ablation", or a function that torch can differentiate.'
                if self.query.metric.name == FUNCTION
                else 'Use method="ablation".',
            )
        return scores

    def _influence(self, layer: int, gradient: Tensor) -> Tensor:
        """From gradients ``(B, S, width)`` to influence ``(B, S)``."""
        length = gradient.shape[1]
        state = self.experiment.clean.site_values[layer][:length].to(gradient.device)
        baseline = self.map.dataset["baseline"].values[layer]
        draws = self.query.draws if baseline == "resample" else 1
        far = torch.promote_types(gradient.dtype, torch.float32)
        states = [self.replacements.states(layer, range(length), baseline, draw).to(state) for draw in range(draws)]
        differences = (state - torch.stack(states)).to(far)  # (draws, S, width)
        if self.query.method == "energy":
            energy: Tensor = gradient.to(far).norm(dim=-1) * differences.norm(dim=-1).mean(dim=0)
            return energy
        return torch.einsum("bsd,sd->bs", gradient.to(far), differences.mean(dim=0))

    def _try_batched(self) -> bool:
        """Whether taking gradients for several targets at once works, and gives what one by one gives."""
        if self.experiment.way == FULL:
            return False
        last = self.query.n_targets
        targets = sorted({max(1, last - 1), last})
        expected = self._columns(targets, batched=False)
        try:
            got = self._columns(targets, batched=True)
        except Exception as error:  # whatever an operation without a batching rule does
            logger.info("%s: no gradients for all targets at once: %s", self.model.name, error)
            return False
        return bool(np.abs(got - expected).max() <= agreement(self.model.dtype) * (np.abs(expected).std() + 1e-30))

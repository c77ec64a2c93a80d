"""Influence by gradients: the computation of one query."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from horizon_widget.compute.computation import Array, Computation
from horizon_widget.compute.memory import is_out_of_memory
from horizon_widget.errors import ModelError, QueryError
from horizon_widget.models.backward import gradients
from horizon_widget.models.readout import Readout, at_least_float32
from horizon_widget.models.strategies import FULL
from horizon_widget.models.trial import agreement

logger = logging.getLogger(__name__)

# Rows (targets times positions) and targets that go backward at once. More of them compute more positions after a
# target, which are not needed. Fewer have smaller matrix products and more forward passes of each block. Measured for
# 64 tokens: 8, 12, 16 and 21 targets took 1.98, 1.88, 1.80 and 1.81 times the limit.
ROWS_AT_ONCE = {"cpu": 2048}
ROWS_AT_ONCE_ELSEWHERE = 16384
FEWEST_TARGETS, MOST_TARGETS = 4, 16
BACKWARD_MEMORY = 3  # memory of a backward pass, which holds a block's graph, relative to a forward pass


def targets_at_once(device: torch.device, target: int, rows: int | None = None) -> int:
    """Number of targets that go backward at once.

    Args:
        device: The model's device.
        target: The last target.
        rows: Most targets times positions; by default chosen for the device.
    """
    rows = rows or ROWS_AT_ONCE.get(device.type, ROWS_AT_ONCE_ELSEWHERE)
    wanted = max(FEWEST_TARGETS, rows // target)
    return wanted if device.type != "cpu" else min(MOST_TARGETS, wanted)


class Gradient(Computation):
    """Computes ``"gradient"``, ``<dm[j]/dh, h - b>``, and ``"energy"``, ``|dm[j]/dh| |h - b|``.

    One backward pass gives a target's whole column, for all layers and sources.

    Args:
        *arguments, **options: As for ``Computation``.
        batched: Whether a block's gradients are taken for all targets at once; by default it is tried.
    """

    def __init__(self, *arguments: Any, batched: bool | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._batched = batched
        self._witness: tuple[list[int], Array] | None = None  # a target, and its column

    def _check_has_graph(self) -> None:
        if any(parameter.is_inference() for parameter in self.model.hf_model.parameters()):
            raise QueryError(
                "method",
                f"{self.model.name} was made under torch.inference_mode, so torch takes no gradients through it.",
                advice='Make it under torch.no_grad instead, or use method="ablation".',
            )

    def columns(self, targets: Sequence[int]) -> Array:
        """Influence of every state on some targets.

        Args:
            targets: The targets ``t``, ascending.

        Returns:
            Influence of shape ``(n_layers, T, len(targets))``.

        Raises:
            ModelError: if values are not finite, or there is not enough memory for one target.
            QueryError: if the model cannot have gradients.
        """
        self.begin()  # the baseline's other prompts cannot be run within a backward pass
        self._check_has_graph()
        left, parts = list(targets), []
        while left:
            at_once = targets_at_once(self.model.device, left[-1])
            if len(left) <= 1.25 * at_once:  # avoid a small rest
                at_once = len(left)
            some = left[-min(at_once, self.experiment.memory.copies(BACKWARD_MEMORY * left[-1])) :]
            try:
                parts.append(self._checked(some))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(some) == 1:
                    raise ModelError(
                        "There is not enough memory for one backward pass over the prompt.",
                        advice="Use a shorter prompt or a smaller model. Values computed so far are kept.",
                    ) from error
                self.experiment.memory.ran_out(len(some))
                continue
            left = left[: len(left) - len(some)]
        columns: Array = np.concatenate(parts[::-1], axis=-1)
        self._witness = (list(targets[-1:]), columns[..., -1:])
        return columns

    def _gives_other_values(self) -> bool:
        """See ``Computation``. States do not show a change that only the backward pass meets."""
        if self._witness is None:
            return False
        targets, column = self._witness
        return not self.are_same(self._checked(targets), column)

    def _checked(self, targets: list[int]) -> Array:
        columns = self._columns(targets, batched=self.batched)
        if not np.isfinite(columns).all():
            layer, source, column = (int(index[0]) for index in np.nonzero(~np.isfinite(columns)))
            raise ModelError(
                f"The gradient at layer {layer}, token {source} is not finite, for token {targets[column]}.",
                advice="Try dtype=torch.float32.",
            )
        self.operations += sum(self.cost.column(target) for target in targets)
        return columns

    @property
    def batched(self) -> bool:
        """Whether a block's gradients are taken for all targets at once. It is tried when this is first read."""
        if self._batched is None:
            self._batched = self._try_batched()
        return self._batched

    def _columns(self, targets: list[int], *, batched: bool) -> Array:
        experiment, n_tokens = self.experiment, self.query.n_tokens
        by_layer = gradients(
            self.model,
            experiment.clean,
            experiment.site,
            [target - 1 for target in targets],
            self._score,
            self._influence,
            strategy=experiment.strategy,
            batched=batched,
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
                if self.query.metric.is_function
                else 'Use method="ablation".',
            )
        return scores

    def _influence(self, layer: int, gradient: Tensor) -> Tensor:
        """From gradients ``(B, S, width)`` to influence ``(B, S)``."""
        length = gradient.shape[1]
        state = self.experiment.clean.site_values[layer][:length].to(gradient.device)
        baseline = self.query.default_baseline
        draws = range(self.query.draws_of(baseline))
        states = [self.replacements.states(layer, range(length), baseline, draw).to(state) for draw in draws]
        gradient = at_least_float32(gradient)
        differences = (state - torch.stack(states)).to(gradient.dtype)  # (draws, S, width)
        if self.query.method == "energy":
            energy: Tensor = gradient.norm(dim=-1) * differences.norm(dim=-1).mean(dim=0)
            return energy
        return torch.einsum("bsd,sd->bs", gradient, differences.mean(dim=0))

    def _try_batched(self) -> bool:
        """Whether gradients for several targets at once can be taken, and agree with those one by one."""
        if self.experiment.strategy == FULL:
            return False
        last = self.query.n_targets
        targets = sorted({max(1, last - 1), last})
        expected = self._columns(targets, batched=False)
        try:
            got = self._columns(targets, batched=True)
        except Exception as error:  # an operation without a batching rule may raise anything
            logger.info("%s takes gradients one target at a time: %s", self.model.name, error)
            return False
        return bool(np.abs(got - expected).max() <= agreement(self.model.dtype) * (np.abs(expected).std() + 1e-30))

    def memory_needed(self, rows: int | None) -> float:
        """Most bytes held at once, by the plan.

        Args:
            rows: Targets times positions of one part; by default chosen for the device.
        """
        memory, n_tokens = self.experiment.memory, self.query.n_tokens
        fit = memory.copies(n_tokens * BACKWARD_MEMORY)
        targets = max(1, min(targets_at_once(self.model.device, n_tokens, rows), fit))
        return memory.needed(targets, BACKWARD_MEMORY * n_tokens)

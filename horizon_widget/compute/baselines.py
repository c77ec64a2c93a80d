"""The states that a baseline gives, at one site of one model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from horizon_widget.compute.experiment import Experiment
from horizon_widget.question.query import Query

ITSELF = "itself"  # for the noise floor: a state is replaced by itself


class Replacements:
    """The states that a query's baseline puts in the place of others, layer by layer.

    Args:
        experiment: The prompt's run.
    """

    def __init__(self, experiment: Experiment) -> None:
        query, clean = experiment.query, experiment.clean
        baseline = query.baseline
        self._own = list(clean.site_values)
        others = [ids for ids in baseline.reference_of(query.token_ids) if ids != query.token_ids]
        runs = {ids: experiment.model.clean_run(ids, experiment.site).site_values for ids in others}
        runs[query.token_ids] = self._own
        self._reference = [runs[ids] for ids in baseline.reference_of(query.token_ids)]
        self.is_own = not others and len(self._reference) == 1
        n_pooled = sum(max(0, len(values[0]) - 1) for values in self._reference)
        self.positions = draw_positions(query, None if self.is_own else n_pooled)

    def states(self, layer: int, sources: Sequence[int], kind: str, draw: int = 0) -> Tensor:
        """The states that replace those of several sources, shape ``(len(sources), width)``."""
        own = self._own[layer]
        if kind == "mean":
            return self.mean(layer).expand(len(sources), -1)
        if kind == "resample":
            pool = own if self.is_own else self._pool(layer)
            return pool[torch.from_numpy(self.positions[draw, list(sources)]).to(pool.device)]
        if kind == "counterfactual":
            return self._reference[0][layer][list(sources)]
        return own[list(sources)] if kind == ITSELF else torch.zeros_like(own[list(sources)])

    def mean(self, layer: int) -> Tensor:
        """Mean state over positions 1, 2, ... of the reference, shape ``(width,)``.

        The first position is left out, because in most models its state is an attention sink of huge norm.
        """
        pool = self._pool(layer)
        return pool.to(torch.promote_types(pool.dtype, torch.float32)).mean(dim=0)

    def _pool(self, layer: int) -> Tensor:
        return torch.cat([values[layer][1:] for values in self._reference])


def draw_positions(query: Query, n_pooled: int | None = None) -> npt.NDArray[np.int64]:
    """For each draw and source, the position of the state that replaces the source's.

    Args:
        query: The question, with its seed and number of draws.
        n_pooled: Number of states in a pool of other prompts; ``None`` to draw from positions ``1 .. T-1`` of the
            prompt itself, without the source (see ``Replacements.mean`` for the first position).

    Returns:
        Positions, or indices into the pool; shape ``(draws, T)``.
    """
    generator = np.random.default_rng(query.seed)
    shape = (query.draws, query.n_tokens)
    if n_pooled is not None:
        return generator.integers(0, max(1, n_pooled), size=shape)
    source = np.arange(query.n_tokens)
    # Sources 1..T-1 have T-2 candidates, source 0 has T-1. All draw one of T-2, and step over the source.
    drawn = 1 + generator.integers(0, max(1, query.n_tokens - 2), size=shape)
    return np.where((drawn >= source) & (source > 0), drawn + 1, drawn)

"""Baselines: what a state is replaced by. Frozen for a map, so that maps can be compared."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from horizon_widget.models.model import CleanRun
from horizon_widget.query import Query


def default_baseline(query: Query) -> str:
    """The baseline a layer is computed with unless it proves to be a shock there."""
    if query.baseline != "auto":
        return query.baseline
    return "mean" if query.n_tokens >= 3 else "zero"


def mean_states(clean: CleanRun) -> Tensor:
    """Mean state entering each block over positions ``1 .. T-1``, shape ``(L, d_model)``.

    The first position is left out: in most models its state is an attention sink of huge norm.
    """
    return torch.stack([states[1:].float().mean(dim=0) for states in clean.states[:-1]])


def draw_positions(query: Query) -> np.ndarray:
    """For each draw and source, the position whose state takes the source's place.

    Drawn from ``1 .. T-1`` without the source itself (the first position is left out, see ``mean_states``).

    Returns:
        Shape ``(draws, T)``.
    """
    generator = np.random.default_rng(query.seed)
    source = np.arange(query.n_tokens)
    # T-2 candidates for sources 1..T-1, T-1 for source 0: draw among the former, and step over the source.
    drawn = 1 + generator.integers(0, max(1, query.n_tokens - 2), size=(query.draws, query.n_tokens))
    return np.where((drawn >= source) & (source > 0), drawn + 1, drawn)

"""Exact influence: replace one state, run the rest of the model, and compare the metric."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from horizon_widget.attribution.metrics import score
from horizon_widget.models.model import CleanRun, Model


def clean_metric(model: Model, clean: CleanRun) -> Tensor:
    """``m[j]`` of the unchanged prompt for ``j = 0 .. T-2``, shape ``(T-1,)``."""
    positions = torch.arange(clean.n_tokens - 1, device=model.device)
    return score(model, clean, clean.states[-1][:-1], positions)


def ablate(
    model: Model, clean: CleanRun, metric: Tensor, layer: int, sources: Sequence[int], replacements: Tensor
) -> Tensor:
    """``A[layer, i, j] = m[j](h) - m[j](h with h[layer, i] := b)`` for several sources, each replaced alone.

    Runs inside ``Model.inside_trace``. One partial forward for the whole batch: it starts at block ``layer`` and at
    the earliest source's position, since nothing before a source can change.

    Args:
        model: Whose states they are.
        clean: Its run over the unchanged prompt.
        metric: ``clean_metric``'s result.
        layer: ``l``.
        sources: The positions ``i``, one for each copy of the prompt; a source may occur more than once.
        replacements: The states ``b`` put in their place, shape ``(len(sources), d_model)``.

    Returns:
        Shape ``(len(sources), T-1)``; column ``j`` is target ``j + 1``; 0 where ``j < i``.
    """
    n_targets = clean.n_tokens - 1
    influence = torch.zeros(len(sources), n_targets, dtype=metric.dtype, device=model.device)
    source = torch.tensor(list(sources), device=model.device)
    start = int(source.min())
    if start >= n_targets:  # the last token has nothing after it to predict
        return influence
    states = clean.states[layer][start:].repeat(len(sources), 1, 1)
    states[torch.arange(len(sources), device=model.device), source - start] = replacements.to(states.dtype)
    states = model.partial_forward(clean, states, layer, start)
    copy, column = torch.nonzero(
        torch.arange(start, n_targets, device=model.device)[None, :] >= source[:, None], as_tuple=True
    )
    ablated = score(model, clean, states[copy, column], column + start)
    influence[copy, column + start] = metric[column + start] - ablated
    return influence

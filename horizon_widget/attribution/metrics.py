"""Metrics: the scalar scored at each prediction position."""

from __future__ import annotations

import torch
from torch import Tensor

from horizon_widget.models.model import CleanRun, Model

# Rows of logits held at once: enough for efficient matrix products, few enough to stay near the cache.
ROWS_OF_LOGITS = 256


def logprob(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Log p of a token in nats, in at least float32.

    Args:
        logits: Shape ``(N, vocab_size)``.
        token_ids: The token scored in each row, shape ``(N,)``.

    Returns:
        Shape ``(N,)``.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    picked = logits.gather(-1, token_ids[:, None])[:, 0]
    return picked - torch.logsumexp(logits, dim=-1)


def score(model: Model, clean: CleanRun, states: Tensor, positions: Tensor) -> Tensor:
    """The metric at prediction positions, from what leaves the last block there.

    Args:
        model: Whose states they are.
        clean: Its run over the unchanged prompt, for the tokens.
        states: Shape ``(N, d_model)``.
        positions: The prediction position ``j`` of each row, shape ``(N,)``, each ``<= T-2``.

    Returns:
        ``m[j]`` for each row, shape ``(N,)``.
    """
    token_ids = clean.input_ids[0, positions + 1]
    return torch.cat(
        [
            logprob(model.unembed(rows), ids)
            for rows, ids in zip(states.split(ROWS_OF_LOGITS), token_ids.split(ROWS_OF_LOGITS), strict=True)
        ]
    )

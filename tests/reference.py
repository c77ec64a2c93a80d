"""Independent references: plain transformers models and hooks, none of the package's own engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def blocks_of(hf_model: Any) -> Any:
    """The blocks of a Llama or GPT-2 model."""
    return hf_model.model.layers if hasattr(hf_model, "model") else hf_model.transformer.h


def logprobs(hf_model: Any, ids: Sequence[int]) -> np.ndarray:
    """log p of each token given those before it, by one plain forward pass; shape (T-1,)."""
    input_ids = torch.tensor([list(ids)])
    with torch.no_grad():
        logits = hf_model(input_ids, use_cache=False).logits[0, :-1]
    return torch.log_softmax(logits, dim=-1).gather(-1, input_ids[0, 1:, None])[:, 0].numpy()


def entering_states(hf_model: Any, ids: Sequence[int]) -> list[torch.Tensor]:
    """What enters each block, each of shape (T, d_model)."""
    seen: list[torch.Tensor] = []
    handles = [
        block.register_forward_pre_hook(lambda _module, args, kwargs: seen.append(args[0][0]), with_kwargs=True)
        for block in blocks_of(hf_model)
    ]
    try:
        logprobs(hf_model, ids)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def ablated_row(hf_model: Any, ids: Sequence[int], layer: int, source: int, replacement: torch.Tensor) -> np.ndarray:
    """Influence of one state on every target, by a full forward pass with one hook that overwrites it; (T-1,)."""

    def overwrite(_module: Any, args: Any, kwargs: Any) -> Any:
        states = args[0].clone()
        states[:, source] = replacement
        return (states, *args[1:]), kwargs

    clean = logprobs(hf_model, ids)
    handle = blocks_of(hf_model)[layer].register_forward_pre_hook(overwrite, with_kwargs=True)
    try:
        return clean - logprobs(hf_model, ids)
    finally:
        handle.remove()


def mean_state(hf_model: Any, ids: Sequence[int], layer: int) -> torch.Tensor:
    """Mean of the states entering a block over positions 1 .. T-1."""
    return entering_states(hf_model, ids)[layer][1:].mean(dim=0)

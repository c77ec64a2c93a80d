"""How a model called one of its blocks, so that the block can be called again half-way through a prompt."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from horizon_widget.errors import ModelError

# Arguments that have one entry for each position, and the axis it lies on.
POSITION_AXIS = {"position_ids": -1, "cache_position": -1, "position_embeddings": -2}
ATTENTION_MASK = "attention_mask"
CACHE = "past_key_values"


class PrefixCache:
    """Clean keys and values of the positions before a partial forward, as one block's cache.

    Stands where transformers expects a ``Cache``: attention calls ``update`` with its new keys and values, shape
    ``(batch, heads, S, d_head)``, and reads back those of all positions.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values = keys, values

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Join the clean prefix and the new keys and values, shape ``(batch, heads, start + S, d_head)``."""
        if self._keys.shape[-2] == 0:
            return keys, values
        batch = keys.shape[0]
        return (
            torch.cat([self._keys.expand(batch, -1, -1, -1), keys], dim=-2),
            torch.cat([self._values.expand(batch, -1, -1, -1), values], dim=-2),
        )

    def get_seq_length(self, *_: Any) -> int:
        """Number of positions held."""
        return int(self._keys.shape[-2])


@dataclass(frozen=True)
class BlockCall:
    """One block's call in the clean forward pass, without the state itself.

    Attributes:
        arguments: The block's other arguments by name.
        keys, values: What its attention exported at all positions, shape ``(1, heads, T, d_head)``.
    """

    arguments: Mapping[str, Any]
    keys: Tensor
    values: Tensor

    @classmethod
    def capture(
        cls, block: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], keys: Tensor, values: Tensor
    ) -> BlockCall:
        """Name the arguments of a call ``block(*args, **kwargs)`` whose first argument is the state."""
        try:
            # The class's forward: a tracer may have wrapped the instance's.
            names = list(inspect.signature(type(block).forward).parameters)[1:]
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"The blocks of this model ({type(block).__name__}) have no readable signature."
            ) from error
        arguments = {**dict(zip(names, args, strict=False)), **kwargs}
        arguments.pop(names[0])
        return cls(arguments, keys, values)

    def from_position(self, start: int, causal_mask: Tensor) -> dict[str, Any]:
        """Arguments for calling the block on positions ``start .. T-1`` of a batch of copies of the prompt.

        Args:
            start: The first position computed.
            causal_mask: Additive mask for those positions, shape ``(1, 1, T - start, T)``; used where the model
                itself passed none because plain causality was enough.
        """
        arguments = dict(self.arguments)
        for name, axis in POSITION_AXIS.items():
            if arguments.get(name) is not None:
                arguments[name] = _cut(arguments[name], axis, start)
        mask = arguments.get(ATTENTION_MASK)
        if isinstance(mask, Tensor):
            arguments[ATTENTION_MASK] = mask[..., start:, :]
        elif start > 0:
            arguments[ATTENTION_MASK] = causal_mask
        arguments[CACHE] = PrefixCache(self.keys[..., :start, :], self.values[..., :start, :])
        return arguments


def _cut(value: Any, axis: int, start: int) -> Any:
    if isinstance(value, Tensor):
        return value.narrow(axis, start, value.shape[axis] - start)
    if isinstance(value, tuple):
        return tuple(_cut(item, axis, start) for item in value)
    return value


def causal_mask(start: int, n_tokens: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Additive causal mask of positions ``start .. T-1`` over all positions, shape ``(1, 1, T - start, T)``."""
    position = torch.arange(n_tokens, device=device)
    hidden = position[None, :] > position[start:, None]
    mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)[None, None]

"""How a model called one of its blocks, so that the block can be called again half-way through a prompt."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from horizon_widget.errors import ModelError

# Arguments that have one entry for each position, and the axis it lies on.
POSITION_AXIS = {"position_ids": -1, "cache_position": -1, "position_embeddings": -2}
ATTENTION_MASK = "attention_mask"


class GivenKeys:
    """One block's cache in a partial forward pass: the clean keys and values of earlier positions.

    Takes the place of a transformers ``Cache``. Attention calls ``update`` with its new keys and values, shape
    ``(batch, heads, S, d_head)``, and attends to the result.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values = keys, values

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Join the clean and the new keys and values, shape ``(batch, heads, n_clean + S, d_head)``."""
        if self._keys.shape[-2] == 0:
            return keys, values
        batch = keys.shape[0]
        return (
            torch.cat([self._keys.expand(batch, -1, -1, -1), keys], dim=-2),
            torch.cat([self._values.expand(batch, -1, -1, -1), values], dim=-2),
        )

    def get_seq_length(self, *_: Any) -> int:
        """Number of clean positions."""
        return int(self._keys.shape[-2])


@dataclass(frozen=True)
class BlockCall:
    """The arguments of one block's call in the clean forward pass, without the state itself.

    Attributes:
        arguments: The block's other arguments by name, without its cache.
        cache_name: The argument that takes a cache; ``None`` if the call had none.
        keys, values: The attention's keys and values at all positions, shape ``(1, heads, T, d_head)``; ``None`` if the
            block has no attention.
    """

    arguments: Mapping[str, Any]
    cache_name: str | None = None
    keys: Tensor | None = field(default=None, repr=False)
    values: Tensor | None = field(default=None, repr=False)

    @classmethod
    def capture(cls, block: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], cache: Any) -> BlockCall:
        """Name the arguments of a call ``block(*args, **kwargs)``, whose first argument is the state.

        Raises:
            ModelError: if the block's signature cannot be read.
        """
        try:
            # A tracer may have wrapped the instance's forward, so this reads the class's.
            names = list(inspect.signature(type(block).forward).parameters)[1:]
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"The blocks of this model ({type(block).__name__}) have no readable signature."
            ) from error
        arguments = {**dict(zip(names, args, strict=False)), **kwargs}
        arguments.pop(names[0])
        cache_name = next((name for name, value in arguments.items() if cache is not None and value is cache), None)
        if cache_name is not None:
            arguments[cache_name] = None
        return cls(arguments, cache_name)

    @property
    def can_be_cut(self) -> bool:
        """Whether ``span`` and ``direct`` may be used. Masks of other types cannot be cut (flex attention)."""
        mask = self.arguments.get(ATTENTION_MASK)
        return self.keys is not None and (mask is None or isinstance(mask, Tensor))

    def whole(self) -> dict[str, Any]:
        """Arguments for calling the block on all positions of a batch of copies of the prompt."""
        return dict(self.arguments)

    def span(self, start: int, stop: int) -> dict[str, Any]:
        """Arguments for calling the block on positions ``start .. stop-1``, with the clean keys before ``start``."""
        arguments = self._cut(start, stop)
        mask = self.arguments.get(ATTENTION_MASK)
        if isinstance(mask, Tensor):
            arguments[ATTENTION_MASK] = mask[..., start:stop, :stop]
        elif start > 0:
            arguments[ATTENTION_MASK] = self._causal_mask(start, stop)
        arguments[self._cache_name()] = GivenKeys(self._keys()[..., :start, :], self._values()[..., :start, :])
        return arguments

    def direct(self, start: int, stop: int, sources: Tensor) -> dict[str, Any]:
        """Like ``span``, but each position reads clean keys, except its own and those of its copy's source.

        Args:
            start: The first position computed.
            stop: The end of the positions computed, exclusive.
            sources: The source of each copy, shape ``(batch,)``.
        """
        arguments = self._cut(start, stop)
        mask = self.arguments.get(ATTENTION_MASK)
        seen = mask[..., start:stop, :stop] if isinstance(mask, Tensor) else self._causal_mask(start, stop)
        arguments[ATTENTION_MASK] = _direct_mask(seen, start, sources.to(seen.device))
        arguments[self._cache_name()] = GivenKeys(self._keys()[..., :stop, :], self._values()[..., :stop, :])
        return arguments

    def _cut(self, start: int, stop: int) -> dict[str, Any]:
        arguments = dict(self.arguments)
        for name, axis in POSITION_AXIS.items():
            if arguments.get(name) is not None:
                arguments[name] = _cut(arguments[name], axis, start, stop)
        return arguments

    def _cache_name(self) -> str:
        if self.cache_name is None:
            raise ModelError("The blocks of this model take no cache of keys and values.")
        return self.cache_name

    def _keys(self) -> Tensor:
        assert self.keys is not None
        return self.keys

    def _values(self) -> Tensor:
        assert self.values is not None
        return self.values

    def _causal_mask(self, start: int, stop: int) -> Tensor:
        keys = self._keys()
        return causal_mask(start, stop, keys.dtype, keys.device)


def _cut(value: Any, axis: int, start: int, stop: int) -> Any:
    if isinstance(value, Tensor):
        return value.narrow(axis, start, stop - start)
    if isinstance(value, (tuple, list)):
        return tuple(_cut(item, axis, start, stop) for item in value)
    return value


def causal_mask(start: int, stop: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Additive causal mask of positions ``start .. stop-1`` over those before ``stop``, ``(1, 1, stop-start, stop)``.

    Needed where the model passed no mask because plain causality was enough.
    """
    position = torch.arange(stop, device=device)
    hidden = position[None, :] > position[start:, None]
    mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)[None, None]


def _direct_mask(seen: Tensor, start: int, sources: Tensor) -> Tensor:
    """The mask of ``BlockCall.direct``.

    Args:
        seen: The model's own mask, boolean or additive, shape ``(1, 1 or heads, S, stop)``.
        start: The first position computed.
        sources: The source of each copy, shape ``(batch,)``.

    Returns:
        The mask over the clean keys of all positions, then over the new ones, shape
        ``(batch, 1 or heads, S, stop + S)``.
    """
    hidden: Any = False if seen.dtype == torch.bool else torch.finfo(seen.dtype).min
    stop = seen.shape[-1]
    reader = torch.arange(start, stop, device=seen.device)[:, None]
    read = torch.arange(stop, device=seen.device)[None, :]
    new = (read == reader)[None] | (read[None] == sources[:, None, None])  # (batch, S, stop)
    over_clean = torch.where(new[:, None], hidden, seen)
    over_new = torch.where(new[:, None], seen, hidden)[..., start:]
    return torch.cat([over_clean, over_new], dim=-1)

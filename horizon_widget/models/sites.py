"""Reading and overwriting what a module inside a block puts out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from horizon_widget.models.edits import LayerEdits
from horizon_widget.models.layout import Place


@dataclass(frozen=True)
class Site:
    """Where in each block states are read and overwritten.

    Attributes:
        name: ``"residual"`` (what enters a block), or another of ``question.facts.SITES``.
        place: Where in a block; ``None`` for the residual stream.
        columns: Of one head or all, in the flattened output, shape ``(width,)``; ``None``: the whole output.
        d_head: Width of a head, where the output has heads first.
    """

    name: str
    place: Place | None = None
    columns: Tensor | None = None
    d_head: int = 0

    def read(self, output: Any, length: int) -> Tensor:
        """The site's values, shape ``(batch, length, width)``, a copy, from the output of its module."""
        values = self._flat(_tensor(output), length)
        return values.clone() if self.columns is None else values[..., self.columns.to(values.device)]

    def read_each(self, outputs: Tensor, length: int) -> Tensor:
        """As ``read``, for a batch of outputs of one copy each: shape ``(batch, length, width)``."""
        return torch.stack([self.read(output, length)[0] for output in outputs])

    def write(self, output: Any, edits: LayerEdits, start: int, length: int) -> Any:
        """The output, of positions ``start .. start + length - 1``, with some values overwritten."""
        tensor = _tensor(output)
        values = self._flat(tensor, length).clone(memory_format=torch.contiguous_format)
        index = (edits.copy.to(values.device), edits.position.to(values.device) - start)
        states = edits.states.to(values)
        if self.columns is None:
            values[index] = states
        else:
            values[index[0][:, None], index[1][:, None], self.columns.to(values.device)[None]] = states
        written = self._unflat(values, tensor)
        return (written, *output[1:]) if isinstance(output, tuple) else written

    def _flat(self, tensor: Tensor, length: int) -> Tensor:
        if self.place is not None and self.place.heads_first:
            tensor = tensor.transpose(1, 2)
        if tensor.dim() == 2:  # some architectures run their MLP on all positions of all copies in one row
            return tensor.view(-1, length, tensor.shape[-1])
        return tensor if tensor.dim() == 3 else tensor.flatten(2)

    def _unflat(self, values: Tensor, like: Tensor) -> Tensor:
        if self.place is not None and self.place.heads_first:
            batch, heads, length, width = like.shape
            return values.view(batch, length, heads, width).transpose(1, 2)
        return values.view(like.shape)

    @contextmanager
    def overwriting(self, block: torch.nn.Module, edits: LayerEdits | None, start: int, length: int) -> Iterator[None]:
        """While this lasts, calls of the block on so many positions put out the edited values inside it."""
        if edits is None or self.place is None:
            yield
            return
        handle = block.get_submodule(self.place.module).register_forward_hook(
            lambda _module, _args, output: self.write(output, edits, start, length)
        )
        try:
            yield
        finally:
            handle.remove()


def _tensor(output: Any) -> Tensor:
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor

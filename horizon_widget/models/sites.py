"""Read and overwrite states at a site: the residual stream, or the output of a module inside a block."""

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
        place: The site's place in a block; ``None`` for the residual stream.
        columns: The columns of one head or of all heads in the flattened output, shape ``(width,)``; ``None`` for the
            whole output.
        d_head: Width of a head; 0 if the site has no heads.
    """

    name: str
    place: Place | None = None
    columns: Tensor | None = None
    d_head: int = 0

    def read(self, output: Any, length: int) -> Tensor:
        """A copy of the site's values, shape ``(batch, length, width)``, from the output of its module."""
        values = self._flat(tensor_of(output), length)
        return values.clone() if self.columns is None else values[..., self.columns.to(values.device)]

    def read_each(self, outputs: Tensor, length: int) -> Tensor:
        """Like ``read``, for a batch of outputs of one copy each; shape ``(batch, length, width)``."""
        return torch.stack([self.read(output, length)[0] for output in outputs])

    def write(self, output: Any, edits: LayerEdits, start: int, length: int) -> Any:
        """The output at positions ``start .. start + length - 1``, with some values overwritten."""
        tensor = tensor_of(output)
        values = self._flat(tensor, length).clone(memory_format=torch.contiguous_format)
        index = (edits.copy.to(values.device), edits.position.to(values.device) - start)
        states = edits.states.to(values)
        if self.columns is None:
            values[index] = states
        else:
            values[index[0][:, None], index[1][:, None], self.columns.to(values.device)[None]] = states
        written = self._unflat(values, tensor)
        return type(output)((written, *output[1:])) if isinstance(output, (tuple, list)) else written

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
        """Overwrite the site's values in calls of the block on positions ``start .. start + length - 1``."""
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


def tensor_of(output: Any) -> Tensor:
    """The tensor in a module's output, which may be a tuple or list that begins with it."""
    tensor: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return tensor

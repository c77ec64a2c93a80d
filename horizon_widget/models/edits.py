"""The states that are overwritten in a batch of copies of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerEdits:
    """The states that are overwritten at one layer. Each of the ``E`` entries is one state of one copy.

    Attributes:
        copy: The copy of each entry, shape ``(E,)``.
        position: The position of each entry, shape ``(E,)``.
        states: The new state of each entry, shape ``(E, width)``.
    """

    copy: Tensor
    position: Tensor
    states: Tensor


class Edits:
    """The states that are overwritten in a batch of copies of the prompt.

    Copies are in the order of the layer at which they are first changed. A partial forward pass adds each copy there,
    since it equals the clean run before.

    Args:
        layers: The layer of each entry.
        positions: The position of each entry.
        states: The new state of each entry, shape ``(E, width)``.
        copies: The copy of each entry; by default each entry has a copy of its own.

    Raises:
        ValueError: if the copies are in another order.
    """

    def __init__(
        self, layers: Sequence[int], positions: Sequence[int], states: Tensor, copies: Sequence[int] | None = None
    ) -> None:
        copies = list(range(len(layers))) if copies is None else list(copies)
        self.n_copies = max(copies) + 1
        self.first_position = min(positions)
        first_layers = [max(layers) + 1] * self.n_copies
        for copy, layer in zip(copies, layers, strict=True):
            first_layers[copy] = min(first_layers[copy], layer)
        if first_layers != sorted(first_layers):
            raise ValueError("copies must be in the order of their first layer")
        self._first_layers = first_layers
        self.first_layer = first_layers[0]
        device = states.device
        self._layers: dict[int, LayerEdits] = {}
        for layer in sorted(set(layers)):
            here = [entry for entry, other in enumerate(layers) if other == layer]
            of_entry = torch.tensor([(copies[entry], positions[entry]) for entry in here], device=device)
            self._layers[layer] = LayerEdits(of_entry[:, 0], of_entry[:, 1], states[torch.tensor(here, device=device)])

    def at(self, layer: int) -> LayerEdits | None:
        """The edits of a layer, if it has any."""
        return self._layers.get(layer)

    def n_entered(self, layer: int) -> int:
        """Number of copies that are first changed at this layer or before."""
        return sum(first <= layer for first in self._first_layers)

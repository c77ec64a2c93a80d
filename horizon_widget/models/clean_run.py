"""What one forward pass over the unchanged prompt leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from horizon_widget.models.block_call import BlockCall


@dataclass(frozen=True)
class CleanRun:
    """What one forward pass over the unchanged prompt leaves behind.

    Attributes:
        input_ids: Shape ``(1, T)``.
        states: ``states[l]`` enters block ``l``, shape ``(T, d_model)``; ``states[L]`` leaves the last block.
        calls: How each block was called.
        cached: Whether the calls have the keys and values that attention exported.
        site_values: At each layer, the values at the site asked for, shape ``(T, width)``; for the residual stream
            the entering states.
    """

    input_ids: Tensor
    states: Sequence[Tensor] = field(repr=False)
    calls: Sequence[BlockCall] = field(repr=False)
    cached: bool
    site_values: Sequence[Tensor] = field(repr=False)

    @property
    def n_tokens(self) -> int:
        """``T``."""
        return int(self.input_ids.shape[1])

    def distance(self, other: CleanRun) -> float:
        """Largest difference between the states of two runs over one prompt, each layer's relative to its largest."""
        apart = 0.0
        for mine, theirs in zip(self.states, other.states, strict=True):
            difference = (mine - theirs.to(mine)).abs().max() / mine.abs().max().clamp(min=1e-30)
            apart = max(apart, float(difference))
        return apart

"""What is kept of one forward pass over the unchanged prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from horizon_widget.models.block_call import BlockCall


@dataclass(frozen=True)
class CleanRun:
    """What is kept of one forward pass over the unchanged prompt.

    Attributes:
        input_ids: The prompt's token ids, shape ``(1, T)``.
        states: ``states[l]`` enters block ``l``, shape ``(T, d_model)``; ``states[L]`` leaves the last block.
        calls: The call of each block.
        cached: Whether the calls include the keys and values of attention.
        site_values: The values of the chosen site at each layer, shape ``(T, width)``; for the residual stream, the
            states that enter the blocks.
    """

    input_ids: Tensor
    states: Sequence[Tensor] = field(repr=False)
    calls: Sequence[BlockCall] = field(repr=False)
    cached: bool
    site_values: Sequence[Tensor] = field(repr=False)

    @property
    def n_tokens(self) -> int:
        """Number of tokens ``T``."""
        return int(self.input_ids.shape[1])

    def distance(self, other: CleanRun) -> float:
        """Largest difference between the states of two runs over one prompt, relative to the layer's largest value."""
        largest = 0.0
        for mine, theirs in zip(self.states, other.states, strict=True):
            difference = (mine - theirs.to(mine)).abs().max() / mine.abs().max().clamp(min=1e-30)
            largest = max(largest, float(difference))
        return largest

"""The cost of a computation, in floating-point operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from horizon_widget.models.model import Model
    from horizon_widget.question.query import Query


@dataclass(frozen=True)
class CostModel:
    """Operation counts of partial forward passes and of backward passes.

    Attributes:
        n_layers: Number of layers ``L``.
        n_tokens: Number of tokens ``T``.
        block: Number of weights of one block.
        head: Number of weights of the unembedding, ``V d``.
    """

    n_layers: int
    n_tokens: int
    block: int
    head: int

    @classmethod
    def of(cls, model: Model, query: Query) -> CostModel:
        """The cost model of a query."""
        return cls(model.n_layers, query.n_tokens, model.weights_per_block, model.vocab_size * model.d_model)

    def rows(self, layer: int, n_positions: float) -> float:
        """Operations to run ``n_positions`` through blocks ``layer .. L-1`` and the head."""
        return 2.0 * n_positions * (self.block * (self.n_layers - layer) + self.head)

    def column(self, target: int) -> float:
        """Operations for one backward pass from the prediction of a target to all layers and earlier positions."""
        return 2.0 * self.block * self.n_layers * target + 4.0 * self.head

    def missing(self, done: npt.NDArray[np.bool_]) -> float:
        """Operations for all rows that are not done, each from its source's position on."""
        length = self.n_tokens - np.arange(self.n_tokens)
        return float(sum(self.rows(layer, float(length[~row].sum())) for layer, row in enumerate(done)))

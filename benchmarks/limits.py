"""The machine's limit: the cost model's operations at the rate of matrix products on the model's own shapes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import horizon_widget as hw

ROWS = 512
LASTING = 0.4  # seconds; long enough for a sustained rate


@dataclass(frozen=True)
class Limit:
    """Turns operations into seconds.

    Attributes:
        model: The model whose shapes are used.
        blocks: Operations per second of products with a block's weights.
        head: The same with the unembedding.
    """

    model: hw.Model
    blocks: float
    head: float

    def rows(self, layer: int, n_positions: float) -> float:
        """Seconds to run so many positions through blocks ``layer .. L-1`` and the head."""
        return self.passes(n_positions * (self.model.n_layers - layer), n_positions)

    def passes(self, through_blocks: float, through_head: float) -> float:
        """Seconds for so many rows through one block each, and so many through the head."""
        block, head = self.model.weights_per_block, self.model.vocab_size * self.model.d_model
        return float(2 * through_blocks * block / self.blocks + 2 * through_head * head / self.head)


def measure(model: Any) -> Limit:
    """The current rates for a local model; on the model thread, whose number of torch threads counts."""
    block = [weight for weight in model.blocks[0]._module.parameters() if weight.dim() == 2]
    return Limit(model, _rate(block), _rate([model.head._module.weight]))


def _rate(weights: list[torch.Tensor]) -> float:
    inputs = [torch.randn(ROWS, weight.shape[1]) for weight in weights]
    outputs = [torch.empty(ROWS, weight.shape[0]) for weight in weights]
    done = 0
    with torch.no_grad():
        began = time.perf_counter()
        while (took := time.perf_counter() - began) < LASTING:
            for matrix, weight, out in zip(inputs, weights, outputs, strict=True):
                torch.mm(matrix, weight.T, out=out)
            done += sum(2 * ROWS * weight.numel() for weight in weights)
    return done / took


def against(
    model: hw.Model, work: Callable[[], object], needed: Callable[[Limit], float], repeats: int = 3
) -> tuple[float, float]:
    """Median seconds of ``work``, and its ratio to the limit, whose rates are taken before and after each run.

    The rate of a shared machine changes within seconds: each run is compared with the rates around it.
    """
    work()
    runs = []
    for _ in range(repeats):
        before = measure(model)
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        after = measure(model)
        around = Limit(model, (before.blocks + after.blocks) / 2, (before.head + after.head) / 2)
        runs.append((seconds / needed(around), seconds))
    ratio, _ = sorted(runs)[len(runs) // 2]
    seconds = sorted(seconds for _, seconds in runs)[len(runs) // 2]
    return seconds, ratio

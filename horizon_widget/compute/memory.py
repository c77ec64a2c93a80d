"""Plan how much is computed at once, by the memory it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from horizon_widget.compute.metrics import ROWS_OF_LOGITS
from horizon_widget.errors import QueryError
from horizon_widget.models.strategies import FULL

if TYPE_CHECKING:
    from horizon_widget.models.local_model import LocalModel
    from horizon_widget.question.query import Query

SHARE_OF_FREE = 0.25


class MemoryPlan:
    """How many copies of a prompt fit into a limit. Adapts when memory runs out all the same.

    Args:
        per_position: Bytes for each position of each copy.
        per_copy: Bytes for each copy, whatever the number of its positions.
        fixed: Bytes that do not depend on the number of copies.
        limit: Bytes that may be used.
    """

    def __init__(self, per_position: float, per_copy: float, fixed: float, limit: float) -> None:
        self.per_position, self.per_copy, self.fixed, self.limit = per_position, per_copy, fixed, limit
        self._most_copies: int | None = None

    @classmethod
    def of(cls, model: LocalModel, query: Query, strategy: str, limit: Any = None) -> MemoryPlan:
        """A plan for running the rest of a model for one prompt.

        Args:
            model: The model whose blocks are run.
            query: The question.
            strategy: The execution strategy.
            limit: Bytes that may be used; by default a share of the free memory of the model's device.

        Raises:
            QueryError: if the limit is not a positive whole number, or is too small for one copy of the prompt.
        """
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0):
            raise QueryError("memory_limit", f"{limit!r} is not a positive whole number of bytes.")
        plan = cls(*_needs(model, query, strategy), limit or SHARE_OF_FREE * free_bytes(model.device))
        least = plan.needed(1, query.n_tokens)
        if limit is not None and least > limit:
            raise QueryError(
                "memory_limit",
                f"one copy of this prompt of {query.n_tokens} tokens takes about {least / 1e6:.1f} MB, more than "
                f"{limit / 1e6:.1f} MB.",
                advice="Raise the limit, or shorten the prompt.",
            )
        return plan

    def needed(self, copies: int, positions: int) -> float:
        """Bytes needed to compute some copies at once, with a number of positions each."""
        return self.fixed + copies * (self.per_copy + positions * self.per_position)

    def copies(self, positions: int) -> int:
        """Number of copies that fit, with a number of positions each; at least one."""
        fit = int((self.limit - self.fixed) / (self.per_copy + positions * self.per_position))
        return max(1, fit if self._most_copies is None else min(fit, self._most_copies))

    def ran_out(self, copies: int) -> int:
        """Allow half as many copies from now on, after memory ran out. Returns the new limit."""
        self._most_copies = max(1, copies // 2)
        return self._most_copies


def _needs(model: LocalModel, query: Query, strategy: str) -> tuple[float, float, float]:
    """Bytes for each position, bytes for each copy, and fixed bytes, at the peak of running the rest of a model.

    Counts what a block holds at once: the residual stream and its norms, the MLP's inner activations and their product,
    queries, keys and values with the clean ones before them, and attention scores.
    """
    config, size, n_tokens = model.config, model.dtype.itemsize, query.n_tokens
    width = model.d_model
    inner = int(getattr(config, "intermediate_size", None) or getattr(config, "ffn_dim", None) or 4 * width)
    heads = int(getattr(config, "num_attention_heads", None) or 1)
    scores = heads * n_tokens * (size + 4) * 2
    per_position = size * (8 * width + 4 * inner) + scores
    per_copy = 4 * size * width * n_tokens  # clean keys and values, joined with new ones and repeated for each head
    logits = 4 * 4 * ROWS_OF_LOGITS * model.vocab_size
    if strategy == FULL:
        per_position += 2 * size * model.vocab_size
    return float(per_position), float(per_copy), float(logits)


def free_bytes(device: torch.device) -> int:
    """Free memory of a device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    import psutil  # hosts with GPUs may lack it

    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("not enough memory" in text or "out of memory" in text)

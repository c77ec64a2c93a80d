"""From what leaves the last block to logits, as few at a time as are needed."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from horizon_widget.models.fingerprint import global_hooks
from horizon_widget.models.shadow import own_forward

# Columns of logits held at once: few enough to stay in the cache of one core.
VOCABULARY_SLICE = 1024


class Head:
    """Final norm and unembedding of a model.

    Args:
        norms: What is applied before the unembedding, in turn; callables.
        unembedding: Callable.
        module: The unembedding's module.
        softcap: Logits become ``softcap * tanh(logits / softcap)`` where this is a number.
    """

    def __init__(self, norms: list[Any], unembedding: Any, module: torch.nn.Module, softcap: float | None) -> None:
        self._norms, self._unembedding, self._module = norms, unembedding, module
        self._softcap = softcap

    @property
    def sliceable(self) -> bool:
        """Whether ``token_logits`` and ``log_normaliser`` may be used: the unembedding is its weights alone."""
        module = self._module
        hooks = [*module._forward_hooks, *module._forward_pre_hooks, *global_hooks()]
        hooked = hooks or own_forward(module) is not None
        return type(module) is torch.nn.Linear and module.weight.device.type != "meta" and not hooked

    def logits(self, states: Tensor) -> Tensor:
        """Logits of shape ``(..., vocab_size)`` from what leaves the last block."""
        return self._cap(self._unembedding(self._normed(states)))

    def token_logits(self, states: Tensor, token_ids: Tensor) -> Tensor:
        """Logits of some tokens only.

        Args:
            states: Shape ``(N, d_model)``.
            token_ids: Shape ``(N, k)``.

        Returns:
            Shape ``(N, k)``, in at least float32.
        """
        weight, bias = self._weights()
        states = self._normed(states).to(weight.device)
        token_ids = token_ids.to(weight.device)
        picked = torch.einsum("nd,nkd->nk", states, weight[token_ids])
        picked = picked if bias is None else picked + bias[token_ids]
        return self._cap(at_least_float32(picked))

    def log_normaliser(self, states: Tensor) -> Tensor:
        """Log of the sum of exponentials of all logits, shape ``(N,)``, in at least float32.

        Goes through the vocabulary slice by slice, so that the logits are never written to main memory.
        """
        weight, bias = self._weights()
        states = self._normed(states).to(weight.device)
        size = VOCABULARY_SLICE if states.device.type == "cpu" else len(weight)
        greatest, sums = [], []
        for first in range(0, len(weight), size):
            logits = states @ weight[first : first + size].T
            logits = logits if bias is None else logits.add_(bias[first : first + size])
            logits = self._cap(at_least_float32(logits))
            top = logits.amax(dim=-1)
            greatest.append(top)
            finite = top.clamp(min=torch.finfo(top.dtype).min)  # in a slice of padding all logits may be -inf
            sums.append(logits.sub_(finite[:, None]).exp_().sum(dim=-1))
        tops, parts = torch.stack(greatest), torch.stack(sums)
        top = tops.amax(dim=0)
        return top + torch.log((parts * torch.exp(tops - top)).sum(dim=0))

    def _normed(self, states: Tensor) -> Tensor:
        for norm in self._norms:
            states = norm(states)
        return states

    def _weights(self) -> tuple[Tensor, Tensor | None]:
        assert isinstance(self._module, torch.nn.Linear)
        return self._module.weight, self._module.bias

    def _cap(self, logits: Tensor) -> Tensor:
        return logits if self._softcap is None else self._softcap * torch.tanh(logits / self._softcap)


class Readout(Protocol):
    """The predictions of a batch of copies of the prompt, at some positions of some copies; shapes as for ``Head``."""

    def logits(self, copy: Tensor, position: Tensor) -> Tensor:
        """Shape ``(N, vocab_size)``."""

    def token_logits(self, copy: Tensor, position: Tensor, token_ids: Tensor) -> Tensor:
        """Shape ``(N, k)``, for ``token_ids`` of that shape."""

    def log_normaliser(self, copy: Tensor, position: Tensor) -> Tensor:
        """Shape ``(N,)``."""


class FromStates:
    """Reads predictions from what leaves the last block.

    Args:
        head: The model's.
        states: Shape ``(batch, S, d_model)``, of positions ``start .. start + S - 1``.
        start: The first position.
    """

    def __init__(self, head: Head, states: Tensor, start: int = 0) -> None:
        self._head, self._states, self._start = head, states, start
        self._last: tuple[Tensor, Tensor, Tensor] | None = None  # copies, positions and their logits

    def _at(self, copy: Tensor, position: Tensor) -> Tensor:
        device = self._states.device
        return self._states[copy.to(device), position.to(device) - self._start]

    def logits(self, copy: Tensor, position: Tensor) -> Tensor:
        """See ``Readout``."""
        return self._head.logits(self._at(copy, position))

    def token_logits(self, copy: Tensor, position: Tensor, token_ids: Tensor) -> Tensor:
        """See ``Readout``."""
        if self._head.sliceable:
            return self._head.token_logits(self._at(copy, position), token_ids)
        logits = self._whole(copy, position)
        return logits.gather(-1, token_ids.to(logits.device))

    def log_normaliser(self, copy: Tensor, position: Tensor) -> Tensor:
        """See ``Readout``."""
        if self._head.sliceable:
            return self._head.log_normaliser(self._at(copy, position))
        whole, self._last = self._whole(copy, position), None  # logits of whole rows are large
        return torch.logsumexp(whole, dim=-1)

    def _whole(self, copy: Tensor, position: Tensor) -> Tensor:
        """Logits in at least float32; the head is called once for both parts of a log-probability."""
        if self._last is None or self._last[0] is not copy or self._last[1] is not position:
            self._last = copy, position, at_least_float32(self.logits(copy, position))
        return self._last[2]


class FromLogits:
    """Reads predictions from a full forward pass's own logits.

    Args:
        logits: Shape ``(batch, S, vocab_size)``, of positions ``start .. start + S - 1``.
        start: The first position.
    """

    def __init__(self, logits: Tensor, start: int = 0) -> None:
        self._logits, self._start = logits, start

    def logits(self, copy: Tensor, position: Tensor) -> Tensor:
        """See ``Readout``."""
        device = self._logits.device
        return self._logits[copy.to(device), position.to(device) - self._start]

    def token_logits(self, copy: Tensor, position: Tensor, token_ids: Tensor) -> Tensor:
        """See ``Readout``."""
        return at_least_float32(self.logits(copy, position)).gather(-1, token_ids.to(self._logits.device))

    def log_normaliser(self, copy: Tensor, position: Tensor) -> Tensor:
        """See ``Readout``."""
        return torch.logsumexp(at_least_float32(self.logits(copy, position)), dim=-1)


def at_least_float32(values: Tensor) -> Tensor:
    """In half precision a log-probability has three digits; metrics are scored in float32, or float64 if that it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))

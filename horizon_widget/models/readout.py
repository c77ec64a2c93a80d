"""Logits from the last block's output, only as many as are needed."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from horizon_widget.models.fingerprint import global_hooks
from horizon_widget.models.parts import Scaling
from horizon_widget.models.shadow import own_forward

# Number of columns of logits that are computed at once. They fit into the cache of one core.
VOCABULARY_SLICE = 1024


class Head:
    """Final norm and unembedding of a model.

    Args:
        norms: Callables that are applied in turn before the unembedding.
        unembedding: A callable from normed states to logits.
        module: The unembedding's module.
        scaling: What is done before and after the unembedding.
    """

    def __init__(self, norms: list[Any], unembedding: Any, module: torch.nn.Module, scaling: Scaling) -> None:
        self._norms, self._unembedding, self._module = norms, unembedding, module
        self._scaling = scaling

    @property
    def sliceable(self) -> bool:
        """Whether ``token_logits`` and ``log_normaliser`` may be used. They read the unembedding's weights only."""
        module = self._module
        hooks = [*module._forward_hooks, *module._forward_pre_hooks, *global_hooks()]
        hooked = hooks or own_forward(module) is not None
        plain = type(module) is torch.nn.Linear and type(module.weight) is torch.nn.Parameter  # not quantised
        return plain and module.weight.device.type != "meta" and not hooked

    def logits(self, states: Tensor) -> Tensor:
        """Logits of shape ``(..., vocab_size)`` from the last block's output."""
        return self._scaling.leaving(self._unembedding(self._normed(states)))

    def token_logits(self, states: Tensor, token_ids: Tensor) -> Tensor:
        """Logits of some tokens only.

        Args:
            states: The last block's output, shape ``(N, d_model)``.
            token_ids: The tokens asked for, shape ``(N, k)``.

        Returns:
            Logits of shape ``(N, k)``, in at least float32.
        """
        weight, bias = self._weights()
        states = self._normed(states).to(weight.device)
        token_ids = token_ids.to(weight.device)
        picked = torch.einsum("nd,nkd->nk", states, weight[token_ids])
        picked = picked if bias is None else picked + bias[token_ids]
        return self._scaling.leaving(at_least_float32(picked))

    def log_normaliser(self, states: Tensor) -> Tensor:
        """Log of the sum of the exponentials of all logits, shape ``(N,)``, in at least float32.

        Goes through the vocabulary slice by slice, so that the logits are never written to main memory.
        """
        weight, bias = self._weights()
        states = self._normed(states).to(weight.device)
        size = VOCABULARY_SLICE if states.device.type == "cpu" else len(weight)
        greatest, sums = [], []
        for first in range(0, len(weight), size):
            logits = states @ weight[first : first + size].T
            logits = logits if bias is None else logits.add_(bias[first : first + size])
            logits = self._scaling.leaving(at_least_float32(logits))
            top = logits.amax(dim=-1)
            greatest.append(top)
            finite = top.clamp(min=torch.finfo(top.dtype).min)  # all logits of a slice of padding may be -inf
            sums.append(logits.sub_(finite[:, None]).exp_().sum(dim=-1))
        tops, parts = torch.stack(greatest), torch.stack(sums)
        top = tops.amax(dim=0)
        return top + torch.log((parts * torch.exp(tops - top)).sum(dim=0))

    def _normed(self, states: Tensor) -> Tensor:
        for norm in self._norms:
            states = norm(states)
        states = self._scaling.entering(states)
        weight = getattr(self._module, "weight", None)
        if isinstance(weight, Tensor) and weight.is_floating_point() and not weight.is_meta:
            states = states.to(weight.dtype)  # some models keep their states in float32
        return states

    def _weights(self) -> tuple[Tensor, Tensor | None]:
        assert isinstance(self._module, torch.nn.Linear)
        return self._module.weight, self._module.bias


class Readout(Protocol):
    """Predictions of a batch of copies of the prompt, at ``N`` pairs of a copy and a position. See ``Head``."""

    def logits(self, copy: Tensor, position: Tensor) -> Tensor:
        """Logits of shape ``(N, vocab_size)``."""

    def token_logits(self, copy: Tensor, position: Tensor, token_ids: Tensor) -> Tensor:
        """Logits of the tokens in ``token_ids``, both of shape ``(N, k)``."""

    def log_normaliser(self, copy: Tensor, position: Tensor) -> Tensor:
        """Log of the sum of the exponentials of all logits, shape ``(N,)``."""


class FromStates:
    """Computes predictions from the last block's output.

    Args:
        head: The model's final norm and unembedding.
        states: The output at positions ``start .. start + S - 1``, shape ``(batch, S, d_model)``.
        start: The first position in ``states``.
    """

    def __init__(self, head: Head, states: Tensor, start: int = 0) -> None:
        self._head, self._states, self._start = head, states, start
        self._last: tuple[Tensor, Tensor, Tensor] | None = None  # copies, positions and logits of the last call

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
        whole, self._last = self._whole(copy, position), None  # frees the logits, which are large
        return torch.logsumexp(whole, dim=-1)

    def _whole(self, copy: Tensor, position: Tensor) -> Tensor:
        """Logits in at least float32. The head is called once for both parts of a log-probability."""
        if self._last is None or self._last[0] is not copy or self._last[1] is not position:
            self._last = copy, position, at_least_float32(self.logits(copy, position))
        return self._last[2]


class FromLogits:
    """Reads predictions from the logits of a full forward pass.

    Args:
        logits: The logits at positions ``start .. start + S - 1``, shape ``(batch, S, vocab_size)``.
        start: The first position in ``logits``.
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
    """Values in float32, or in float64 if they already are. In half precision a log-probability has three digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))

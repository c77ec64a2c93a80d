"""Compute metrics: the scalar that is scored at each prediction position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from horizon_widget.errors import QueryError
from horizon_widget.models.readout import Readout, at_least_float32
from horizon_widget.question.metric import Metric

# Predictions scored at once. ``ROWS_OF_LOGITS`` is for metrics that hold the logits of all tokens in memory.
ROWS_OF_LOGITS = 64
ROWS = 512


@dataclass(frozen=True)
class Scorer:
    """Scores a metric on the predictions of copies of one prompt, in at least float32.

    Attributes:
        metric: The metric that is scored.
        input_ids: The prompt's token ids, shape ``(T,)``.
        clean: The unchanged prompt's predictions, as copy 0. Divergences are measured from them.
    """

    metric: Metric
    input_ids: Tensor
    clean: Readout

    def __call__(self, readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
        """Score some copies at some prediction positions.

        Args:
            readout: The predictions.
            copy: The copies, shape ``(N,)``.
            position: The prediction positions ``j``, shape ``(N,)``.

        Returns:
            The metric ``m[j]``, shape ``(N,)``. For ``"kl"`` it is the negative divergence from the clean prediction,
            so that influence, ``m(clean) - m(ablated)``, is the divergence.
        """
        if self.metric.is_function:
            return self._by_function(readout, copy, position)
        score, rows = _SCORES[self.metric.name]
        parts = [
            score(self, readout, some_copies, some_positions)
            for some_copies, some_positions in zip(copy.split(rows), position.split(rows), strict=True)
        ]
        return torch.cat(parts)

    def tokens(self, position: Tensor) -> Tensor:
        """The tokens scored at some positions, shape ``(N, k)``: the metric's own, or the actual next one."""
        if self.metric.tokens:
            named = torch.tensor(self.metric.tokens, device=position.device)
            return named.expand(len(position), -1)
        return self.input_ids.to(position.device)[position + 1, None]

    def _by_function(self, readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
        """Score one copy at a time, since a user's function gets the logits of the whole prompt."""
        everywhere = torch.arange(len(self.input_ids), device=position.device)
        clean = at_least_float32(self.clean.logits(torch.zeros_like(everywhere), everywhere))
        result = torch.empty(len(copy), dtype=clean.dtype, device=clean.device)
        for one in copy.unique():
            here = copy == one
            logits = clean.clone()
            logits[position[here]] = at_least_float32(readout.logits(copy[here], position[here])).to(clean.device)
            result[here] = apply_function(self.metric, logits, self.input_ids)[position[here]]
        return result


def apply_function(metric: Metric, logits: Tensor, input_ids: Tensor) -> Tensor:
    """Call a user's metric on logits of shape ``(T, vocab_size)`` and check its values, shape ``(T,)``.

    Raises:
        QueryError: if it fails or does not return one number for each position.
    """
    assert metric.function is not None
    try:
        values = metric.function(logits, input_ids.to(logits.device))
    except Exception as error:
        raise QueryError(
            "metric", f"the {metric} failed: {type(error).__name__}: {error}", advice=FUNCTION_ADVICE
        ) from error
    if not isinstance(values, Tensor) or values.shape != input_ids.shape or not values.dtype.is_floating_point:
        got = f"shape {tuple(values.shape)}, {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        raise QueryError(
            "metric",
            f"the {metric} gave {got}, where one number for each of {len(input_ids)} positions is needed.",
            advice=FUNCTION_ADVICE,
        )
    return values


FUNCTION_ADVICE = "It is called with logits (T, vocab_size) and input_ids (T,), and must return a float tensor (T,)."


def check_function(metric: Metric, logits: Tensor, input_ids: Tensor) -> None:
    """Check that a user's metric at a position depends only on the logits there.

    Args:
        metric: A metric with a function.
        logits: The logits of the unchanged prompt, shape ``(T, vocab_size)``.
        input_ids: The prompt's token ids, shape ``(T,)``.

    Raises:
        QueryError: if it depends on other logits, or is not finite.
    """
    values = apply_function(metric, logits, input_ids)
    if not bool(torch.isfinite(values).all()):
        position = int((~torch.isfinite(values)).nonzero()[0])
        raise QueryError("metric", f"the {metric} is not finite at token {position} of the clean prompt.")
    middle = len(input_ids) // 2
    for changed in (slice(middle, None), slice(0, middle)):
        other = logits.clone()
        other[changed] = other[changed].flip(-1)
        kept = torch.ones(len(input_ids), dtype=torch.bool, device=values.device)
        kept[changed] = False
        if not torch.allclose(apply_function(metric, other, input_ids)[kept], values[kept], rtol=1e-4, atol=1e-5):
            raise QueryError(
                "metric",
                f"the {metric} mixes positions: its value at one changes with the logits of another.",
                advice="Element j must come from logits[j] alone.",
            )


def _logprob(scorer: Scorer, readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
    return _logit(scorer, readout, copy, position) - readout.log_normaliser(copy, position)


def _logit(scorer: Scorer, readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
    return readout.token_logits(copy, position, scorer.tokens(position))[:, 0]


def _contrast(scorer: Scorer, readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
    both = readout.token_logits(copy, position, scorer.tokens(position))
    return both[:, 0] - both[:, 1]


def _centred_logit(scorer: Scorer, readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
    logits = at_least_float32(readout.logits(copy, position))
    possible = logits != -torch.inf
    mean = logits.masked_fill(~possible, 0.0).sum(dim=-1) / possible.sum(dim=-1)
    return logits.gather(-1, scorer.tokens(position).to(logits.device))[:, 0] - mean


def _entropy(_scorer: Scorer, readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
    logp = _logp(readout, copy, position)
    return -(logp.exp() * logp.masked_fill(logp == -torch.inf, 0.0)).sum(dim=-1)  # 0 log 0 = 0


def _minus_kl(scorer: Scorer, readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
    ablated, clean = _logp(readout, copy, position), _logp(scorer.clean, torch.zeros_like(copy), position)
    ratio = (clean - ablated).masked_fill(clean == -torch.inf, 0.0)  # 0 log (0 / q) = 0
    return -(clean.exp() * ratio).sum(dim=-1)


def _logp(readout: Readout, copy: Tensor, position: Tensor) -> Tensor:
    """Log-probabilities of all tokens, shape ``(N, vocab_size)``; -inf for those that the model rules out."""
    return torch.log_softmax(at_least_float32(readout.logits(copy, position)), dim=-1)


Score = Callable[[Scorer, Readout, Tensor, Tensor], Tensor]
_SCORES: dict[str, tuple[Score, int]] = {
    "logprob": (_logprob, ROWS),
    "logit": (_logit, ROWS),
    "contrast": (_contrast, ROWS),
    "centred_logit": (_centred_logit, ROWS_OF_LOGITS),
    "entropy": (_entropy, ROWS_OF_LOGITS),
    "kl": (_minus_kl, ROWS_OF_LOGITS),
}

"""A metric: the scalar that is scored at each prediction position. A value without any arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from horizon_widget.errors import QueryError, sendable
from horizon_widget.question.facts import LEVEL, METRICS, OF_A_FUNCTION, MetricFacts, Words

FUNCTION = "function"
EXAMPLES = (" Paris", " Rome")


@dataclass(frozen=True)
class Metric:
    """The scalar ``m[j]`` scored at prediction position ``j``.

    Attributes:
        name: The kind of metric. ``"logprob"``: log p of a token; ``"logit"``; ``"centred_logit"``: logit minus the
            mean logit over all tokens that the model does not rule out by a logit of -inf; ``"contrast"``: logit(a) -
            logit(b); ``"entropy"`` of the predicted distribution; ``"kl"``: its Kullback-Leibler divergence from the
            clean one, so that influence is KL(clean || ablated), never negative; ``"function"``: the user's own.
        tokens: The named tokens: two for a contrast, else one, or none for the actual next token.
        function: ``(logits (T, V), input_ids (T,)) -> (T,)``, element ``j`` from ``logits[j]`` alone.
        label: The label that is shown, such as ``"logprob of ' Paris'"``; for a function, its name in Python.
    """

    name: str = "logprob"
    tokens: tuple[int, ...] = ()
    function: Callable[[Any, Any], Any] | None = None
    label: str = ""

    @property
    def facts(self) -> MetricFacts:
        """The facts of this kind of metric."""
        return OF_A_FUNCTION if self.is_function else METRICS[self.name]

    @property
    def is_function(self) -> bool:
        """Whether it is the user's own function. A loaded map knows only its label."""
        return self.name == FUNCTION

    @property
    def unit(self) -> str:
        """The unit of the metric and so of influence; empty for a user's function."""
        return self.facts.unit

    @property
    def needs_actual_token(self) -> bool:
        """Whether it scores the actual next token, so that the last position has no value."""
        return self.facts.of_token and not self.tokens

    @property
    def short(self) -> str:
        """A short label."""
        return str(self) if self.tokens or self.is_function else self.facts.short or self.name

    @property
    def words(self) -> Words:
        """How its values are explained."""
        return LEVEL if self.tokens else self.facts.words

    def __str__(self) -> str:
        if self.is_function and self.label:  # the label may be the name of another metric
            return f"function {self.label}"
        return self.label or self.name


def read_metric(value: object, token_id: Callable[[object], int], token_name: Callable[[int], str] = str) -> Metric:
    """Turn what a user wrote into a ``Metric``.

    Args:
        value: A name; ``(name, token)``; ``("contrast", token, token)``; a function; or a ``Metric``.
        token_id: Turns a token as written (its text or id) into its id, or raises ``QueryError``.
        token_name: Turns an id into the text that names it.

    Raises:
        QueryError: naming what is wrong.
    """
    if isinstance(value, Metric):
        if value.is_function and value.function is None:
            raise QueryError(
                "metric",
                f"{value.label or value.name} was a function, and files do not hold functions.",
                advice="Pass it as metric=.",
            )
        return _naming(value.name, value.tokens, token_id, token_name) if value.tokens else value
    if callable(value):
        return Metric(FUNCTION, function=value, label=sendable(str(getattr(value, "__name__", ""))))
    name, *tokens = value if isinstance(value, (tuple, list)) and value else (value,)
    if isinstance(name, str) and name in METRICS and len(tokens) in METRICS[name].choices:
        return _naming(name, tokens, token_id, token_name) if tokens else Metric(name)
    raise QueryError("metric", f"{value!r} is not offered.", advice=_advice())


def _naming(
    name: str, named: Iterable[object], token_id: Callable[[object], int], token_name: Callable[[int], str]
) -> Metric:
    tokens = tuple(token_id(token) for token in named)
    joined = " - ".join(repr(token_name(token)) for token in tokens)
    return Metric(name, tokens, label=METRICS[name].named.format(name=name, tokens=joined))


def _advice() -> str:
    """Each way to write a metric, without tokens and with them."""
    plain = [f'"{name}"' for name, facts in METRICS.items() if 0 in facts.choices]
    named = [str((name, *EXAMPLES[:n])) for name, facts in METRICS.items() for n in facts.choices if n]
    return f"Use {', '.join(plain)}; {', '.join(named)}; or a function of (logits, input_ids)."

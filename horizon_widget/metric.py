"""What is scored at each prediction position: a value, without any arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from horizon_widget.errors import QueryError, sendable

OF_ONE_TOKEN = ("logprob", "logit", "centred_logit")
NAMES = (*OF_ONE_TOKEN, "contrast", "entropy", "kl")
FUNCTION = "function"
UNITS = {"logprob": "nats", "logit": "logits", "centred_logit": "logits", "contrast": "logits", "entropy": "nats"}
UNITS |= {"kl": "nats", FUNCTION: ""}
ADVICE = (
    'Use "logprob", "logit", "centred_logit", "entropy" or "kl"; ("logprob", " Paris") for a token you name; '
    '("contrast", " Paris", " Rome"); or a function of (logits, input_ids).'
)


@dataclass(frozen=True)
class Metric:
    """The scalar ``m[j]`` scored at prediction position ``j``.

    Attributes:
        name: What it is, whatever its label. ``"logprob"``: log p of a token; ``"logit"``; ``"centred_logit"``: logit
            minus the mean logit, over all tokens that the model does not rule out by a logit of -inf; ``"contrast"``:
            logit(a) - logit(b); ``"entropy"`` of the predicted distribution; ``"kl"``: its Kullback-Leibler divergence
            from the clean one, where influence is KL(clean || ablated), never negative; ``"function"``: the user's own.
        tokens: The tokens named: one for the first three (none: the actual next token), two for a contrast.
        function: ``(logits (T, V), input_ids (T,)) -> (T,)``, element ``j`` from ``logits[j]`` alone.
        label: As shown, such as ``"logprob of ' Paris'"``; of a function, its name in Python.
    """

    name: str = "logprob"
    tokens: tuple[int, ...] = ()
    function: Callable[[Any, Any], Any] | None = None
    label: str = ""

    @property
    def unit(self) -> str:
        """The unit of the metric and so of influence; empty for a user's function."""
        return UNITS[self.name]

    @property
    def needs_actual_token(self) -> bool:
        """Whether it scores the actual next token, so that there is no value after the last one."""
        return self.name in OF_ONE_TOKEN and not self.tokens

    def __str__(self) -> str:
        if self.name == FUNCTION and self.label:  # which may be that of another metric
            return f"function {self.label}"
        return self.label or self.name


def read_metric(value: object, token_id: Callable[[object], int], token_name: Callable[[int], str] = str) -> Metric:
    """A ``Metric`` from what a user wrote.

    Args:
        value: A name; ``(name, token)``; ``("contrast", token, token)``; a function; or a ``Metric``.
        token_id: Turns a token as written (its text or id) into its id, or raises ``QueryError``.
        token_name: Turns an id into the text that names it.

    Raises:
        QueryError: naming what is wrong.
    """
    if isinstance(value, Metric):
        if value.name == FUNCTION and value.function is None:
            raise QueryError(
                "metric",
                f"{value.label or value.name} was a function, which no file holds.",
                advice="Pass it as metric=.",
            )
        return _naming(value.name, value.tokens, token_id, token_name) if value.tokens else value
    if isinstance(value, str) and value in NAMES and value != "contrast":
        return Metric(value)
    if callable(value):
        return Metric(FUNCTION, function=value, label=sendable(str(getattr(value, "__name__", ""))))
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], str):
        name, *named = value
        if (name in OF_ONE_TOKEN and len(named) == 1) or (name == "contrast" and len(named) == 2):
            return _naming(name, named, token_id, token_name)
    raise QueryError("metric", f"{value!r} is not offered.", advice=ADVICE)


def _naming(
    name: str, named: Iterable[object], token_id: Callable[[object], int], token_name: Callable[[int], str]
) -> Metric:
    tokens = tuple(token_id(token) for token in named)
    joined = " - ".join(repr(token_name(token)) for token in tokens)
    return Metric(name, tokens, label=f"contrast {joined}" if name == "contrast" else f"{name} of {joined}")

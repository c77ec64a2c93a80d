"""The question that a map answers, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass

from horizon_widget.errors import QueryError

METHODS = ("ablation",)
METRICS = ("logprob",)
SITES = ("residual",)
BASELINES = ("auto", "mean", "zero", "resample")
UNITS = {"logprob": "nats"}


@dataclass(frozen=True)
class Query:
    """What is asked of a model about a prompt.

    Attributes:
        token_ids: The prompt, ``x[0..T-1]``.
        method: How influence is measured; ``"ablation"`` is the exact effect of replacing a state.
        metric: The scalar scored at each prediction position; ``"logprob"`` is log p of the actual next token.
        baseline: What replaces a state. ``"auto"``: ``"mean"``, or ``"zero"`` for prompts of fewer than three
            tokens, or ``"resample"`` at layers where the mean is itself a shock.
        site: Where in a block; ``"residual"`` is the state entering it.
        seed: Seeds the draws of ``"resample"``.
        draws: How many draws ``"resample"`` averages over.

    Raises:
        QueryError: naming the field that is wrong.
    """

    token_ids: tuple[int, ...]
    method: str = "ablation"
    metric: str = "logprob"
    baseline: str = "auto"
    site: str = "residual"
    seed: int = 0
    draws: int = 3

    def __post_init__(self) -> None:
        for field, allowed in (
            ("method", METHODS),
            ("metric", METRICS),
            ("baseline", BASELINES),
            ("site", SITES),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise QueryError(field, f"{value!r} is not offered.", advice=f"Choose from: {', '.join(allowed)}.")
        if len(self.token_ids) < 2:
            raise QueryError(
                "prompt",
                f"it has {len(self.token_ids)} token(s), and {self.metric} scores how one token predicts the next.",
                advice="Give a text of at least two tokens.",
            )
        for field, least in (("seed", 0), ("draws", 1)):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise QueryError(field, f"{value!r} is not a whole number of at least {least}.")
        if self.baseline in ("mean", "resample") and len(self.token_ids) < 3:
            raise QueryError(
                "baseline",
                f"a prompt of {len(self.token_ids)} tokens has no useful {self.baseline} state.",
                advice='Use baseline="zero", or a longer prompt.',
            )

    @property
    def unit(self) -> str:
        """The unit of the metric and so of influence."""
        return UNITS[self.metric]

    @property
    def n_tokens(self) -> int:
        """``T``, the number of tokens in the prompt."""
        return len(self.token_ids)

    @property
    def n_targets(self) -> int:
        """Number of targets ``t = 1 .. n_targets``; ``logprob`` needs the actual token, so the last is ``T-1``."""
        return self.n_tokens - 1


def check_layers(layers: object, n_layers: int) -> tuple[int, ...]:
    """Turn an argument ``layers`` (None, a number, or several) into layer numbers.

    Args:
        layers: ``None`` for all, one layer, or an iterable of layers; negative numbers count from the last.
        n_layers: How many the model has.

    Raises:
        QueryError: if one is not a whole number or not in the model.
    """
    if layers is None:
        return tuple(range(n_layers))
    items = [layers] if isinstance(layers, (int, str)) or not hasattr(layers, "__iter__") else list(layers)
    if not items:
        raise QueryError("layers", "none is named.", advice="Name at least one, or leave it out for all of them.")
    return tuple(check_index("layers", item, n_layers, allow_negative=True) for item in items)


def check_index(field: str, value: object, size: int, *, allow_negative: bool = False) -> int:
    """Check that ``value`` is a whole number in ``0 .. size-1``.

    Raises:
        QueryError: naming ``field``, the value and the range.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise QueryError(field, f"{value!r} is not a whole number.", advice=f"Use 0 to {size - 1}.")
    number = value.__index__()
    if allow_negative and -size <= number < 0:
        number += size
    if not 0 <= number < size:
        raise QueryError(field, f"{value} is out of range.", advice=f"Use 0 to {size - 1}.")
    return int(number)

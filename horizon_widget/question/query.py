"""The question that a map answers. It is checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from horizon_widget.errors import QueryError
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.facts import METHODS, RESIDUAL, SITES
from horizon_widget.question.metric import Metric


@dataclass(frozen=True)
class Query:
    """A question to a model about a prompt.

    Attributes:
        token_ids: The prompt's token ids ``x[0..T-1]``.
        method: How influence is measured. ``"ablation"``: the exact effect of replacing a state. Estimates:
            ``"gradient"``, its first-order approximation; ``"energy"``, an upper bound of that one's magnitude.
        metric: The scalar that is scored at each prediction position.
        baseline: The rule by which a state is replaced.
        site: Where in a block states are replaced. ``"residual"``: the state that enters it; ``"attention_output"`` and
            ``"mlp_output"``: what it adds to the residual stream; ``"key"`` (before the rotary embedding) and
            ``"value"``: what its attention exports.
        head: For keys and values, the key-value head; ``None`` for all of them together.
        seed: Seeds the draws of ``"resample"``.
        draws: Number of draws that ``"resample"`` averages over.

    Raises:
        QueryError: naming the field that is wrong.
    """

    token_ids: tuple[int, ...]
    method: str = "ablation"
    metric: Metric = field(default_factory=Metric)
    baseline: Baseline = field(default_factory=Baseline)
    site: str = RESIDUAL
    head: int | None = None
    seed: int = 0
    draws: int = 3

    def __post_init__(self) -> None:
        for name, allowed in (("method", METHODS), ("site", SITES)):
            value = getattr(self, name)
            if value not in allowed:
                raise QueryError(name, f"{value!r} is not offered.", advice=f"Choose from: {', '.join(allowed)}.")
        for name, least in (("seed", 0), ("draws", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise QueryError(name, f"{value!r} is not a whole number of at least {least}.")
        if self.head is not None and not SITES[self.site].by_head:
            raise QueryError(
                "head",
                f"the site {self.site!r} has no heads.",
                advice='Use site="key" or site="value".',
            )
        if METHODS[self.method].by_gradient and not self.metric.facts.differentiable:
            raise QueryError(
                "metric",
                f"the gradient of {self.metric} at the clean state is zero, so {self.method!r} cannot measure it.",
                advice='Use method="ablation".',
            )
        self._check_lengths()

    def _check_lengths(self) -> None:
        least = 2 if self.metric.needs_actual_token else 1
        if self.n_tokens < least:
            raise QueryError(
                "prompt",
                f"it has {self.n_tokens} token(s), and {self.metric} scores how one token predicts the next.",
                advice="Give a text of at least two tokens.",
            )
        kind, reference = self.baseline.kind, self.baseline.reference
        if kind in ("mean", "resample") and not reference and self.n_tokens < 3:
            raise QueryError(
                "baseline",
                f"a prompt of {self.n_tokens} tokens has no useful {kind} state.",
                advice='Use baseline="zero", or a longer prompt.',
            )
        if kind == "counterfactual" and len(reference[0]) != self.n_tokens:
            raise QueryError(
                "baseline",
                f"the counterfactual prompt has {len(reference[0])} tokens and the prompt {self.n_tokens}. Each state "
                "is replaced by the one at the same position.",
                advice="Make them equally long in tokens.",
            )

    @property
    def is_exact(self) -> bool:
        """Whether the values are exact effects, not estimates."""
        return METHODS[self.method].exact

    @property
    def unit(self) -> str:
        """The unit of the metric and so of influence."""
        return self.metric.unit

    @property
    def default_baseline(self) -> str:
        """The kind of baseline of a layer, unless it proves to be a shock there."""
        if self.baseline.kind != "auto":
            return self.baseline.kind
        return "mean" if self.n_tokens >= 3 or self.baseline.reference else "zero"

    def draws_of(self, baseline: str) -> int:
        """Number of draws that effects under a kind of baseline are averaged over."""
        return self.draws if baseline == "resample" else 1

    @property
    def site_name(self) -> str:
        """The site, and the head if one is chosen."""
        return self.site if self.head is None else f"{self.site}, head {self.head}"

    @property
    def n_tokens(self) -> int:
        """``T``, the number of tokens in the prompt."""
        return len(self.token_ids)

    @property
    def n_targets(self) -> int:
        """Number of targets ``t = 1 .. n_targets``.

        The last is ``T - 1`` if the metric needs the actual token, else ``T``, the token after the prompt.
        """
        return self.n_tokens - 1 if self.metric.needs_actual_token else self.n_tokens


def check_layers(layers: object, n_layers: int) -> tuple[int, ...]:
    """Turn an argument ``layers`` (None, a number, or several) into layer numbers.

    Args:
        layers: ``None`` for all, one layer, or an iterable of layers. Negative numbers count from the last.
        n_layers: Number of layers of the model.

    Raises:
        QueryError: if one is not a whole number or not in the model.
    """
    if layers is None:
        return tuple(range(n_layers))
    items = [layers] if isinstance(layers, (int, str)) or not hasattr(layers, "__iter__") else list(layers)
    if not items:
        raise QueryError("layers", "it is empty.", advice="Name at least one layer, or leave it out for all of them.")
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

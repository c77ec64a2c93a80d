"""The facts of each method, metric, baseline and site, stated once.

Checks, the tables of ``docs/combinations.md``, and the labels and sentences of the page are made from these entries.
The arithmetic is in ``compute``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from typing_extensions import TypedDict


@dataclass(frozen=True)
class MethodFacts:
    """A way to measure influence.

    Attributes:
        exact: Whether its values are exact effects; otherwise they are estimates.
        filled_by: Whether one task computes rows (cells with all their targets) or columns (targets with all their
            sources). A key of ``schedule.parts.FILLINGS``.
        by_gradient: Whether it takes gradients at the unchanged prompt, so that no layer is prepared.
        signed: Whether a value may be negative.
        has_error: Whether each value comes with its error, the variable ``error`` of the map.
    """

    exact: bool
    filled_by: Literal["rows", "columns"]
    by_gradient: bool = False
    signed: bool = True
    has_error: bool = False


METHODS: Mapping[str, MethodFacts] = {
    "ablation": MethodFacts(exact=True, filled_by="rows"),
    "gradient": MethodFacts(exact=False, filled_by="columns", by_gradient=True),
    "energy": MethodFacts(exact=False, filled_by="columns", by_gradient=True, signed=False),
}


class Words(TypedDict):
    """How values of a metric are explained on the page.

    The page fills in ``{metric}``, ``{quantity}`` (the metric, with its unit in brackets), ``{token}`` (the predicted
    one) and ``{amount}`` (the influence, with its unit).

    Attributes:
        positive: The meaning of a positive value.
        negative: The meaning of a negative value.
        row: The meaning of the numbers in a token's row.
        column: The meaning of the numbers in a token's column.
        low: The label of the colour scale's negative end.
        high: The label of its positive end if targets are coloured.
        high_of_sources: The label of its positive end if sources are coloured.
    """

    positive: str
    negative: str
    row: str
    column: str
    low: str
    high: str
    high_of_sources: str


LEVEL = Words(
    positive="Removing this state lowers the {metric} at {token} by {amount}.",
    negative="Removing this state raises the {metric} at {token} by {amount}.",
    row="how much {quantity} falls there if this state is removed",
    column="how much {quantity} falls here if that state is removed",
    low="raised by removal",
    high="lowered by removal",
    high_of_sources="lowered by removal",
)
LIKELIHOOD = Words(
    positive="Removing this state makes {token} less likely by {amount}.",
    negative="Removing this state makes {token} more likely by {amount}.",
    row="nats lost at that token if this state is removed",
    column="nats it loses if that state is removed",
    low="removal would help",
    high="needed here",
    high_of_sources="needed there",
)
DIVERGENCE = Words(
    positive="Removing this state moves the prediction of {token} by {amount} (Kullback–Leibler divergence).",
    negative="",
    row="how far, in nats, the prediction there moves if this state is removed",
    column="how far, in nats, its prediction moves if that state is removed",
    low="",
    high="moved by removal",
    high_of_sources="moved by removal",
)


@dataclass(frozen=True)
class MetricFacts:
    """A scalar of a prediction.

    Attributes:
        unit: The unit of the metric and so of influence; may be empty.
        choices: The numbers of tokens that a user may name, each with the label of that choice in the page's editor.
        of_token: Whether it scores one token. This is the actual next one if the user names none.
        divergence: Whether influence is how far a prediction moves, and so never negative.
        differentiable: Whether its gradient at the unchanged prompt is informative.
        short: The label if no token is named; by default the name.
        named: The label if tokens are named.
        words: How its values are explained if no token is named.
    """

    unit: str
    choices: Mapping[int, str]
    of_token: bool = False
    divergence: bool = False
    differentiable: bool = True
    short: str = ""
    named: str = "{name} of {tokens}"
    words: Words = field(default_factory=lambda: LEVEL, repr=False, hash=False)


METRICS: Mapping[str, MetricFacts] = {
    "logprob": MetricFacts(
        "nats",
        {0: "log-probability of the actual token", 1: "log-probability of a token I name"},
        of_token=True,
        short="log p",
        words=LIKELIHOOD,
    ),
    "logit": MetricFacts("logits", {0: "logit of the actual token", 1: "logit of a token I name"}, of_token=True),
    "centred_logit": MetricFacts(
        "logits", {0: "centred logit of the actual token", 1: "centred logit of a token I name"}, of_token=True
    ),
    "contrast": MetricFacts("logits", {2: "contrast of two tokens (logits)"}, named="contrast {tokens}"),
    "entropy": MetricFacts("nats", {0: "entropy of the prediction"}),
    "kl": MetricFacts(
        "nats", {0: "KL divergence of the prediction"}, divergence=True, differentiable=False, words=DIVERGENCE
    ),
}
OF_A_FUNCTION = MetricFacts("", {})  # of a user's own function


@dataclass(frozen=True)
class BaselineFacts:
    """A kind of baseline.

    Attributes:
        choice: The label of this choice in the page's editor.
        note: What "removed" means with it.
        reference: The other prompts that it uses: any number of texts (optional), or exactly one prompt.
        stand_in: The sentence, after "At layer 12", for a layer where it stands in for a baseline that is a shock.
        short_stand_in: The same for the legend.
    """

    choice: str
    note: str = ""
    reference: Literal["", "texts", "prompt"] = ""
    stand_in: str = ""
    short_stand_in: str = ""


BASELINES: Mapping[str, BaselineFacts] = {
    "auto": BaselineFacts("automatic: mean, unless a shock", reference="texts"),
    "mean": BaselineFacts(
        "mean state of the layer", "Removed: replaced by the mean state of this layer.", reference="texts"
    ),
    "zero": BaselineFacts("zero", "Removed: replaced by zero."),
    "resample": BaselineFacts(
        "another token’s state (resample)",
        "Removed: replaced by another token’s state of this layer (resample).",
        reference="texts",
        stand_in="the mean state is itself a shock to the model, so another token’s state is used instead (resample).",
        short_stand_in="flawed mean: resampled instead",
    ),
    "counterfactual": BaselineFacts(
        "state of another prompt (counterfactual)",
        "Removed: replaced by another prompt’s state at the same position (counterfactual).",
        reference="prompt",
    ),
}


@dataclass(frozen=True)
class SiteFacts:
    """Where in a block states are read and overwritten.

    Attributes:
        by_head: Whether a single key-value head can be chosen.
    """

    by_head: bool = False


RESIDUAL = "residual"
SITES: Mapping[str, SiteFacts] = {
    RESIDUAL: SiteFacts(),
    "attention_output": SiteFacts(),
    "mlp_output": SiteFacts(),
    "key": SiteFacts(by_head=True),
    "value": SiteFacts(by_head=True),
}

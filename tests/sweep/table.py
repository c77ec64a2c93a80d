"""The sweep's result as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import transformers

from tests.architectures import EVERY_TYPE
from tests.sweep.expected import LEFT_OUT
from tests.sweep.outcome import OUTCOMES, SITES, Outcome

COLUMNS = ("architecture", "outcome", "strategy", "sites", "trial, s", "what")


def _what(outcome: Outcome) -> str:
    """What is wrong, crashes or is refused; in few words."""
    parts = [outcome.aborts] if outcome.aborts else []
    parts += [f"{check} off by {outcome.deviations[check]:.1g}" for check in outcome.wrong]
    parts += [f"{check} raises {error}" for check, error in outcome.crashed.items()]
    parts += [
        f"{check}: {text.splitlines()[0]}"
        for check, text in outcome.refused.items()
        if check not in SITES or "layout says" in text
    ]
    return "; ".join(part for part in parts if part).replace("|", "/")


def _cells(outcome: Outcome) -> list[str]:
    sites = "".join(f"{site} " for site in SITES if site in outcome.sites).strip()
    strategies = " ".join(dict.fromkeys(outcome.strategies.values()))
    return [outcome.name, outcome.kind, strategies, sites, f"{outcome.trial_s:.2f}", _what(outcome)]


def line_of(outcome: Outcome) -> str:
    """One line for a terminal."""
    return " | ".join([*_cells(outcome), f"{outcome.seconds:.1f} s"])


def table_of(outcomes: Sequence[Outcome]) -> str:
    """The table as Markdown."""
    count = Counter(outcome.kind for outcome in outcomes)
    rows = sorted(outcomes, key=lambda outcome: (OUTCOMES.index(outcome.kind), outcome.name))
    lines = [
        f"transformers {transformers.__version__}: {len(EVERY_TYPE)} causal language models, {len(LEFT_OUT)} left out, "
        f"{len(outcomes)} built small: " + ", ".join(f"{count[kind]} {kind}" for kind in OUTCOMES if count[kind]) + ".",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|" + " --- |" * len(COLUMNS),
        *(f"| {' | '.join(_cells(outcome))} |" for outcome in rows),
        "",
        "Left out:",
        "",
        *(f"- `{name}`: {reason}" for name, reason in LEFT_OUT.items()),
        "",
    ]
    return "\n".join(lines)

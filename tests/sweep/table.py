"""The sweep's result as text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import transformers

from tests.architectures import EVERY_TYPE, VARIANTS
from tests.sweep.expected import LEFT_OUT
from tests.sweep.outcome import SITES, Outcome

INTRODUCTION = """# Architectures

Written by `make sweep`. It builds each causal language model of transformers {version} with a small configuration and
random weights, and compares it with plain hooks that share no code with the package: ablation with two baselines, `kl`,
gradients, direct effects, each site, bfloat16. {right} of {built} are right. The others are refused with the reason
below. {left} of transformers' {all} entries are left out.

A model finds its parts and sites in one forward pass, so an architecture that is not listed may work as well. The first
prompt is checked against full forward passes; see *Execution strategies* in [ARCHITECTURE.md](../ARCHITECTURE.md).

The residual stream is a site of each. Of the other sites, *A* is `"attention_output"`, *M* `"mlp_output"`, *K* `"key"`
and *V* `"value"`. `suffix` is the fastest strategy, `full` the slowest.
"""
LETTERS = dict(zip(SITES, "AMKV", strict=True))


def _problems(outcome: Outcome) -> str:
    """What is wrong, crashes or is refused; in few words."""
    parts = [outcome.aborts] if outcome.aborts else []
    parts += [f"{check} off by {outcome.deviations[check]:.1g}" for check in outcome.wrong]
    parts += [f"{check} raises {error}" for check, error in outcome.crashed.items()]
    parts += [text.splitlines()[0] for check, text in outcome.refused.items() if check not in SITES]
    return "; ".join(part for part in parts if part).replace("|", "/")


def line_of(outcome: Outcome) -> str:
    """One line for a terminal."""
    strategies = ", ".join(f"{use}: {strategy}" for use, strategy in outcome.strategies.items())
    known = f"{outcome.name} | {outcome.kind} | {_sites(outcome)} | {strategies} | trial {outcome.trial_s:.2f} s"
    return f"{known} | {_problems(outcome)} | {outcome.seconds:.1f} s"


def _sites(outcome: Outcome) -> str:
    return "".join(letter for site, letter in LETTERS.items() if site in outcome.sites)


def row_of(outcome: Outcome) -> str:
    """The part of a row that is the same on each machine."""
    return f"| {outcome.name} | {_sites(outcome)} |"


def page_of(outcomes: Sequence[Outcome]) -> str:
    """The page of the documentation."""
    count = Counter(outcome.kind for outcome in outcomes)
    ordered = sorted(outcomes, key=lambda outcome: outcome.name)
    introduction = INTRODUCTION.format(
        version=transformers.__version__,
        right=count["right"],
        built=len(outcomes),
        left=len(LEFT_OUT),
        all=len(EVERY_TYPE),
    )
    right = [
        f"{row_of(outcome)} {outcome.strategies['ablation residual']} | {outcome.strategies['direct residual']} |"
        for outcome in ordered
        if outcome.kind == "right"
    ]
    others = [f"| {outcome.name} | {_reason(outcome)} |" for outcome in ordered if outcome.kind != "right"]
    left_out = [f"| {name} | {reason} |" for name, reason in LEFT_OUT.items()]
    variants = ", ".join(f"{name!r}" for name in VARIANTS)
    return "\n".join(
        [
            introduction,
            "| `model_type` | sites | strategy | strategy of direct effects |",
            "| --- | --- | --- | --- |",
            *right,
            "",
            f"Names with a comma are variants of a configuration: {variants}.",
            "",
            "## Refused",
            "",
            "| `model_type` | reason |",
            "| --- | --- |",
            *others,
            "",
            "## Left out",
            "",
            "| `model_type` | reason |",
            "| --- | --- |",
            *left_out,
            "",
        ]
    )


def _reason(outcome: Outcome) -> str:
    """The reason for a refusal, without the advice."""
    return re.split(r"(?<=\.) (?:Choose|If these|Influence)", _problems(outcome))[0]

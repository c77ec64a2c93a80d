"""A map and its query as the browser reads them: plain lists, dicts, numbers and texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon_widget.controller.listener import Status
from horizon_widget.errors import QueryError
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.metric import FUNCTION
from horizon_widget.models.model import Model
from horizon_widget.query import Query
from horizon_widget.statistics import STATISTICS
from horizon_widget.tokens import tell_apart


def describe_tokens(hmap: HorizonMap) -> list[dict[str, Any]]:
    """Text, piece of a character and number of the word, of each token; its id where another one looks the same."""
    words = [number for number, word in enumerate(hmap.words) for _ in range(word.start, word.stop)]
    looks = [f"{token.piece} {token.text}" for token in hmap.tokens]
    names = tell_apart([token.id for token in hmap.tokens], looks)
    return [
        {
            "text": token.text,
            "piece": None if token.piece is None else list(token.piece),
            "id": None if name == look else token.id,
            "word": word,
        }
        for token, word, look, name in zip(hmap.tokens, words, looks, names, strict=True)
    ]


def describe_query(hmap: HorizonMap) -> dict[str, Any]:
    """What the values are: the kind of the metric, and all the rest as shown."""
    attrs, metric = hmap.dataset.attrs, hmap.query.metric
    shown = {name: attrs[name] for name in ("method", "metric", "unit", "site")} | {"exact": bool(attrs["exact"])}
    return shown | {"kind": metric.name, "actual": metric.needs_actual_token}


def describe_metric(model: Model, query: Query) -> list[str]:
    """The metric's name, and the names of its tokens; of a function, the name it has in Python."""
    metric = query.metric
    if metric.name == FUNCTION:
        return [FUNCTION, metric.label or FUNCTION]
    return [metric.name, *(model.vocabulary.name(token) for token in metric.tokens)]


def describe_baseline(given: object, query: Query) -> list[str] | None:
    """The baseline's kind, and the other prompt of a counterfactual; ``None`` where only Python can say it.

    Args:
        given: As the user wrote it.
        query: What it came to.
    """
    if isinstance(given, (tuple, list)) and len(given) == 2 and given[0] == "counterfactual":
        return ["counterfactual", given[1]] if isinstance(given[1], str) else None
    replaced = query.baseline
    return None if replaced.reference or replaced.layers else [replaced.kind]


def is_just_text(model: Model, prompt: str, query: Query) -> bool:
    """Whether a prompt's text alone gives the tokens that are asked about."""
    try:
        return model.tokenize(prompt) == query.token_ids
    except QueryError:
        return False


def describe_asked(
    model: Model, query: Query, *, metric: list[str], baseline: list[str] | None, is_text: bool
) -> dict[str, Any]:
    """What a new map would be asked with: the arguments of ``attribute``.

    Args:
        model: Whose states are asked about.
        query: The question.
        metric: From ``describe_metric``.
        baseline: From ``describe_baseline``.
        is_text: Whether the prompt is just its text; else its tokens are given.
    """
    return {
        "metric": metric,
        "baseline": baseline,
        "site": query.site,
        "head": query.head,
        "seed": query.seed,
        "draws": query.draws,
        "token_ids": None if is_text else list(query.token_ids),
        "model": model.loaded_as,
        "remote": model.remote,
    }


def describe_statistics(hmap: HorizonMap) -> list[dict[str, Any]]:
    """What tokens can be coloured by."""
    window = hmap.window or 1
    return [
        {
            "name": statistic.name,
            "label": statistic.label,
            "unit": hmap.unit_of(statistic),
            "low": statistic.low,
            "high": None if statistic.high is None else statistic.high(window),
            "description": statistic.description,
        }
        for statistic in STATISTICS
    ]


def describe_layers(hmap: HorizonMap) -> list[dict[str, Any]]:
    """Baseline, shock, noise floor and number of computed sources of each layer."""
    dataset = hmap.dataset
    return [
        {
            "baseline": baseline or None,
            "shock": bool(shock),
            "noise_floor": float(floor) if np.isfinite(floor) else None,
            "n_done": int(n_done),
        }
        for baseline, shock, floor, n_done in zip(
            dataset["baseline"].values.tolist(),
            dataset["baseline_shock"].values,
            dataset["noise_floor"].values,
            hmap.done.sum(axis=1),
            strict=True,
        )
    ]


def describe_sinks(hmap: HorizonMap) -> list[int]:
    """Positions of attention sinks; none before the prompt has run."""
    return [int(position) for position in np.flatnonzero(hmap.dataset["sink"].values)]


def describe_progress(status: Status) -> dict[str, Any]:
    """What is being computed, and how far it is."""
    seconds = status.seconds_left
    return {
        "task": status.task,
        "done": round(status.done, 4),
        "seconds_left": None if seconds is None else round(seconds, 1),
        "filling": status.filling,
        "host": status.host,
    }

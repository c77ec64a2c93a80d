"""A map as a page reads it: plain lists, dicts, numbers and texts. Needs no widget and no model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from horizon_widget.question.facts import BASELINES, METRICS
from horizon_widget.question.tokens import tell_apart
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.result.statistics import STATISTICS


def describe(hmap: HorizonMap) -> dict[str, Any]:
    """What a map is, by the names of the widget's traits; its values are in ``hmap.values`` and ``statistics_of``."""
    return {
        "tokens": describe_tokens(hmap),
        "n_targets": hmap.query.n_targets,
        "n_layers": hmap.n_layers,
        "query": describe_query(hmap),
        "window": hmap.window,
        "statistics": describe_statistics(hmap),
        **describe_progress(hmap),
    }


def describe_progress(hmap: HorizonMap) -> dict[str, Any]:
    """The part of ``describe`` that changes while a map is filled."""
    return {"layer_info": describe_layers(hmap), "sinks": describe_sinks(hmap)}


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
    """What the values are, as far as it is shown."""
    attrs, metric = hmap.dataset.attrs, hmap.query.metric
    shown = {name: attrs[name] for name in ("method", "metric", "unit", "site")} | {"exact": bool(attrs["exact"])}
    return shown | {
        "short_metric": metric.short,
        "divergence": metric.facts.divergence,
        "words": asdict(metric.words),
    }


def describe_offer() -> dict[str, Any]:
    """What metrics and baselines can be chosen on a page."""
    return {
        "metrics": [
            {"name": name, "n_tokens": n_tokens, "label": label}
            for name, facts in METRICS.items()
            for n_tokens, label in facts.choices.items()
        ],
        "baselines": [
            {
                "name": name,
                "label": facts.choice,
                "note": facts.note,
                "needs_prompt": facts.needs_prompt,
                "stand_in": facts.stand_in,
                "short_stand_in": facts.short_stand_in,
            }
            for name, facts in BASELINES.items()
        ],
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
    """Baseline, shock, whether that was replaced, noise floor and number of computed sources of each layer."""
    dataset = hmap.dataset
    return [
        {
            "baseline": baseline or None,
            "shock": bool(shock),
            "replaced": bool(shock and BASELINES[baseline].stand_in),
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

"""A map as plain lists, dicts, numbers and texts for a page. Needs no widget and no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import TypedDict

from horizon_widget.question.facts import BASELINES, METHODS, METRICS, Words
from horizon_widget.question.tokens import tell_apart
from horizon_widget.result.statistics import STATISTICS

if TYPE_CHECKING:
    from horizon_widget.result.horizon_map import HorizonMap

LITTLE_ENDIAN_FLOAT32 = np.dtype("<f4")


class Token(TypedDict):
    """A token of the prompt.

    Attributes:
        piece: [k, n] for the k-th of the n tokens that share a character; else null.
        id: Its number in the vocabulary if a different token of the prompt has the same text; else null.
        word: The number of its word.
    """

    text: str
    piece: list[int] | None
    id: int | None
    word: int


class Query(TypedDict):
    """The question that the values answer.

    Attributes:
        exact: Whether the values are exact effects, not estimates.
        short_metric: A short label of the metric.
        divergence: Whether influence is how far a prediction moves, and so never negative.
    """

    method: str
    exact: bool
    metric: str
    short_metric: str
    unit: str
    divergence: bool
    words: Words
    site: str


class Asked(TypedDict):
    """What a new map would be asked with: the arguments of ``attribute``.

    Attributes:
        metric: Its name, and the tokens it names; or a label where only Python can say it.
        baseline: Its kind, and the other prompt where it needs one; null where only Python can say it.
        token_ids: Where the prompt is not just the text: its tokens.
        model: The argument of ``load_model``; null where the model was in memory.
        remote: Whether it runs on another machine.
    """

    metric: list[str]
    baseline: list[str] | None
    site: str
    head: int | None
    seed: int
    draws: int
    token_ids: list[int] | None
    model: str | None
    remote: bool


class OfferedMetric(TypedDict):
    """A metric that can be chosen.

    Attributes:
        n_tokens: Number of tokens that the reader names.
    """

    name: str
    n_tokens: int
    label: str


class OfferedBaseline(TypedDict):
    """A baseline that can be chosen.

    Attributes:
        note: What "removed" means with it.
        needs_prompt: Whether the reader gives another prompt with it.
        stand_in: The sentence, after "At layer 12", for a layer where it stands in for a baseline that is a shock.
        short_stand_in: The same for the legend.
    """

    name: str
    label: str
    note: str
    needs_prompt: bool
    stand_in: str
    short_stand_in: str


class Offered(TypedDict):
    """The metrics and baselines that can be chosen. The first of each is the default."""

    metrics: list[OfferedMetric]
    baselines: list[OfferedBaseline]


class Statistic(TypedDict):
    """A quantity that tokens can be coloured by.

    Attributes:
        high: The upper end of the scale; null for the greatest value of the layer.
    """

    name: str
    label: str
    unit: str
    low: float
    high: float | None
    description: str


class Layer(TypedDict):
    """The progress of a layer.

    Attributes:
        baseline: Null before the layer is prepared.
        shock: Whether the mean state of the layer is itself a shock to the model.
        replaced: Whether another baseline stands in for one that is a shock.
        noise_floor: Null before the layer is prepared.
        n_done: The number of computed sources.
    """

    baseline: str | None
    shock: bool
    replaced: bool
    noise_floor: float | None
    n_done: int


class Rows(TypedDict):
    """Finished rows of one layer; their values are in two buffers."""

    layer: int
    sources: list[int]
    n_targets: int


def describe(hmap: HorizonMap) -> dict[str, Any]:
    """A map without its values, by the names of the widget's traits. ``all_rows`` has the values."""
    return {
        "model_name": hmap.dataset.attrs.get("model", ""),
        "tokens": describe_tokens(hmap),
        "n_targets": hmap.query.n_targets,
        "n_layers": hmap.n_layers,
        "query": describe_query(hmap),
        "offered": describe_offer(),
        "asked": describe_asked(hmap),
        "window": hmap.window,
        "statistics": describe_statistics(hmap),
        **describe_progress(hmap),
    }


def describe_progress(hmap: HorizonMap) -> dict[str, Any]:
    """The part of ``describe`` that changes while a map is filled."""
    return {"layer_info": describe_layers(hmap), "sinks": describe_sinks(hmap)}


def describe_tokens(hmap: HorizonMap) -> list[Token]:
    """The tokens of the prompt."""
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


def describe_query(hmap: HorizonMap) -> Query:
    """The question that the values answer, as far as it is shown."""
    query, metric = hmap.query, hmap.query.metric
    return {
        "method": query.method,
        "exact": query.is_exact,
        "metric": str(metric),
        "short_metric": metric.short,
        "unit": query.unit,
        "divergence": metric.facts.divergence or not METHODS[query.method].signed,
        "words": metric.words,
        "site": query.site_name,
    }


def describe_asked(hmap: HorizonMap) -> Asked:
    """What a map like this one would be asked with, as far as the map alone can tell."""
    query, metric, baseline = hmap.query, hmap.query.metric, hmap.query.baseline
    return {
        "metric": [metric.name, metric.label or metric.name] if metric.is_function else [str(metric)],
        "baseline": None if baseline.reference or baseline.layers else [baseline.kind],
        "site": query.site,
        "head": query.head,
        "seed": query.seed,
        "draws": query.draws,
        "token_ids": list(query.token_ids),
        "model": None,
        "remote": False,
    }


def describe_offer() -> Offered:
    """The metrics and baselines that can be chosen on a page."""
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
                "needs_prompt": facts.reference == "prompt",
                "stand_in": facts.stand_in,
                "short_stand_in": facts.short_stand_in,
            }
            for name, facts in BASELINES.items()
        ],
    }


def describe_statistics(hmap: HorizonMap) -> list[Statistic]:
    """The quantities that tokens can be coloured by."""
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


def describe_layers(hmap: HorizonMap) -> list[Layer]:
    """The progress of each layer."""
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
    """Positions of attention sinks; empty before the prompt has run."""
    return [int(position) for position in np.flatnonzero(hmap.dataset["sink"].values)]


def rows(hmap: HorizonMap, layer: int, sources: Sequence[int]) -> tuple[Rows, list[memoryview]]:
    """Finished rows of one layer.

    Args:
        hmap: The map.
        layer: Their layer.
        sources: Their positions.

    Returns:
        What they are, and two buffers of little-endian float32: influence, shape ``(len(sources), n_targets)``, and
        statistics, shape ``(n_statistics, len(sources))``, NaN where there is no value.
    """
    positions = [int(source) for source in sources]
    arrays = hmap.values.values[layer, positions], hmap.statistics_of(layer, positions)
    buffers = [np.ascontiguousarray(array, dtype=LITTLE_ENDIAN_FLOAT32).data.cast("B") for array in arrays]
    return {"layer": layer, "sources": positions, "n_targets": hmap.query.n_targets}, buffers


def all_rows(hmap: HorizonMap) -> Iterator[tuple[Rows, list[memoryview]]]:
    """All rows that are computed so far, layer by layer."""
    for layer in np.flatnonzero(hmap.dataset["baseline"].values != ""):
        sources = np.flatnonzero(hmap.done[layer])
        if len(sources):
            yield rows(hmap, int(layer), sources.tolist())

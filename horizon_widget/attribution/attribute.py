"""``attribute``: a map in one call."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm

from horizon_widget.attribution.engine import Engine, compute
from horizon_widget.attribution.plan import Interest, bisecting, wanted
from horizon_widget.errors import QueryError
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.models.model import Model
from horizon_widget.query import Query, check_layers

ENGINES_KEPT = 4


class AttributionInterrupted(KeyboardInterrupt):
    """``attribute`` was stopped; what was finished is in ``map``, and the same call goes on from there."""

    def __init__(self, horizon_map: HorizonMap) -> None:
        super().__init__(f"Stopped. Finished rows are kept: the same call goes on from there ({horizon_map!r}).")
        self.map = horizon_map


def attribute(
    model: Model,
    prompt: str,
    *,
    layers: Any = None,
    method: str = "ablation",
    metric: str = "logprob",
    baseline: str = "auto",
    site: str = "residual",
    seed: int = 0,
    progress: bool = True,
) -> HorizonMap:
    """How much each state matters for each later prediction: ``A[layer, source, target]``.

    Args:
        model: From ``load_model``.
        prompt: A text of at least two tokens.
        layers: Which layers to compute: a number, several, or ``None`` for all. Negative numbers count from the last.
        method: ``"ablation"``: ``A = m[j](h) - m[j](h with h[layer, source] := b)``, exact.
        metric: ``m[j]``: ``"logprob"``, log p of the actual next token in nats.
        baseline: ``b``: ``"mean"``, ``"zero"``, ``"resample"``, or ``"auto"``: the mean, but ``"zero"`` for two tokens
            and ``"resample"`` at layers where the mean itself disturbs every prediction (noted in the map).
        site: ``"residual"``: the state entering a block.
        seed: Of the draws of ``"resample"``.
        progress: Whether to show a progress bar.

    Returns:
        The map, a copy of its own; layers not asked for are NaN.

    Raises:
        QueryError: if an argument is wrong, naming it.
        ModelError: if the model cannot be entered half-way, or its values are not finite.
        AttributionInterrupted: when stopped, with the finished rows; a ``KeyboardInterrupt``.
    """
    check_model(model)
    chosen = set(check_layers(layers, model.n_layers))
    query = Query(model.tokenize(prompt), method=method, metric=metric, baseline=baseline, site=site, seed=seed)
    engine = engine_for(model, query)
    order = [layer for layer in bisecting(model.n_layers) if layer in chosen]
    interest = Interest(layer=order[0], layers=order)

    def missing() -> float:
        return engine.cost.missing(wanted(engine.map.done, interest))

    total = max(missing(), 1.0)
    bar_format = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"
    with tqdm(total=total, disable=not progress, bar_format=bar_format) as bar:
        try:
            for part in compute(engine, interest):
                bar.set_description_str(f"layer {part.layer}", refresh=False)
                bar.update(total - missing() - bar.n)
        except KeyboardInterrupt:
            raise AttributionInterrupted(engine.map.snapshot(order)) from None
        bar.update(total - bar.n)
    return engine.map.snapshot(order)


def check_model(model: object) -> None:
    """Refuse what was not made by ``load_model``.

    Raises:
        QueryError: naming what it is instead.
    """
    if not isinstance(model, Model):
        raise QueryError("model", f"a {type(model).__name__} is not a loaded model.", advice="Use hw.load_model(…).")


def engine_for(model: Model, query: Query) -> Engine:
    """The model's engine for this query: the last few are kept, so that a repeated question goes on where it was."""
    engines = model.kept.setdefault("engines", {})
    engine = engines.pop(query, None) or Engine(model, query)
    engines[query] = engine
    while len(engines) > ENGINES_KEPT:
        engines.pop(next(iter(engines)))
    return engine

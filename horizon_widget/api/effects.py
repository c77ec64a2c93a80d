"""Effects of a few states: replaced together, direct and indirect, or under several baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from horizon_widget.compute.findings import SENSITIVITY_BASELINES, Cell
from horizon_widget.errors import OutdatedError, QueryError
from horizon_widget.models.model import Model
from horizon_widget.question.query import Query, check_index, check_layers
from horizon_widget.question.reading import query_of, read_positions
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.schedule.engine import Engine, exact_engine_for

if TYPE_CHECKING:
    import pandas as pd


def ablate_together(model: Model, prompt: Any, cells: Any, *, targets: Any = None, **arguments: Any) -> xr.DataArray:
    """Exact influence of several states replaced at once, on each later prediction.

    The effect of replacing states together is not the sum of their effects. If one state can stand in for another, each
    alone may matter little and both together much.

    Args:
        model: A model from ``load_model``.
        prompt: As for ``attribute``; a map also gives its query.
        cells: Several pairs (layer, source); a span of positions is ``[(layer, i) for i in range(a, b)]``.
        targets: The targets ``t``; all by default.
        **arguments: ``metric``, ``baseline``, ``site``, ``head``, ``seed``, ``draws`` as for ``attribute``.

    Returns:
        Influence of shape (target,), in the metric's unit; 0 if no source is before the target.

    Raises:
        QueryError: if an argument is wrong, naming it.
    """
    query = query_of(model, prompt, arguments)
    chosen = _read_cells(cells, model, query)
    wanted = _targets(targets, query)
    engine = exact_engine_for(model, query)

    together = engine.run("together", cells=chosen, targets=wanted)
    attrs = {"unit": query.unit, "cells": str(chosen), "baseline": str(query.baseline)}
    return xr.DataArray(together, dims="target", coords=_target_coords(engine, wanted), name="influence", attrs=attrs)


def direct(model: Model, prompt: Any, layer: int, sources: Any, *, targets: Any = None, **arguments: Any) -> xr.Dataset:
    """The direct and the indirect part of an exact effect.

    ``direct`` is the effect when the source's own later states follow and all positions except the source and the
    predicting one are held at their clean states. ``indirect`` is the rest, through other tokens. Either may be
    negative or exceed the total.

    Args:
        model: A model from ``load_model``.
        prompt: As for ``attribute``; a map also gives its query.
        layer: The layer of the states.
        sources: One position or several; ``None`` for all.
        targets: The targets ``t``; all by default.
        **arguments: ``metric``, ``baseline``, ``site``, ``head``, ``seed``, ``draws`` as for ``attribute``.

    Returns:
        ``total``, ``direct`` and ``indirect``, each (source, target), in the metric's unit.

    Raises:
        QueryError: if an argument is wrong, naming it.
    """
    query = query_of(model, prompt, arguments)
    layer = check_index("layer", layer, model.n_layers, allow_negative=True)
    positions = read_positions("sources", sources, query) or tuple(range(query.n_tokens))
    wanted = _targets(targets, query)
    engine = exact_engine_for(model, query)
    cells = [(layer, source) for source in positions]

    total, direct_part = engine.run("total_and_direct", cells=cells, targets=wanted)
    dims = ("source", "target")
    attrs = {"unit": query.unit, "layer": layer, "baseline": str(query.baseline)}
    return xr.Dataset(
        {"total": (dims, total), "direct": (dims, direct_part), "indirect": (dims, total - direct_part)},
        coords={"source": list(positions), **_target_coords(engine, wanted)},
        attrs=attrs,
    )


def direct_links(
    model: Model, hmap: HorizonMap, n: int = 20, *, layers: Any = None, least_offset: int = 2, sinks: bool = False
) -> pd.DataFrame:
    """The strongest links of a map, each with its direct and its indirect part; see ``direct``.

    Args:
        model: The model that the map was computed with.
        hmap: A map of exact values.
        n: Number of links.
        layers: The layers to include; all by default.
        least_offset: Smallest offset of a link. At offset 1 no token is between, and all influence is direct.
        sinks: Whether attention sinks count as sources.

    Returns:
        ``hmap.strongest_links`` with the columns ``direct`` and ``indirect``, in the metric's unit.
        ``attrs["direct_share"]`` is ``sum |direct| / (sum |direct| + sum |indirect|)`` over these links.

    Raises:
        QueryError: if the map's values are estimates.
        OutdatedError: if the model has changed since the map was computed, or is another one.
    """
    engine = exact_engine_for(model, query_of(model, hmap, {"method": hmap.query.method}))
    links = hmap.strongest_links(n, layers=layers, least_offset=least_offset, sinks=sinks)
    cells = sorted({(int(layer), int(source)) for layer, source in zip(links["layer"], links["source"], strict=True)})
    targets = tuple(range(1, engine.query.n_targets + 1))
    total, direct_part = engine.run("total_and_direct", cells=cells, targets=targets)
    row = [cells.index((layer, source)) for layer, source in zip(links["layer"], links["source"], strict=True)]
    column = links["target"].to_numpy() - 1
    scale = max(float(links["influence"].abs().max()), float(np.abs(total).max(initial=0))) if len(links) else 0.0
    difference = np.abs(total[row, column] - links["influence"].to_numpy()).max(initial=0)
    if not difference <= model.agreement * scale:
        raise OutdatedError(f"{model.name} gives other values than this map has.", advice="Compute the map anew.")
    parts = links.assign(direct=direct_part[row, column], indirect=(total - direct_part)[row, column])
    sizes = parts[["direct", "indirect"]].abs().sum()
    parts.attrs = {**links.attrs, "direct_share": float(sizes["direct"] / sizes.sum()) if len(parts) else float("nan")}
    return parts


def baseline_sensitivity(
    model: Model,
    prompt: Any,
    layer: int,
    source: int,
    target: int,
    *,
    baselines: Sequence[Any] = SENSITIVITY_BASELINES,
    **arguments: Any,
) -> xr.DataArray:
    """One cell's exact influence under several baselines, which shows how much depends on the baseline.

    Args:
        model: A model from ``load_model``.
        prompt: As for ``attribute``; a map also gives its query.
        layer: The layer of the state.
        source: The position ``i`` of the state.
        target: The position ``t`` of the predicted token, after the source.
        baselines: The baselines, each as for ``attribute``.
        **arguments: ``metric``, ``site``, ``head``, ``seed``, ``draws`` as for ``attribute``.

    Returns:
        Influence of shape (baseline,), in the metric's unit, with the least and greatest in ``attrs["range"]``.

    Raises:
        QueryError: if an argument is wrong, naming it.
    """
    if not baselines:
        raise QueryError("baselines", "it is empty.", advice=f"Use some of {', '.join(SENSITIVITY_BASELINES)}.")
    queries = [query_of(model, prompt, {**arguments, "baseline": baseline}) for baseline in baselines]
    query = queries[0]
    cell_at = (
        check_index("layer", layer, model.n_layers, allow_negative=True),
        check_index("source", source, query.n_tokens),
    )
    (wanted,) = _targets([target], query)

    engine, asked = exact_engine_for(model, query), [other.baseline for other in queries]
    cell = Cell(*cell_at, wanted)
    values = engine.run("under", baselines=asked, cell=cell)
    names = [str(baseline) for baseline in asked]
    attrs = {"unit": query.unit, "range": (min(values), max(values))}
    return xr.DataArray(values, dims="baseline", coords={"baseline": names}, name="influence", attrs=attrs)


def _read_cells(cells: Any, model: Model, query: Query) -> list[tuple[int, int]]:
    try:
        pairs = [(layer, source) for layer, source in cells]
    except (TypeError, ValueError):
        raise QueryError("cells", f"{cells!r} is not a list of (layer, source) pairs.") from None
    if not pairs:
        raise QueryError("cells", "it is empty.", advice="Name at least one (layer, source).")
    checked = {
        (check_layers([layer], model.n_layers)[0], check_index("cells", source, query.n_tokens))
        for layer, source in pairs
    }
    return sorted(checked)


def _targets(targets: Any, query: Query) -> tuple[int, ...]:
    return read_positions("targets", targets, query) or tuple(range(1, query.n_targets + 1))


def _target_coords(engine: Engine, targets: Sequence[int]) -> dict[str, Any]:
    texts = engine.map.dataset["target_token"].sel(target=list(targets)).values
    return {"target": list(targets), "target_token": ("target", texts)}

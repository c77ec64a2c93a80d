"""One cell, looked into: what the state's removal does to the prediction, by which ways, and whether that is so."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from horizon_widget.compute.findings import (
    CARRIERS_SHOWN,
    TOKENS_SHOWN,
    Carrier,
    Cell,
    Prediction,
    Verification,
)
from horizon_widget.models.model import Model
from horizon_widget.question.query import check_index
from horizon_widget.question.reading import query_of
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.schedule.engine import Engine, exact_engine_for

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def predictions(
    model: Model, prompt: Any, layer: int, source: int, target: int, *, n: int = TOKENS_SHOWN, **arguments: Any
) -> pd.DataFrame:
    """What the model predicts at a target with a state kept, and with it removed.

    Args:
        model: From ``load_model``.
        prompt: As for ``attribute``, or a map, whose query is taken.
        layer: The layer.
        source: The position ``i`` of the state.
        target: The position ``t`` of the predicted token, after the source.
        n: How many tokens: the most probable with the state and without it, in turn. The actual one comes on top.
        **arguments: ``baseline``, ``site``, ``head``, ``seed``, ``draws`` as for ``attribute``.

    Returns:
        One line for each token, the most probable first: ``token``, ``kept`` and ``removed`` (probabilities), and
        ``actual``: whether it is the prompt's own.

    Raises:
        QueryError: if an argument is wrong, naming it.
    """
    check_index("n", n, model.vocab_size + 1)
    engine, cell = _ask(model, prompt, layer, source, target, arguments)
    return _table(engine.run("predictions", cell=cell, n=n), Prediction)


def carriers(
    model: Model, prompt: Any, layer: int, source: int, target: int, *, n: int = CARRIERS_SHOWN, **arguments: Any
) -> pd.DataFrame:
    """By which heads' keys and values a state's influence leaves its position for the target.

    For each block from ``layer`` on, each key-value head, and key and value by turns: the influence on the target when
    only what this head exports at the source becomes what it is under the ablation, and all else at the source stays
    clean. Later positions follow. The values need not sum to the whole: heads fill in for each other.

    Args:
        model: From ``load_model``.
        prompt: As for ``attribute``, or a map, whose query is taken.
        layer: The layer.
        source: The position ``i`` of the state.
        target: The position ``t`` of the predicted token, after the source.
        n: How many.
        **arguments: ``metric``, ``baseline``, ``seed``, ``draws`` as for ``attribute``.

    Returns:
        One line for each, the greatest magnitude first: ``layer``, ``head``, ``site``, ``influence`` in the metric's
        unit.

    Raises:
        QueryError: if an argument is wrong, naming it; if the map is not of the residual stream, or the architecture
            has no keys and values that are known.
    """
    check_index("n", n, 10**9)
    engine, cell = _ask(model, prompt, layer, source, target, arguments)
    table = _table(engine.run("carriers", cell=cell, n=n), Carrier)
    table.attrs = {"unit": engine.query.unit, "baseline": str(engine.query.baseline)}
    return table


def verify(model: Model, prompt: Any, layer: int, source: int, target: int, **arguments: Any) -> Verification:
    """Repeat a cell's value by full, separate forward passes of the transformers model, with one hook on it.

    Nothing of the way that maps are computed is used: no partial pass, no trace, no kept keys and values. What is put
    in the state's place is the same, and so is what turns logits into the metric; off the residual stream, also what
    writes it there. A map's own value is what is compared, where it has one.

    Args:
        model: From ``load_model``.
        prompt: As for ``attribute``, or a map, whose query is taken.
        layer: The layer.
        source: The position ``i`` of the state.
        target: The position ``t`` of the predicted token, after the source.
        **arguments: ``metric``, ``baseline``, ``site``, ``head``, ``seed``, ``draws`` as for ``attribute``.

    Raises:
        QueryError: if an argument is wrong, naming it.
    """
    engine, cell = _ask(model, prompt, layer, source, target, arguments)
    given = prompt.cell(layer, source, target) if isinstance(prompt, HorizonMap) and not arguments else np.nan
    value = given if np.isfinite(given) else engine.known(cell)
    found: Verification = engine.run("verification", cell=cell, value=value)
    return found


def _ask(
    model: Model, prompt: Any, layer: int, source: int, target: int, arguments: dict[str, Any]
) -> tuple[Engine, Cell]:
    query = query_of(model, prompt, arguments)
    layer = check_index("layer", layer, model.n_layers, allow_negative=True)
    cell = Cell(layer, source, target).check(query, model.n_layers)
    return exact_engine_for(model, query), cell


def _table(lines: list[Any], kind: type) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([asdict(line) for line in lines], columns=list(kind.__dataclass_fields__))  # type: ignore[attr-defined]

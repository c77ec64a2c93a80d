"""Look into one cell: what removing the state does to the prediction, what carries the influence, and a check."""

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
    """The model's predictions at a target with a state kept, and with it removed.

    Args:
        model: A model from ``load_model``.
        prompt: As for ``attribute``; a map also gives its query.
        layer: The layer of the state.
        source: The position ``i`` of the state.
        target: The position ``t`` of the predicted token, after the source.
        n: Number of tokens: the most probable with the state and without it, in turn. The prompt's own token is added.
        **arguments: ``baseline``, ``site``, ``head``, ``seed``, ``draws`` as for ``attribute``.

    Returns:
        One line for each token, the most probable first: ``token``, ``kept`` and ``removed`` (probabilities), and
        ``actual``: whether it is the prompt's own token.

    Raises:
        QueryError: if an argument is wrong, naming it.
    """
    check_index("n", n, model.vocab_size + 1)
    engine, cell = _ask(model, prompt, layer, source, target, arguments)
    return _table(engine.run("predictions", cell=cell, n=n), Prediction)


def carriers(
    model: Model, prompt: Any, layer: int, source: int, target: int, *, n: int = CARRIERS_SHOWN, **arguments: Any
) -> pd.DataFrame:
    """The heads whose keys and values carry a state's influence from its position to the target.

    Each value is the influence on the target when one head's key, or one head's value, at the source becomes what it is
    under the ablation. All else at the source stays clean, and later positions follow. This is done for each key-value
    head of each block from ``layer`` on. The values need not sum to the total, since heads can stand in for each other.

    Args:
        model: A model from ``load_model``.
        prompt: As for ``attribute``; a map also gives its query.
        layer: The layer of the state.
        source: The position ``i`` of the state.
        target: The position ``t`` of the predicted token, after the source.
        n: Number of carriers.
        **arguments: ``metric``, ``baseline``, ``seed``, ``draws`` as for ``attribute``.

    Returns:
        One line for each carrier, the greatest magnitude first: ``layer``, ``head``, ``site``, and ``influence`` in the
        metric's unit.

    Raises:
        QueryError: if an argument is wrong, naming it; if the map is not of the residual stream, or the places of keys
            and values in the architecture are not known.
    """
    check_index("n", n, 10**9)
    engine, cell = _ask(model, prompt, layer, source, target, arguments)
    table = _table(engine.run("carriers", cell=cell, n=n), Carrier)
    table.attrs = {"unit": engine.query.unit, "baseline": str(engine.query.baseline)}
    return table


def verify(model: Model, prompt: Any, layer: int, source: int, target: int, **arguments: Any) -> Verification:
    """Verify a cell's value by separate full forward passes of the transformers model, with one hook.

    These passes use no partial pass, no trace and no cache of keys and values. They share with maps the states that
    replace the state, the arithmetic of the metric and, at sites other than the residual stream, the code that
    overwrites the module's output. If a map is given that has the value, this value is verified.

    Args:
        model: A model from ``load_model``.
        prompt: As for ``attribute``; a map also gives its query.
        layer: The layer of the state.
        source: The position ``i`` of the state.
        target: The position ``t`` of the predicted token, after the source.
        **arguments: ``metric``, ``baseline``, ``site``, ``head``, ``seed``, ``draws`` as for ``attribute``.

    Returns:
        The value, the reference and their difference.

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

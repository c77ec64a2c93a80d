"""One cell, looked into: what the state's removal does to the prediction, by which ways, and whether that is so."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from horizon_widget.attribution.ablation_engine import AblationEngine
from horizon_widget.attribution.ask import exact_engine_for, query_of
from horizon_widget.attribution.findings import (
    ASPECTS,
    CARRIERS_SHOWN,
    TOKENS_SHOWN,
    Carrier,
    Cell,
    Prediction,
    Steps,
    Verification,
)
from horizon_widget.errors import ModelError, QueryError
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.models.model import Model
from horizon_widget.query import check_index

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


# -- for the user ------------------------------------------------------------------------------------------------------


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
    return _table(_run(engine, "predictions", cell=cell, n=n), Prediction)


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
    table = _table(_run(engine, "carriers", cell=cell, n=n), Carrier)
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
    value = given if np.isfinite(given) else _known(engine, cell)
    found: Verification = _run(engine, "verification", cell=cell, value=value)
    return found


def _ask(
    model: Model, prompt: Any, layer: int, source: int, target: int, arguments: dict[str, Any]
) -> tuple[AblationEngine, Cell]:
    query = query_of(model, prompt, arguments)
    layer = check_index("layer", layer, model.n_layers, allow_negative=True)
    cell = Cell(layer, source, target).check(query, model.n_layers)
    return exact_engine_for(model, query), cell


def _known(engine: AblationEngine, cell: Cell) -> float:
    """What the engine's map has of a cell; NaN: nothing yet."""
    return engine.map.cell(cell.layer, cell.source, cell.target) if engine.map.done[cell.layer, cell.source] else np.nan


def _run(engine: AblationEngine, task: str, **arguments: Any) -> Any:
    steps = engine.steps(task, **arguments)
    while True:
        ended, found = engine.model.thread.run(lambda: _step(steps))
        if ended:
            return found


def _step(steps: Steps[T]) -> tuple[bool, T | None]:
    """Whether that was the last one, and what it gave."""
    try:
        next(steps)
    except StopIteration as end:  # which must not leave the thread: a future cannot hold it
        return True, end.value
    return False, None


def _table(lines: list[Any], kind: type) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([asdict(line) for line in lines], columns=list(kind.__dataclass_fields__))  # type: ignore[attr-defined]


# -- for the widget ----------------------------------------------------------------------------------------------------


class Inspection:
    """One aspect of a cell, looked into step by step on the model thread.

    Args:
        engine: Of the map that the cell is of.
        cell: Which.
        aspect: One of ``ASPECTS``.

    Attributes:
        cell, aspect: As given.
        found: Plain lists, dicts, numbers and texts, once it is over.
    """

    def __init__(self, engine: AblationEngine, cell: Cell, aspect: str) -> None:
        self.cell, self.aspect = cell, aspect
        self.found: Any = None
        self._steps = _inspect(engine, cell, aspect)

    def step(self) -> bool:
        """Do a piece of the work, and say whether there is more to do.

        Raises:
            QueryError: if the cell is none of the map's, or the aspect cannot be had of it.
            ModelError: if a number is not finite.
        """
        ended, self.found = _step(self._steps)
        return not ended


def _inspect(engine: AblationEngine, cell: Cell, aspect: str) -> Steps[Any]:
    if aspect not in ASPECTS:
        raise QueryError("aspects", f"{aspect!r} is not offered.", advice=f"Choose from: {', '.join(ASPECTS)}.")
    arguments: dict[str, Any] = {"cell": cell.check(engine.query, engine.model.n_layers)}
    if aspect == "verification":
        arguments["value"] = _known(engine, cell)
    found = yield from engine.steps(aspect, **arguments)
    lines = found if isinstance(found, list) else [found]
    plain = [line if isinstance(line, dict) else asdict(line) for line in lines]
    for name, value in [item for line in plain for item in line.items()]:
        if isinstance(value, float) and not np.isfinite(value):
            raise ModelError(f"The {name} of this cell is not finite.", advice="Try dtype=torch.float32.")
    return plain if isinstance(found, list) else plain[0]

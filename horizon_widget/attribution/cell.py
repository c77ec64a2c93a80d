"""One cell, looked into: what the state's removal does to the prediction, by which ways, and whether that is so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from horizon_widget.attribution.ablation_engine import AblationEngine
from horizon_widget.attribution.ask import exact_engine_for, query_of
from horizon_widget.attribution.closer import ROBUSTNESS_BASELINES, influence_under, total_and_direct
from horizon_widget.attribution.metrics import Scorer
from horizon_widget.attribution.plan import Part
from horizon_widget.baseline import Baseline
from horizon_widget.errors import ModelError, QueryError
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.models import thread
from horizon_widget.models.edits import Edits
from horizon_widget.models.model import Model
from horizon_widget.models.plain import plain_logits
from horizon_widget.models.readout import FromLogits
from horizon_widget.models.sites import RESIDUAL
from horizon_widget.models.ways import exported
from horizon_widget.query import Query, check_index

if TYPE_CHECKING:
    import pandas as pd

TOKENS_SHOWN = 6
CARRIERS_SHOWN = 8


@dataclass(frozen=True)
class Cell:
    """The influence of one state on one prediction.

    Attributes:
        layer: The layer.
        source: The position ``i`` of the state.
        target: The position ``t`` of the predicted token, after the source.
    """

    layer: int
    source: int
    target: int

    def check(self, query: Query, n_layers: int) -> Cell:
        """Refuse what no map of the query has.

        Raises:
            QueryError: naming the field.
        """
        check_index("layer", self.layer, n_layers)
        check_index("source", self.source, query.n_tokens)
        check_index("target", self.target, query.n_targets + 1)
        if self.target <= self.source:
            raise QueryError(
                "target",
                f"{self.target} is not after the source, {self.source}; a state has no influence on what is before it.",
                advice="Name a later one.",
            )
        return self


@dataclass(frozen=True)
class Prediction:
    """A token that is probable at the target.

    Attributes:
        token: Its text.
        kept: Its probability on the unchanged prompt.
        removed: With the state replaced by the baseline; the mean over its draws.
        actual: Whether it is the token that follows in the prompt.
    """

    token: str
    kept: float
    removed: float
    actual: bool


@dataclass(frozen=True)
class Carrier:
    """A key-value head whose key or value at the source carries influence to the target.

    Attributes:
        layer: The block.
        head: The key-value head.
        site: ``"key"`` or ``"value"``.
        influence: Of that key or value alone, in the metric's unit.
    """

    layer: int
    head: int
    site: str
    influence: float


@dataclass(frozen=True)
class Verification:
    """A cell's value, and the same from separate forward passes.

    Attributes:
        value: The map's.
        reference: From full forward passes of the transformers model itself, with one hook.
        difference: ``value - reference``.
        passes: How many passes that took: one over the unchanged prompt, and one for each draw.
    """

    value: float
    reference: float
    difference: float
    passes: int


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
    return _table(thread.run(lambda: _predictions(engine, cell, n)), Prediction)


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
    table = _table(thread.run(lambda: _carriers(engine, cell, n)), Carrier)
    table.attrs = {"unit": engine.query.unit, "baseline": str(engine.query.baseline)}
    return table


def verify(model: Model, prompt: Any, layer: int, source: int, target: int, **arguments: Any) -> Verification:
    """Repeat a cell's value by full, separate forward passes of the transformers model, with one hook on it.

    Nothing of the way that maps are computed is used: no partial pass, no trace, no kept keys and values. What is put
    in the state's place is the same. A map's own value is what is compared, where it has one.

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
    return thread.run(lambda: _verification(engine, cell, given))


def _ask(
    model: Model, prompt: Any, layer: int, source: int, target: int, arguments: dict[str, Any]
) -> tuple[AblationEngine, Cell]:
    query = query_of(model, prompt, arguments)
    layer = check_index("layer", layer, model.n_layers, allow_negative=True)
    cell = Cell(layer, source, target).check(query, model.n_layers)
    return exact_engine_for(model, query), cell


def _table(lines: list[Any], kind: type) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([asdict(line) for line in lines], columns=list(kind.__dataclass_fields__))  # type: ignore[attr-defined]


# -- for the widget ----------------------------------------------------------------------------------------------------


def inspect(engine: AblationEngine, cell: Cell, aspect: str) -> Any:
    """One aspect of a cell, on the model thread, as plain lists, dicts, numbers and texts.

    Args:
        engine: Of the map that the cell is of.
        cell: Which.
        aspect: One of ``ASPECTS``.

    Raises:
        QueryError: if the cell is none of the map's, or the aspect cannot be had of it.
        ModelError: if a number is not finite.
    """
    if aspect not in ASPECTS:
        raise QueryError("aspects", f"{aspect!r} is not offered.", advice=f"Choose from: {', '.join(ASPECTS)}.")
    found = ASPECTS[aspect](engine, cell.check(engine.query, engine.model.n_layers))
    for line in found if isinstance(found, list) else [found]:
        for name, value in line.items():
            if isinstance(value, float) and not np.isfinite(value):
                raise ModelError(f"The {name} of this cell is not finite.", advice="Try dtype=torch.float32.")
    return found


def _direct(engine: AblationEngine, cell: Cell) -> dict[str, float]:
    whole, straight = total_and_direct(engine, [(cell.layer, cell.source)], (cell.target,))
    total, direct = float(whole[0, 0]), float(straight[0, 0])
    return {"total": total, "direct": direct, "relayed": total - direct}


def _robustness(engine: AblationEngine, cell: Cell) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for kind in ROBUSTNESS_BASELINES:
        try:
            value = influence_under(engine.experiment, Baseline(kind), (cell.layer, cell.source), cell.target)
        except QueryError:  # a prompt too short for this one
            continue
        found.append({"baseline": kind, "influence": value})
    return found


ASPECTS: dict[str, Callable[[AblationEngine, Cell], Any]] = {
    "predictions": lambda engine, cell: [asdict(line) for line in _predictions(engine, cell, TOKENS_SHOWN)],
    "direct": _direct,
    "robustness": _robustness,
    "carriers": lambda engine, cell: [asdict(line) for line in _carriers(engine, cell, CARRIERS_SHOWN)],
    "verification": lambda engine, cell: asdict(_verification(engine, cell)),
}


# -- on the model thread -----------------------------------------------------------------------------------------------


def _replacements(engine: AblationEngine, cell: Cell) -> Tensor:
    """What the cell's state is replaced by in the map, shape ``(draws, width)``."""
    kind = engine.prepare([cell.layer])[cell.layer].baseline
    draws = range(engine.query.draws if kind == "resample" else 1)
    return torch.cat([engine.states([(cell.layer, cell.source)], kind, draw) for draw in draws])


def _predictions(engine: AblationEngine, cell: Cell, n: int) -> list[Prediction]:
    states = _replacements(engine, cell)
    cells = [(cell.layer, cell.source)] * len(states)
    kept, removed = engine.experiment.probabilities(cells, states, cell.target - 1)
    ids = engine.query.token_ids
    actual = ids[cell.target] if cell.target < len(ids) else None
    chosen = _in_turn(*(torch.topk(each, min(n, len(each))).indices.tolist() for each in (kept, removed)))[:n]
    if actual is not None and actual not in chosen:
        chosen.append(actual)
    chosen.sort(key=lambda token: -float(kept[token]))
    texts = [engine.model.read_tokens([token])[0].text for token in chosen]
    return [
        Prediction(text, float(kept[token]), float(removed[token]), token == actual)
        for token, text in zip(chosen, texts, strict=True)
    ]


def _in_turn(first: list[int], second: list[int]) -> list[int]:
    return list(dict.fromkeys(item for pair in zip(first, second, strict=True) for item in pair))


def _carriers(engine: AblationEngine, cell: Cell, n: int) -> list[Carrier]:
    if engine.query.site != RESIDUAL:
        raise QueryError(
            "site",
            f"carriers are of a state entering a block, and this map is of {engine.query.site!r}.",
            advice='Use site="residual".',
        )
    states = _replacements(engine, cell)
    found = [carrier for name in ("key", "value") for carrier in _carriers_at(engine, cell, states, name)]
    return sorted(found, key=lambda carrier: -abs(carrier.influence))[:n]


def _carriers_at(engine: AblationEngine, cell: Cell, states: Tensor, name: str) -> list[Carrier]:
    """Of all heads' keys, or values, at once: copies of the prompt in which one head's alone is another."""
    model = engine.model
    site = model.site(name)
    experiment = engine.experiment.at(site)
    values = experiment.clean.site_values
    layers = range(cell.layer, model.n_layers)
    heads = range(values[0].shape[-1] // site.d_head)
    cells = [(layer, cell.source) for layer in layers for _ in heads]
    effects = []
    for state in states:
        edits = Edits([cell.layer], [cell.source], state[None])
        becomes = exported(model, experiment.clean, edits, site)
        copies = []
        for layer in layers:
            for head in heads:
                columns = slice(head * site.d_head, (head + 1) * site.d_head)
                copy = values[layer][cell.source].to(model.device, copy=True)
                copy[columns] = becomes[layer - cell.layer, columns].to(copy)
                copies.append(copy)
        effects.append(experiment.ablate(cells, torch.stack(copies), [cell.target])[:, 0])
    influence = np.mean(effects, axis=0)
    places = [(layer, head) for layer in layers for head in heads]
    return [Carrier(layer, head, name, float(value)) for (layer, head), value in zip(places, influence, strict=True)]


def _verification(engine: AblationEngine, cell: Cell, value: float = np.nan) -> Verification:
    """``value``: to be verified; NaN: what the engine's map has, or gets now."""
    model, experiment = engine.model, engine.experiment
    states = _replacements(engine, cell)
    if np.isnan(value):
        if not engine.map.done[cell.layer, cell.source]:
            engine.compute(Part(((cell.layer, cell.source),)))
        value = engine.map.cell(cell.layer, cell.source, cell.target)
    input_ids = experiment.clean.input_ids
    clean = FromLogits(plain_logits(model, input_ids))
    scorer = Scorer(engine.query.metric, input_ids[0], clean)
    copy, position = torch.zeros(1, dtype=torch.long), torch.tensor([cell.target - 1])
    unchanged = float(scorer(clean, copy, position))
    effects = []
    for state in states:
        edits = Edits([cell.layer], [cell.source], state[None])
        ablated = FromLogits(plain_logits(model, input_ids, experiment.site, edits))
        effects.append(unchanged - float(scorer(ablated, copy, position)))
    reference = float(np.mean(effects))
    return Verification(value, reference, value - reference, 1 + len(effects))

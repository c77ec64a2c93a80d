"""What can be found out about one cell, each in steps on the model thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from horizon_widget.attribution.ablation_engine import AblationEngine
from horizon_widget.attribution.closer import ROBUSTNESS_BASELINES, influence_under, total_and_direct
from horizon_widget.attribution.experiment import Array, Experiment
from horizon_widget.attribution.metrics import Scorer
from horizon_widget.attribution.plan import Part
from horizon_widget.baseline import Baseline
from horizon_widget.errors import QueryError
from horizon_widget.models.edits import Edits
from horizon_widget.models.plain import plain_logits
from horizon_widget.models.readout import FromLogits
from horizon_widget.models.sites import RESIDUAL
from horizon_widget.models.ways import exported
from horizon_widget.query import Query, check_index

T = TypeVar("T")
Steps = Generator[None, None, T]  # pieces of work, some tenths of a second each, between which one may stop

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


def direct_parts(engine: AblationEngine, cell: Cell) -> Steps[dict[str, float]]:
    """The whole influence, and its direct and relayed part; see ``closer.direct``."""
    engine.prepare([cell.layer])
    yield
    whole, straight = total_and_direct(engine, [(cell.layer, cell.source)], (cell.target,))
    total, direct = float(whole[0, 0]), float(straight[0, 0])
    return {"total": total, "direct": direct, "relayed": total - direct}


def robustness(engine: AblationEngine, cell: Cell) -> Steps[list[dict[str, Any]]]:
    """The influence under several baselines, as far as the prompt is long enough for them."""
    found: list[dict[str, Any]] = []
    for kind in ROBUSTNESS_BASELINES:
        try:
            value = influence_under(engine.experiment, Baseline(kind), (cell.layer, cell.source), cell.target)
        except QueryError:  # a prompt too short for this one
            continue
        found.append({"baseline": kind, "influence": value})
        yield
    return found


def _replacements(engine: AblationEngine, cell: Cell) -> Tensor:
    """What the cell's state is replaced by in the map, shape ``(draws, width)``."""
    kind = engine.prepare([cell.layer])[cell.layer].baseline
    draws = range(engine.query.draws if kind == "resample" else 1)
    return torch.cat([engine.states([(cell.layer, cell.source)], kind, draw) for draw in draws])


def predictions(engine: AblationEngine, cell: Cell, n: int = TOKENS_SHOWN) -> Steps[list[Prediction]]:
    """See ``cell.predictions``."""
    states = _replacements(engine, cell)
    yield
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


def carriers(engine: AblationEngine, cell: Cell, n: int = CARRIERS_SHOWN) -> Steps[list[Carrier]]:
    """See ``cell.carriers``."""
    if engine.query.site != RESIDUAL:
        raise QueryError(
            "site",
            f"carriers are of a state entering a block, and this map is of {engine.query.site!r}.",
            advice='Use site="residual".',
        )
    states = _replacements(engine, cell)
    yield
    found: list[Carrier] = []
    for name in ("key", "value"):
        found += yield from _carriers_at(engine, cell, states, name)
    return sorted(found, key=lambda carrier: -abs(carrier.influence))[:n]


def _carriers_at(engine: AblationEngine, cell: Cell, states: Tensor, name: str) -> Steps[list[Carrier]]:
    """Of each head's key, or value: copies of the prompt in which one head's alone is another."""
    model = engine.model
    site = model.site(name)
    experiment = engine.experiment.at(site)
    yield
    n_heads = experiment.clean.site_values[0].shape[-1] // site.d_head
    places = [(layer, head) for layer in range(cell.layer, model.n_layers) for head in range(n_heads)]
    effects = []
    for state in states:
        edits = Edits([cell.layer], [cell.source], state[None])
        becomes = exported(model, experiment.clean, edits, site)
        yield
        effects.append((yield from _each_alone(engine, experiment, cell, places, becomes)))
    influence = np.mean(effects, axis=0)
    return [Carrier(layer, head, name, float(value)) for (layer, head), value in zip(places, influence, strict=True)]


def _each_alone(
    engine: AblationEngine, experiment: Experiment, cell: Cell, places: list[tuple[int, int]], becomes: Tensor
) -> Steps[Array]:
    """Influence on the target when one head's export at the source is what it becomes, for each (layer, head)."""
    d_head = experiment.site.d_head

    def one_other(layer: int, head: int) -> Tensor:
        columns = slice(head * d_head, (head + 1) * d_head)
        copy = experiment.clean.site_values[layer][cell.source].to(engine.model.device, copy=True)
        copy[columns] = becomes[layer - cell.layer, columns].to(copy)
        return copy

    size = max(1, engine.rows_per_part // (cell.target - cell.source))
    rows = []
    for some in (places[first : first + size] for first in range(0, len(places), size)):
        copies = torch.stack([one_other(layer, head) for layer, head in some])
        rows.append(experiment.ablate([(layer, cell.source) for layer, _ in some], copies, [cell.target])[:, 0])
        yield
    return np.concatenate(rows)


def verification(engine: AblationEngine, cell: Cell, value: float = np.nan) -> Steps[Verification]:
    """``value``: to be verified; NaN: what the engine's map has, or gets now."""
    model, experiment = engine.model, engine.experiment
    states = _replacements(engine, cell)
    if np.isnan(value):
        if not engine.map.done[cell.layer, cell.source]:
            engine.compute(Part(((cell.layer, cell.source),)))
        value = engine.map.cell(cell.layer, cell.source, cell.target)
    yield
    input_ids = experiment.clean.input_ids
    clean = FromLogits(plain_logits(model, input_ids))
    scorer = Scorer(engine.query.metric, input_ids[0], clean)
    position = torch.tensor([cell.target - 1], device=input_ids.device)
    copy = torch.zeros_like(position)
    unchanged = float(scorer(clean, copy, position))
    effects = []
    for state in states:
        edits = Edits([cell.layer], [cell.source], state[None])
        ablated = FromLogits(plain_logits(model, input_ids, experiment.site, edits))
        effects.append(unchanged - float(scorer(ablated, copy, position)))
        yield
    reference = float(np.mean(effects))
    return Verification(value, reference, value - reference, 1 + len(effects))


ASPECTS: dict[str, Callable[[AblationEngine, Cell], Steps[Any]]] = {
    "predictions": predictions,
    "direct": direct_parts,
    "robustness": robustness,
    "carriers": carriers,
    "verification": verification,
}

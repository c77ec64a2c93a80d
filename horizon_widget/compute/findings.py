"""Answer questions about one cell, in steps on the thread that owns the model."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from horizon_widget.compute.ablation import Ablation, rows_at_once
from horizon_widget.compute.experiment import Array, Experiment
from horizon_widget.compute.metrics import Scorer
from horizon_widget.errors import QueryError
from horizon_widget.models.edits import Edits
from horizon_widget.models.plain import plain_logits
from horizon_widget.models.readout import FromLogits
from horizon_widget.models.strategies import exported
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.facts import RESIDUAL
from horizon_widget.question.query import Query, check_index
from horizon_widget.question.tokens import tell_apart

T = TypeVar("T")
Steps = Generator[None, None, T]  # work of some tenths of a second at a time, that may be stopped between steps

TOKENS_SHOWN = 6
CARRIERS_SHOWN = 8
SENSITIVITY_BASELINES = ("mean", "zero", "resample")


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
        """Refuse a cell that a map of the query does not have.

        Raises:
            QueryError: naming the field.
        """
        check_index("layer", self.layer, n_layers)
        check_index("source", self.source, query.n_tokens)
        check_index("target", self.target, query.n_targets + 1)
        if self.target <= self.source:
            raise QueryError(
                "target",
                f"{self.target} is not after the source, {self.source}. A state has no influence on earlier tokens.",
                advice="Choose a later target.",
            )
        return self


@dataclass(frozen=True)
class Prediction:
    """A token that is probable at the target.

    Attributes:
        token: Its text, with its id if another token has the same text.
        kept: Its probability on the unchanged prompt.
        removed: Its probability with the state replaced by the baseline; the mean over the draws.
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
        influence: The influence of this key or value alone, in the metric's unit.
    """

    layer: int
    head: int
    site: str
    influence: float


@dataclass(frozen=True)
class Verification:
    """A cell's value, and the same value from separate forward passes.

    Attributes:
        value: The value in the map.
        reference: The value from full forward passes of the transformers model itself, with one hook.
        difference: ``value - reference``.
        passes: Number of these passes: one over the unchanged prompt, and one for each draw.
    """

    value: float
    reference: float
    difference: float
    passes: int


def direct_parts(ablation: Ablation, cell: Cell) -> Steps[dict[str, float]]:
    """The total influence, and its direct and indirect part; see ``api.effects.direct``."""
    ablation.prepare([cell.layer])
    yield
    parts = ablation.total_and_direct([(cell.layer, cell.source)], (cell.target,))
    total, direct = (float(part[0, 0]) for part in parts)
    return {"total": total, "direct": direct, "indirect": total - direct}


def baseline_sensitivity(ablation: Ablation, cell: Cell) -> Steps[list[dict[str, Any]]]:
    """The influence under several baselines, without those that the prompt is too short for."""
    found: list[dict[str, Any]] = []
    for kind in SENSITIVITY_BASELINES:
        try:
            value = ablation.under(Baseline(kind), (cell.layer, cell.source), cell.target)
        except QueryError:  # the prompt is too short for this baseline
            continue
        found.append({"baseline": kind, "influence": value})
        yield
    return found


def _replacements(ablation: Ablation, cell: Cell) -> Tensor:
    """The states that replace the cell's state in the map, shape ``(draws, width)``."""
    kind = ablation.prepare([cell.layer])[cell.layer].baseline
    draws = range(ablation.query.draws_of(kind))
    return torch.cat([ablation.states([(cell.layer, cell.source)], kind, draw) for draw in draws])


def predictions(ablation: Ablation, cell: Cell, n: int = TOKENS_SHOWN) -> Steps[list[Prediction]]:
    """See ``api.cell.predictions``."""
    states = _replacements(ablation, cell)
    yield
    cells = [(cell.layer, cell.source)] * len(states)
    kept, removed = ablation.experiment.probabilities(cells, states, cell.target - 1)
    ids = ablation.query.token_ids
    actual = ids[cell.target] if cell.target < len(ids) else None
    chosen = _in_turn(*(torch.topk(each, min(n, len(each))).indices.tolist() for each in (kept, removed)))[:n]
    if actual is not None and actual not in chosen:
        chosen.append(actual)
    chosen.sort(key=lambda token: -float(kept[token]))
    texts = tell_apart(chosen, [ablation.model.vocabulary.text(token) for token in chosen])
    return [
        Prediction(text, float(kept[token]), float(removed[token]), token == actual)
        for token, text in zip(chosen, texts, strict=True)
    ]


def _in_turn(first: list[int], second: list[int]) -> list[int]:
    return list(dict.fromkeys(item for pair in zip(first, second, strict=True) for item in pair))


def carriers(ablation: Ablation, cell: Cell, n: int = CARRIERS_SHOWN) -> Steps[list[Carrier]]:
    """See ``api.cell.carriers``."""
    if ablation.query.site != RESIDUAL:
        raise QueryError(
            "site",
            f"carriers are found for states that enter a block, and this map is of {ablation.query.site!r}.",
            advice='Use site="residual".',
        )
    states = _replacements(ablation, cell)
    yield
    found: list[Carrier] = []
    for name in ("key", "value"):
        found += yield from _carriers_at(ablation, cell, states, name)
    return sorted(found, key=lambda carrier: -abs(carrier.influence))[:n]


def _carriers_at(ablation: Ablation, cell: Cell, states: Tensor, name: str) -> Steps[list[Carrier]]:
    """The influence of each head's key, or of each head's value, at the source."""
    model = ablation.model
    site = model.site(name)
    experiment = ablation.experiment.at(site)
    yield
    n_heads = experiment.clean.site_values[0].shape[-1] // site.d_head
    places = [(layer, head) for layer in range(cell.layer, model.n_layers) for head in range(n_heads)]
    effects = []
    for state in states:
        edits = Edits([cell.layer], [cell.source], state[None])
        becomes = exported(model, experiment.clean, edits, site)
        yield
        effects.append((yield from _each_alone(ablation, experiment, cell, places, becomes)))
    influence = np.mean(effects, axis=0)
    return [Carrier(layer, head, name, float(value)) for (layer, head), value in zip(places, influence, strict=True)]


def _each_alone(
    ablation: Ablation, experiment: Experiment, cell: Cell, places: list[tuple[int, int]], becomes: Tensor
) -> Steps[Array]:
    """Influence on the target when one head's key or value at the source is replaced, for each (layer, head)."""
    d_head = experiment.site.d_head

    def with_one_replaced(layer: int, head: int) -> Tensor:
        columns = slice(head * d_head, (head + 1) * d_head)
        copy = experiment.clean.site_values[layer][cell.source].to(ablation.model.device, copy=True)
        copy[columns] = becomes[layer - cell.layer, columns].to(copy)
        return copy

    size = max(1, rows_at_once(ablation.model.device) // (cell.target - cell.source))
    rows = []
    for some in (places[first : first + size] for first in range(0, len(places), size)):
        copies = torch.stack([with_one_replaced(layer, head) for layer, head in some])
        rows.append(experiment.ablate([(layer, cell.source) for layer, _ in some], copies, [cell.target])[:, 0])
        yield
    return np.concatenate(rows)


def verification(ablation: Ablation, cell: Cell, value: float = np.nan) -> Steps[Verification]:
    """See ``api.cell.verify``. Verifies ``value``; if it is NaN, the value that is computed now."""
    model, experiment = ablation.model, ablation.experiment
    states = _replacements(ablation, cell)
    if np.isnan(value):
        value = float(ablation.rows([(cell.layer, cell.source)], [cell.target])[0, 0])
    yield
    input_ids = experiment.clean.input_ids
    clean = FromLogits(plain_logits(model, input_ids))
    scorer = Scorer(ablation.query.metric, input_ids[0], clean)
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


ASPECTS: dict[str, Callable[..., Steps[Any]]] = {
    "predictions": predictions,
    "direct": direct_parts,
    "baseline_sensitivity": baseline_sensitivity,
    "carriers": carriers,
    "verification": verification,
}

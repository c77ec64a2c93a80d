"""Fills a map by ablation: exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from horizon_widget.attribution.baselines import default_kind
from horizon_widget.attribution.engine import Array, Engine
from horizon_widget.attribution.experiment import Cells, Experiment
from horizon_widget.attribution.plan import Interest, Part, next_part, wanted
from horizon_widget.attribution.preparation import Preparation, Preparing
from horizon_widget.models.model import Model
from horizon_widget.query import Query

# Positions computed in one part: a few tenths of a second at the demo model's first layers on two CPU cores.
ROWS_PER_PART = {"cpu": 256}
ROWS_PER_PART_ELSEWHERE = 16384
# How many times larger parts are where nobody waits for the first values.
PATIENCE = 4
# In half precision the floor decides what is coloured, so that it is taken over more sources.
NOISE_SOURCES = {torch.float16: 4, torch.bfloat16: 4}


class AblationEngine(Engine[Part]):
    """Computes exact influence by ablation.

    Args:
        model: Whose states are asked about.
        query: The question.
        rows_per_part: Positions computed in one part; by default chosen for the model's device.
        **options: As for ``Engine``.
    """

    def __init__(self, model: Model, query: Query, *, rows_per_part: int | None = None, **options: Any) -> None:
        super().__init__(model, query, **options)
        self.rows_per_part = rows_per_part or ROWS_PER_PART.get(model.device.type, ROWS_PER_PART_ELSEWHERE)
        self._preparations: dict[int, Preparation] = {}

    @classmethod
    def after(cls, experiment: Experiment) -> AblationEngine:
        """An engine that goes on from an experiment, without running its prompt again."""
        engine = cls(experiment.model, experiment.query, way=experiment.way)
        engine.adopt(experiment)
        return engine

    def next_part(self, interest: Interest) -> Part | None:
        """The most wanted part that is not yet done, or ``None`` if all that is wanted is."""
        rows = self.rows_per_part * (PATIENCE if interest.patient else 1)
        return next_part(self.map.done_for(interest.targets), interest, rows)

    def missing(self, interest: Interest) -> float:
        """Operations for all that is wanted and not done, by the cost model."""
        return self.cost.missing(wanted(self.map.done_for(interest.targets), interest))

    def memory_needed(self) -> float:
        """Bytes held at once, at most."""
        memory, n_tokens = self.experiment.memory, self.query.n_tokens
        copies = max(1, min(PATIENCE * self.rows_per_part // n_tokens, memory.copies(n_tokens)))
        return memory.needed(copies, n_tokens)

    def compute(self, part: Part) -> None:
        """Compute a part and enter it in the map, and with it what preparing its layers gives.

        Raises:
            ModelError: if the model gives values that are not finite, or memory does not suffice for one copy.
        """
        self.prepare({layer for layer, _ in part.cells})
        done = self.map.done_for(part.targets)
        by_kind: dict[str, list[tuple[int, int]]] = {}
        for layer, source in part.cells:
            if not done[layer, source]:
                by_kind.setdefault(self._preparations[layer].baseline, []).append((layer, source))
        for kind, cells in by_kind.items():
            rows = self.influence(cells, kind, part.targets)
            for (layer, source), row in zip(cells, rows, strict=True):
                self.map.record(layer, [source], row[None], targets=part.targets)

    def prepare(self, layers: Iterable[int]) -> dict[int, Preparation]:
        """Prepare layers that are not yet; gives what is known of all of them."""
        asked = sorted(set(layers))
        new = [layer for layer in asked if layer not in self._preparations]
        if new:
            decided = self.query.baseline
            known = {
                layer: (decided.layers[layer], decided.shocks[layer])
                for layer in (new if decided.layers else ())
                if decided.layers[layer]
            }
            for layer, preparation in self._preparing().prepare(new, known).items():
                self._enter(layer, preparation)
        return {layer: self._preparations[layer] for layer in asked}

    def _preparing(self) -> Preparing:
        def probe(asked: Sequence[tuple[int, int, str]]) -> Array:
            cells = [(layer, source) for layer, source, _ in asked]
            states = torch.cat([self.replacements.states(layer, [source], kind) for layer, source, kind in asked])
            return self._ablate(cells, states)

        kind = default_kind(self.query)
        return Preparing(
            self.query.n_tokens,
            self.query.n_targets,
            kind,
            may_change=self.query.baseline.kind == "auto",
            noise_sources=NOISE_SOURCES.get(self.model.dtype, 1),
            probe=probe,
        )

    def _enter(self, layer: int, preparation: Preparation) -> None:
        dataset = self.map.dataset
        dataset["baseline_shock"].values[layer] = preparation.shock
        dataset["noise_floor"].values[layer] = preparation.noise_floor
        dataset["baseline"].values[layer] = preparation.baseline
        self._preparations[layer] = preparation
        for source, row in preparation.rows.items():
            self.map.record(layer, [source], row[None])

    def influence(self, cells: Cells, kind: str, targets: Sequence[int] | None = None) -> Array:
        """Influence of several cells under one baseline, averaged over its draws; shape ``(len(cells), N)``."""
        draws = self.query.draws if kind == "resample" else 1
        rows = [self._ablate(cells, self.states(cells, kind, draw), targets) for draw in range(draws)]
        mean: Array = np.mean(rows, axis=0)
        return mean

    def states(self, cells: Cells, kind: str, draw: int = 0) -> torch.Tensor:
        """What several cells' states are replaced by, shape ``(len(cells), width)``."""
        device = self.model.device
        return torch.cat([self.replacements.states(layer, [source], kind, draw).to(device) for layer, source in cells])

    def _ablate(self, cells: Cells, states: torch.Tensor, targets: Sequence[int] | None = None) -> Array:
        rows = self.experiment.ablate(cells, states, targets)
        length = self.query.n_tokens - min(source for _, source in cells)
        self.operations += sum(self.cost.rows(layer, length) for layer, _ in cells)
        self.check_finite(cells, rows)
        return rows

"""Fills a map by ablation: exact."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from horizon_widget.attribution import words
from horizon_widget.attribution.ablation import PATIENCE
from horizon_widget.attribution.engine import Engine
from horizon_widget.attribution.plan import Interest, Part, next_part, wanted
from horizon_widget.attribution.runner import Size
from horizon_widget.models.model import Model
from horizon_widget.query import Query


class AblationEngine(Engine[Part]):
    """Fills a map with exact influence.

    Args:
        model: Whose states are asked about.
        query: The question.
        rows_per_part: Positions computed in one part; by default chosen for where the model is.
        **options: As for ``Engine``.
    """

    def __init__(self, model: Model, query: Query, *, rows_per_part: int | None = None, **options: Any) -> None:
        super().__init__(model, query, **options)
        self.rows_per_part = rows_per_part

    def next_part(self, interest: Interest) -> Part | None:
        """The most wanted part that is not yet done, or ``None`` if all that is wanted is."""
        size = self._size(patient=interest.patient)
        done = self.map.done_for(interest.targets)
        return next_part(done, interest, size.rows, in_batches=size.in_batches)

    def in_words(self, part: Part, interest: Interest) -> str:
        """The one row or column that is wanted, or else the part's layers."""
        layers = sorted({layer for layer, _ in part.cells})
        return words.only_line(interest, self.map.tokens) or words.several("layer", layers)

    def _size(self, *, patient: bool) -> Size:
        if self.rows_per_part is None:
            return self.runner.size(patient=patient)
        return Size(self.rows_per_part * (PATIENCE if patient else 1))

    def missing(self, interest: Interest) -> float:
        """Operations for all that is wanted and not done, by the cost model."""
        return self.cost.missing(wanted(self.map.done_for(interest.targets), interest))

    def memory_needed(self) -> float:
        """Bytes held at once, at most."""
        return float(self.ask("memory", rows=self._size(patient=True).rows))

    def compute(self, part: Part) -> None:
        """Compute a part and enter it in the map, and with it what preparing its layers gives.

        Raises:
            ModelError: if the model gives values that are not finite, or memory does not suffice for one copy.
        """
        done = self.map.done_for(part.targets)
        cells = [cell for cell in part.cells if not done[cell]]
        if not cells:
            return
        rows = self.ask("rows", cells=cells, targets=part.targets)
        for (layer, source), row in zip(cells, rows, strict=True):
            self.map.record(layer, [source], row[None], targets=part.targets)

    def prepare(self, layers: Iterable[int]) -> None:
        """Prepare layers that are not yet."""
        self.ask("prepare", layers=list(layers))

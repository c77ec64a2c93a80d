"""Fills a map by estimates from gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from horizon_widget.attribution import gradient, words
from horizon_widget.attribution.baselines import default_kind
from horizon_widget.attribution.engine import Engine
from horizon_widget.attribution.plan import Interest
from horizon_widget.attribution.runner import MOST_BYTES, Learnt
from horizon_widget.models.model import Model
from horizon_widget.query import Query


@dataclass(frozen=True)
class Columns:
    """A piece of work: some targets, at every layer and source.

    Attributes:
        targets: Which ``t``, ascending.
    """

    targets: tuple[int, ...]


class GradientEngine(Engine[Columns]):
    """Fills a map with ``"gradient"`` or ``"energy"``; see ``gradient.Gradient``.

    Args:
        model: Whose states are asked about.
        query: The question.
        rows_per_part: Rows that go backward in one part; by default chosen for where the model is.
        **options: As for ``Engine``.
    """

    def __init__(self, model: Model, query: Query, *, rows_per_part: int | None = None, **options: Any) -> None:
        super().__init__(model, query, **options)
        self.rows_per_part = rows_per_part

    def next_part(self, interest: Interest) -> Columns | None:
        """The most wanted part that is not yet done, or ``None`` if all that is wanted is."""
        missing = self._missing(interest)
        if not missing:
            return None
        # The longest first: the others of a part go as far as the first. No small rest is left over.
        at_once = self._targets_per_part(missing[-1], patient=interest.patient)
        return Columns(tuple(missing if len(missing) <= 1.25 * at_once else missing[-at_once:]))

    def in_words(self, part: Columns, interest: Interest) -> str:
        """The part's targets, by name if it is one; they are computed for every source, whichever are wanted."""
        del interest
        one = len(part.targets) == 1
        return words.column_of(part.targets[0], self.map.tokens) if one else words.several("target", part.targets)

    def _targets_per_part(self, target: int, *, patient: bool) -> int:
        size = self.runner.size(patient=patient)
        if size.in_batches:
            column = 4 * self.model.n_layers * self.query.n_tokens  # bytes
            return max(1, min(size.rows // target, MOST_BYTES // column))
        return gradient.targets_at_once(self.model.device, target, self.rows_per_part)

    def missing(self, interest: Interest) -> float:
        """Operations for all that is wanted and not done, by the cost model."""
        return float(sum(self.cost.column(target) for target in self._missing(interest)))

    def memory_needed(self) -> float:
        """Bytes held at once, at most."""
        return float(self.ask("memory", rows=self.rows_per_part))

    def compute(self, part: Columns) -> None:
        """Compute a part and enter it in the map.

        Raises:
            ModelError: if the model gives values that are not finite, or memory does not suffice for one target.
        """
        self.map.record_targets(part.targets, self.ask("columns", targets=list(part.targets)))

    def _learn(self, learnt: Learnt) -> None:
        if learnt.clean is not None and self._entered.clean is None:
            self.map.dataset["noise_floor"].values[:] = 0.0  # a state patched by itself: h - b is 0
            self.map.dataset["baseline"].values[:] = default_kind(self.query)
        super()._learn(learnt)

    def _missing(self, interest: Interest) -> list[int]:
        wanted = np.zeros(self.map.done.shape, dtype=bool)
        if interest.source is not None:
            wanted[:, interest.source] = True
        sources = list(range(self.query.n_tokens)) if interest.sources is None else list(interest.sources)
        wanted[np.ix_(list(interest.layers), sources)] = True
        lacking = (np.isnan(self.map.values.values) & wanted[..., None]).any(axis=(0, 1))
        asked = None if interest.targets is None else set(interest.targets)
        return [int(column) + 1 for column in np.flatnonzero(lacking) if asked is None or int(column) + 1 in asked]

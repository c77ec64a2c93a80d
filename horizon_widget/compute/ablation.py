"""Influence by ablation: the computation of one query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from horizon_widget.compute.batches import first_cells
from horizon_widget.compute.computation import Array, Computation, check_finite
from horizon_widget.compute.experiment import Cells
from horizon_widget.compute.preparation import Preparation, Preparing
from horizon_widget.errors import ModelError
from horizon_widget.question.baseline import Baseline

# Positions computed at once. On two CPU cores they take a few tenths of a second at the demo model's first layers.
ROWS_AT_ONCE = {"cpu": 256}
ROWS_AT_ONCE_ELSEWHERE = 16384
# Factor by which more is computed at once if nobody waits for the first values.
PATIENCE = 4
# Sources for the noise floor. In half precision the floor decides what is coloured, so it uses more.
NOISE_SOURCES = {torch.float16: 4, torch.bfloat16: 4}


def rows_at_once(device: torch.device) -> int:
    """Positions computed at once on a device if somebody waits for the first values."""
    return ROWS_AT_ONCE.get(device.type, ROWS_AT_ONCE_ELSEWHERE)


class Ablation(Computation):
    """Computes exact influence by ablation."""

    _witness: tuple[tuple[int, int], Sequence[int] | None, Array] | None = None  # the cell with the strongest values

    def prepare(self, layers: Iterable[int]) -> dict[int, Preparation]:
        """Prepare the layers that are not prepared yet, and return the preparations of all of them."""
        asked = sorted(set(layers))
        new = [layer for layer in asked if layer not in self.preparations]
        if new:
            decided = self.query.baseline
            known = {
                layer: (decided.layers[layer], decided.shocks[layer])
                for layer in (new if decided.layers else ())
                if decided.layers[layer]
            }
            self.preparations |= self._preparing().prepare(new, known)
        return {layer: self.preparations[layer] for layer in asked}

    def _preparing(self) -> Preparing:
        def probe(asked: Sequence[tuple[int, int, str]]) -> Array:
            cells = [(layer, source) for layer, source, _ in asked]
            states = torch.cat([self.replacements.states(layer, [source], kind) for layer, source, kind in asked])
            return self._ablate(cells, states)

        kind = self.query.default_baseline
        return Preparing(
            self.query.n_tokens,
            self.query.n_targets,
            kind,
            may_change=self.query.baseline.kind == "auto",
            noise_sources=NOISE_SOURCES.get(self.model.dtype, 1),
            probe=probe,
        )

    def rows(self, cells: Cells, targets: Sequence[int] | None = None) -> Array:
        """Influence of cells, each under its layer's baseline. Prepares layers as needed.

        Args:
            cells: The (layer, source) of each cell, in any order.
            targets: The ``N`` targets ``t``; all by default.

        Returns:
            Influence of shape ``(len(cells), N)``.
        """
        prepared = self.prepare({layer for layer, _ in cells})
        columns = range(self.query.n_targets) if targets is None else [target - 1 for target in targets]
        rows = {  # preparing a layer has computed some
            (layer, source): prepared[layer].rows[source][list(columns)]
            for layer, source in cells
            if source in prepared[layer].rows
        }
        for kind in {known.baseline for known in prepared.values()}:
            left = [cell for cell in cells if prepared[cell[0]].baseline == kind and cell not in rows]
            for batch in self._batches(left, targets):
                rows |= dict(zip(batch, self.influence(batch, kind, targets), strict=True))
        strongest = max(cells, key=lambda cell: np.abs(rows[cell]).max())
        if self._witness is None or np.abs(rows[strongest]).max() > np.abs(self._witness[2]).max():
            self._witness = (strongest, targets, rows[strongest])
        return np.stack([rows[cell] for cell in cells])

    def _batches(self, cells: Cells, targets: Sequence[int] | None) -> Iterator[list[tuple[int, int]]]:
        """Cells to compute together, sorted by layer. All copies of a batch start at one position."""
        stop = self.query.n_tokens if targets is None else max(targets)
        left = sorted(cells, key=lambda cell: cell[1])
        while left:
            batch = first_cells(left, stop, PATIENCE * rows_at_once(self.model.device))
            del left[: len(batch)]
            yield sorted(batch)

    def influence(self, cells: Cells, kind: str, targets: Sequence[int] | None = None) -> Array:
        """Influence of several cells under one baseline, averaged over its draws; shape ``(len(cells), N)``."""
        draws = range(self.query.draws_of(kind))
        mean: Array = np.mean([self._ablate(cells, self.states(cells, kind, draw), targets) for draw in draws], axis=0)
        return mean

    def states(self, cells: Cells, kind: str, draw: int = 0) -> torch.Tensor:
        """The states that replace those of several cells, shape ``(len(cells), width)``."""
        device = self.model.device
        return torch.cat([self.replacements.states(layer, [source], kind, draw).to(device) for layer, source in cells])

    def _ablate(self, cells: Cells, states: torch.Tensor, targets: Sequence[int] | None = None) -> Array:
        rows = self.experiment.ablate(cells, states, targets)
        length = self.query.n_tokens - min(source for _, source in cells)
        self.operations += sum(self.cost.rows(layer, length) for layer, _ in cells)
        check_finite(cells, rows)
        return rows

    # -- questions about a few cells -------------------------------------------------------------------------------

    def together(self, cells: Cells, targets: Sequence[int]) -> Array:
        """Influence of several cells replaced at once, shape ``(len(targets),)``."""
        kinds = {layer: known.baseline for layer, known in self.prepare(layer for layer, _ in cells).items()}
        draws = max(map(self.query.draws_of, kinds.values()))
        states = [[self.states([cell], kinds[cell[0]], draw) for cell in cells] for draw in range(draws)]
        together = torch.stack([torch.cat(of_draw) for of_draw in states])
        mean: Array = self.experiment.ablate_together(cells, together, targets).mean(axis=0)
        check_finite(cells[:1], mean[None])
        return mean

    def total_and_direct(self, cells: Cells, targets: Sequence[int]) -> tuple[Array, Array]:
        """Total and direct influence of cells, sorted by layer, each of shape ``(len(cells), len(targets))``."""
        prepared = self.prepare({layer for layer, _ in cells})
        total = np.zeros((len(cells), len(targets)), dtype=np.float32)
        direct = np.zeros_like(total)
        for kind in {known.baseline for known in prepared.values()}:
            chosen = [index for index, (layer, _) in enumerate(cells) if prepared[layer].baseline == kind]
            some = [cells[index] for index in chosen]
            parts = [
                self.experiment.direct(some, self.states(some, kind, draw), targets)
                for draw in range(self.query.draws_of(kind))
            ]
            total[chosen] = self.influence(some, kind, targets)
            direct[chosen] = np.mean(parts, axis=0)
            check_finite(some, direct[chosen])
        return total, direct

    def under(self, baseline: Baseline, cell: tuple[int, int], target: int) -> float:
        """A cell's influence on one target under another baseline. The prompt is not run again.

        Raises:
            QueryError: if the prompt is too short for the baseline.
            ModelError: if the value is not finite.
        """
        query = replace(self.query, baseline=baseline)
        other = Ablation(self.model, query)
        other._experiment = replace(self.experiment, query=query)
        if baseline.kind == "auto" or baseline.layers:  # the baseline may differ by layer
            return float(other.rows([cell], (target,))[0, 0])
        states = [other.states([cell], baseline.kind, draw) for draw in range(query.draws_of(baseline.kind))]
        value = float(np.mean(other.experiment.ablate([cell] * len(states), torch.cat(states), [target])))
        if not np.isfinite(value):
            raise ModelError(f"The influence under {baseline} is not finite.", advice="Try dtype=torch.float32.")
        return value

    def _gives_other_values(self) -> bool:
        """See ``Computation``. A replaced state may reach a limit on activations that the prompt itself does not."""
        if self._witness is None:
            return False
        (layer, source), targets, row = self._witness
        again = self.influence([(layer, source)], self.preparations[layer].baseline, targets)[0]
        return not self.are_same(again, row)

    def memory_needed(self, rows: int | None) -> float:
        """Most bytes held at once, by the plan.

        Args:
            rows: Positions of one part; by default as many as if nobody waits for the first values.
        """
        memory, n_tokens = self.experiment.memory, self.query.n_tokens
        rows = rows or PATIENCE * rows_at_once(self.model.device)
        return memory.needed(max(1, min(rows // n_tokens, memory.copies(n_tokens))), n_tokens)

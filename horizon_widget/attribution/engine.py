"""Computes the parts of one map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from horizon_widget.attribution import ablation, baselines
from horizon_widget.attribution.plan import CostModel, Interest, Part, next_part
from horizon_widget.attribution.preparation import Preparation, prepare
from horizon_widget.errors import ModelError
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.models import thread
from horizon_widget.models.model import CleanRun, Model
from horizon_widget.query import Query

# Positions computed in one part: a few tenths of a second at the demo model's first layers on two CPU cores.
ROWS_PER_PART = {"cpu": 256}
ROWS_PER_PART_ELSEWHERE = 16384


class Engine:
    """Fills the ``HorizonMap`` of one query, part by part.

    ``operations`` counts what was computed so far, by the cost model. ``compute`` must run on the model thread
    (``models.thread``); everything else may be read from any thread.

    Args:
        model: Whose states are asked about.
        query: The question.
        rows_per_part: Positions computed in one part; by default chosen for the model's device.
    """

    def __init__(self, model: Model, query: Query, *, rows_per_part: int | None = None) -> None:
        self.model = model
        self.query = query
        self.rows_per_part = rows_per_part or ROWS_PER_PART.get(model.device.type, ROWS_PER_PART_ELSEWHERE)
        self.map = HorizonMap.empty(
            query,
            model.read_tokens(query.token_ids),
            n_layers=model.n_layers,
            d_model=model.d_model,
            attrs={"model": model.name, "dtype": str(model.dtype).removeprefix("torch.")},
        )
        self.cost = CostModel(model.n_layers, query.n_tokens, model.weights_per_block, model.vocab_size * model.d_model)
        self.operations = 0.0
        self._preparations: dict[int, Preparation] = {}
        self._clean: CleanRun | None = None
        self._metric: Tensor
        self._mean_states: Tensor
        self._drawn: npt.NDArray[Any]

    def compute(self, part: Part) -> None:
        """Compute a part and enter it in the map, and with it what preparing its layer gives.

        Raises:
            ModelError: if the model gives values that are not finite.
        """
        if self._clean is None:
            self._begin()
        preparation = self._preparations.get(part.layer) or self._prepare(part.layer)
        missing = [source for source in part.sources if not self.map.done[part.layer, source]]
        if missing:
            rows = self._rows(part.layer, missing, preparation.baseline)
            self._check_finite(part.layer, missing, rows)
            self.map.record(part.layer, missing, rows)

    def _begin(self) -> None:
        clean = self.model.clean_run(self.query.token_ids)
        with torch.no_grad():
            self._metric = ablation.clean_metric(self.model, clean)
            self._mean_states = baselines.mean_states(clean)
        self._drawn = baselines.draw_positions(self.query)
        self.map.dataset["baseline_states"].values[:] = self._mean_states.cpu().numpy()
        self.map.dataset["resample_positions"].values[:] = self._drawn
        self._clean = clean

    def _prepare(self, layer: int) -> Preparation:
        def probe(sources: Sequence[int], kinds: Sequence[str]) -> npt.NDArray[np.floating]:
            states = [self._replacement(layer, source, kind) for source, kind in zip(sources, kinds, strict=True)]
            return self._ablate(layer, sources, torch.stack(states))

        preparation = prepare(self.query, probe)
        self._check_finite(layer, list(preparation.rows), list(preparation.rows.values()))
        dataset = self.map.dataset
        dataset["baseline"].values[layer] = preparation.baseline
        dataset["baseline_shock"].values[layer] = preparation.shock
        dataset["noise_floor"].values[layer] = preparation.noise_floor
        for source, row in preparation.rows.items():
            self.map.record(layer, [source], row[None])
        self._preparations[layer] = preparation
        return preparation

    def _rows(self, layer: int, sources: Sequence[int], baseline: str) -> npt.NDArray[np.floating]:
        """Influence of several sources under one baseline, averaged over its draws."""
        draws = range(self.query.draws) if baseline == "resample" else range(1)
        rows = []
        for draw in draws:
            states = [self._replacement(layer, source, baseline, draw) for source in sources]
            rows.append(self._ablate(layer, sources, torch.stack(states)))
        mean: npt.NDArray[np.floating] = np.mean(rows, axis=0)
        return mean

    def _replacement(self, layer: int, source: int, kind: str, draw: int = 0) -> Tensor:
        assert self._clean is not None
        states = self._clean.states[layer]
        if kind == "mean":
            return self._mean_states[layer]
        if kind == "resample":
            return states[int(self._drawn[draw, source])]
        return states[source] if kind == "itself" else torch.zeros_like(states[source])

    def _ablate(self, layer: int, sources: Sequence[int], states: Tensor) -> npt.NDArray[np.floating]:
        clean, metric = self._clean, self._metric
        assert clean is not None
        self.operations += self.cost.rows(layer, len(sources) * (clean.n_tokens - min(sources)))
        influence = self.model.inside_trace(
            clean, lambda: ablation.ablate(self.model, clean, metric, layer, sources, states)
        )
        values: npt.NDArray[np.floating] = influence.cpu().numpy()
        return values

    def _check_finite(self, layer: int, sources: Sequence[int], rows: Iterable[npt.NDArray[np.floating]]) -> None:
        for source, row in zip(sources, rows, strict=True):
            if not np.isfinite(row).all():
                raise ModelError(
                    f"Replacing the state at layer {layer}, token {source} gives predictions that are not finite.",
                    advice="Try dtype=torch.float32 or another baseline.",
                )


def compute(engine: Engine, interest: Interest) -> Iterator[Part]:
    """Compute all that is wanted, most wanted first; yields each part when it is in the map.

    To stop iterating is to stop computing. May be called from any thread.
    """
    while (part := next_part(engine.map.done, interest, engine.rows_per_part)) is not None:
        thread.run(partial(engine.compute, part))
        yield part

"""A prompt run once through a model, and again as often as one likes with states overwritten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from horizon_widget.compute.memory import MemoryPlan, is_out_of_memory
from horizon_widget.compute.metrics import Scorer, check_function
from horizon_widget.errors import ModelError
from horizon_widget.models import strategies
from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.edits import Edits
from horizon_widget.models.local_model import LocalModel
from horizon_widget.models.readout import FromLogits, FromStates, Readout, at_least_float32
from horizon_widget.models.sites import Site
from horizon_widget.models.strategies import FULL, SUFFIX, Held
from horizon_widget.models.trial import agreement, check_alone, strategy_for
from horizon_widget.question.query import Query

Array = npt.NDArray[np.floating]
Cells = Sequence[tuple[int, int]]  # (layer, source), sorted by layer


@dataclass(frozen=True)
class Experiment:
    """A prompt run once through a model. Made by ``begin``, on the model thread.

    Attributes:
        model: Whose states are asked about.
        query: The question.
        clean: The run over the unchanged prompt.
        site: Where states are overwritten.
        strategy: How the model is entered half-way, one of ``strategies.STRATEGIES``.
        scorer: Scores the metric.
        clean_metric: ``m[j]`` of the unchanged prompt, shape ``(n_targets,)``.
        memory: How much may be computed at once.
    """

    model: LocalModel
    query: Query
    clean: CleanRun
    site: Site
    strategy: str
    scorer: Scorer
    clean_metric: Tensor
    memory: MemoryPlan

    @classmethod
    def begin(
        cls, model: LocalModel, query: Query, *, strategy: str | None = None, memory_limit: int | None = None
    ) -> Experiment:
        """Run the prompt once.

        Args:
            model: Whose states are asked about.
            query: The question.
            strategy: How to enter the model half-way; by default the fastest that is right.
            memory_limit: In bytes; by default a share of what is free.

        Raises:
            QueryError: if the model has no such site, or the metric is a function that cannot be used.
            ModelError: if the model's values are not finite, or hooks on it are not seen.
        """
        site = model.site(query.site, query.head)
        clean = model.clean_run(query.token_ids, site)
        chosen = strategies.check_known(strategy) if strategy is not None else strategy_for(model, clean, site)
        readout = _clean_readout(model, clean, chosen)
        check_alone(model, clean, readout)
        scorer = Scorer(query.metric, clean.input_ids[0], readout)
        positions = torch.arange(query.n_targets, device=model.device)
        if query.metric.is_function:
            everywhere = torch.arange(query.n_tokens, device=model.device)
            logits = model.inside_trace(clean, lambda: readout.logits(torch.zeros_like(everywhere), everywhere))
            check_function(query.metric, at_least_float32(logits), clean.input_ids[0])
        with torch.no_grad():
            metric = model.inside_trace(clean, lambda: scorer(readout, torch.zeros_like(positions), positions))
        if not bool(torch.isfinite(metric).all()):
            position = int((~torch.isfinite(metric)).nonzero()[0])
            raise ModelError(
                f"{query.metric} is not finite on the unchanged prompt, at token {position}.",
                advice="Try dtype=torch.float32, or another metric.",
            )
        memory = MemoryPlan.of(model, query, chosen, memory_limit)
        return cls(model, query, clean, site, chosen, scorer, metric, memory)

    def predicts_as(self, other: Experiment) -> bool:
        """Whether the metric of the unchanged prompt is that of another one, which may enter the model otherwise."""
        mine, theirs = self.clean_metric, other.clean_metric.to(self.clean_metric)
        return bool((mine - theirs).abs().max() <= agreement(self.model.dtype) * mine.abs().max())

    def at(self, site: Site) -> Experiment:
        """The same experiment at another site."""
        clean = self.model.clean_run(self.query.token_ids, site)
        return replace(self, site=site, clean=clean, strategy=strategy_for(self.model, clean, site))

    def ablate(self, cells: Cells, states: Tensor, targets: Sequence[int] | None = None) -> Array:
        """``A[layer, i, j] = m[j](h) - m[j](h with h[layer, i] := b)``, each cell replaced alone.

        Args:
            cells: Which (layer, source), sorted by layer; one may occur more than once.
            states: What each is replaced by, shape ``(len(cells), width)``.
            targets: Which ``t``; all by default.

        Returns:
            Shape ``(len(cells), len(targets))``; 0 where the target is not ahead of the source.
        """
        layers, sources = [layer for layer, _ in cells], [source for _, source in cells]
        return self._in_batches(
            len(cells),
            self.memory.copies(self.query.n_tokens - min(sources)),
            lambda some: self._effect(
                Edits(layers[some], sources[some], states[some]), sources[some], self._columns(targets)
            ),
        )

    def ablate_together(self, cells: Cells, states: Tensor, targets: Sequence[int] | None = None) -> Array:
        """Influence of several cells replaced at once, for each of several draws.

        Args:
            cells: Which (layer, source).
            states: Shape ``(draws, len(cells), width)``.
            targets: As for ``ablate``.

        Returns:
            Shape ``(draws, len(targets))``; 0 where the target is ahead of none of them.
        """
        layers, sources = [layer for layer, _ in cells], [source for _, source in cells]
        rows = []
        for draw in states:
            edits = Edits(layers, sources, draw, copies=[0] * len(cells))
            rows.append(self._effect(edits, [min(sources)], self._columns(targets)))
        return np.concatenate(rows)

    def probabilities(self, cells: Cells, states: Tensor, position: int) -> tuple[Tensor, Tensor]:
        """What is predicted at one position, on the unchanged prompt and with each cell replaced alone.

        Args:
            cells: Which (layer, source), sorted by layer, none after the position.
            states: Shape ``(len(cells), width)``.
            position: ``j``.

        Returns:
            Two distributions, each of shape ``(vocab_size,)``; the second is the mean over ``cells``.
        """
        edits = Edits([layer for layer, _ in cells], [source for _, source in cells], states)

        def distribution(readout: Readout, n_copies: int) -> Tensor:
            copy = torch.arange(n_copies, device=self.model.device)
            logits = readout.logits(copy, torch.full_like(copy, position))
            return torch.softmax(at_least_float32(logits), dim=-1).mean(dim=0).cpu()

        def score(readout: Readout) -> Tensor:
            return torch.stack([distribution(self.scorer.clean, 1), distribution(readout, edits.n_copies)])

        kept, removed = strategies.run(
            self.model, self.clean, self.site, edits, score, strategy=self.strategy, stop=position + 1
        )
        return kept, removed

    def direct(self, cells: Cells, states: Tensor, targets: Sequence[int] | None = None) -> Array:
        """As ``ablate``, with every position but a cell's own and the predicting one held at its clean states."""
        layers, sources = [layer for layer, _ in cells], [source for _, source in cells]
        columns = self._columns(targets)
        if self.strategy == SUFFIX:
            return self._in_batches(
                len(cells),
                self.memory.copies(2 * (self.query.n_tokens - min(sources))),
                lambda some: self._effect(
                    Edits(layers[some], sources[some], states[some]),
                    sources[some],
                    columns,
                    Held(torch.tensor(sources[some], device=self.model.device)),
                ),
            )
        return np.stack(
            [self._direct_by_readers(cell, state, columns) for cell, state in zip(cells, states, strict=True)]
        )

    def _direct_by_readers(self, cell: tuple[int, int], state: Tensor, columns: Tensor) -> Array:
        """One copy for each predicting position: the way for blocks whose calls cannot be cut."""
        layer, source = cell
        readers = [int(column) for column in columns if int(column) >= source]
        device = self.model.device

        def some_readers(some: slice) -> Array:
            n = len(readers[some])
            held = Held(torch.full((n,), source, device=device), torch.tensor(readers[some], device=device))
            edits = Edits([layer] * n, [source] * n, state.expand(n, -1))
            return self._effect(edits, [source] * n, torch.tensor(readers[some], device=device), held).diagonal()

        row = np.zeros(len(columns), dtype=np.float32)
        if readers:
            copies = self.memory.copies(self.query.n_tokens)
            values = self._in_batches(len(readers), copies, some_readers)
            row[np.isin(columns.cpu().numpy(), readers)] = values
        return row

    def _columns(self, targets: Sequence[int] | None) -> Tensor:
        chosen = range(1, self.query.n_targets + 1) if targets is None else targets
        return torch.tensor([target - 1 for target in chosen], device=self.model.device)

    def _in_batches(self, n: int, copies: int, work: Callable[[slice], Array]) -> Array:
        """Do ``work(slice)`` for all of ``n`` copies, fewer at a time once memory has run out."""
        results, first = [], 0
        while first < n:
            copies = min(copies, n - first)
            try:
                results.append(work(slice(first, first + copies)))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if copies == 1:
                    raise ModelError(
                        "There is not enough memory for one copy of the prompt.",
                        advice="Use a shorter prompt or a smaller model; what is computed is kept.",
                    ) from error
                copies = self.memory.ran_out(copies)
                continue
            first += copies
        return np.concatenate(results)

    def _effect(self, edits: Edits, sources: Sequence[int], columns: Tensor, held: Held | None = None) -> Array:
        """Influence of the edits of each copy on the metric at ``columns``; 0 before the copy's first source."""
        influence = torch.zeros(len(sources), len(columns), dtype=self.clean_metric.dtype, device=columns.device)
        source = torch.tensor(list(sources), device=columns.device)
        copy, column = torch.nonzero(columns[None, :] >= source[:, None], as_tuple=True)
        if not len(copy):  # nothing lies ahead
            return self._to_numpy(influence)
        position = columns[column]

        def score(readout: Readout) -> Tensor:
            return self.scorer(readout, copy, position)

        ablated = strategies.run(
            self.model,
            self.clean,
            self.site,
            edits,
            score,
            strategy=self.strategy,
            stop=1 + max(int(columns.max()), max(sources)),
            held=held,
        )
        influence[copy, column] = self.clean_metric[position] - ablated.to(columns.device)
        return self._to_numpy(influence)

    def _to_numpy(self, values: Tensor) -> Array:
        array: Array = values.cpu().numpy()
        return array


def _clean_readout(model: LocalModel, clean: CleanRun, strategy: str) -> Readout:
    if strategy != FULL:
        return FromStates(model.head, clean.states[-1][None])
    return FromLogits(model.traced(clean.input_ids, model.traced_logits))

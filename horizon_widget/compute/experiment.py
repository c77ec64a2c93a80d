"""Run a prompt once through a model, and again with states overwritten."""

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
from horizon_widget.models.strategies import DIRECT, FULL, SUFFIX, Held
from horizon_widget.models.trial import agreement, check_alone, strategy_for
from horizon_widget.question.query import Query

Array = npt.NDArray[np.floating]
Cells = Sequence[tuple[int, int]]  # (layer, source), sorted by layer


@dataclass(frozen=True)
class Experiment:
    """A prompt that was run once through a model. Made by ``begin``, on the model thread.

    Attributes:
        model: The model whose states are asked about.
        query: The question.
        clean: The run over the unchanged prompt.
        site: Where states are overwritten.
        strategy: The execution strategy of ablations, one of ``strategies.STRATEGIES``.
        forced: The one execution strategy for everything; ``None`` if they are tried.
        scorer: Scores the metric.
        clean_metric: The metric ``m[j]`` of the unchanged prompt, shape ``(n_targets,)``.
        memory: The plan of how many copies are computed at once.
    """

    model: LocalModel
    query: Query
    clean: CleanRun
    site: Site
    strategy: str
    forced: str | None
    scorer: Scorer
    clean_metric: Tensor
    memory: MemoryPlan

    @classmethod
    def begin(
        cls, model: LocalModel, query: Query, *, strategy: str | None = None, memory_limit: int | None = None
    ) -> Experiment:
        """Run the prompt once.

        Args:
            model: The model whose states are asked about.
            query: The question.
            strategy: The execution strategy; by default the fastest that agrees with full forward passes.
            memory_limit: Bytes that may be used; by default a share of the free memory.

        Raises:
            QueryError: if the model lacks the site, or the metric is a function that cannot be used.
            ModelError: if the model's values are not finite, or a trace does not see its hooks.
        """
        site = model.site(query.site, query.head)
        clean = model.clean_run(query.token_ids, site)
        forced = None if strategy is None else strategies.check_known(strategy)
        chosen = forced or strategy_for(model, clean, site)
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
        return cls(model, query, clean, site, chosen, forced, scorer, metric, memory)

    @property
    def direct_strategy(self) -> str:
        """The execution strategy of direct effects. It is tried when this is first read."""
        return self.forced or strategy_for(self.model, self.clean, self.site, DIRECT)

    def predicts_as(self, other: Experiment) -> bool:
        """Whether the metric of the unchanged prompt agrees with that of another experiment."""
        mine, theirs = self.clean_metric, other.clean_metric.to(self.clean_metric)
        return bool((mine - theirs).abs().max() <= agreement(self.model.dtype) * mine.abs().max())

    def at(self, site: Site) -> Experiment:
        """The same experiment at another site."""
        clean = self.model.clean_run(self.query.token_ids, site)
        return replace(self, site=site, clean=clean, strategy=self.forced or strategy_for(self.model, clean, site))

    def ablate(self, cells: Cells, states: Tensor, targets: Sequence[int] | None = None) -> Array:
        """Influence of cells, each replaced alone: ``A[layer, i, j] = m[j](h) - m[j](h with h[layer, i] := b)``.

        Args:
            cells: The (layer, source) of each cell, sorted by layer. A cell may occur more than once.
            states: The state that replaces each cell's, shape ``(len(cells), width)``.
            targets: The targets ``t``; all by default.

        Returns:
            Influence of shape ``(len(cells), len(targets))``; 0 where the target is not after the source.
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
            cells: The (layer, source) of each cell.
            states: The states that replace theirs, shape ``(draws, len(cells), width)``.
            targets: As for ``ablate``.

        Returns:
            Influence of shape ``(draws, len(targets))``; 0 where the target is after no source.
        """
        layers, sources = [layer for layer, _ in cells], [source for _, source in cells]
        rows = []
        for draw in states:
            edits = Edits(layers, sources, draw, copies=[0] * len(cells))
            rows.append(self._effect(edits, [min(sources)], self._columns(targets)))
        return np.concatenate(rows)

    def probabilities(self, cells: Cells, states: Tensor, position: int) -> tuple[Tensor, Tensor]:
        """Predictions at one position, on the unchanged prompt and with each cell replaced alone.

        Args:
            cells: The (layer, source) of each cell, sorted by layer; no source is after the position.
            states: The states that replace theirs, shape ``(len(cells), width)``.
            position: The prediction position ``j``.

        Returns:
            Two distributions, each of shape ``(vocab_size,)``; the second is the mean over ``cells``.
        """
        layers, sources = [layer for layer, _ in cells], [source for _, source in cells]

        def distribution(readout: Readout, n_copies: int) -> Tensor:
            copy = torch.arange(n_copies, device=self.model.device)
            logits = readout.logits(copy, torch.full_like(copy, position))
            return torch.softmax(at_least_float32(logits), dim=-1).cpu()

        def some_copies(some: slice) -> Array:
            edits = Edits(layers[some], sources[some], states[some])

            def score(readout: Readout) -> Tensor:
                return torch.cat([distribution(self.scorer.clean, 1), distribution(readout, edits.n_copies)])

            both = strategies.run(
                self.model, self.clean, self.site, edits, score, strategy=self.strategy, stop=position + 1
            )
            kept.append(both[0])
            return both[1:].numpy()

        kept: list[Tensor] = []
        removed = self._in_batches(len(cells), self.memory.copies(position + 1 - min(sources)), some_copies)
        return kept[0], torch.from_numpy(removed).mean(dim=0)

    def direct(self, cells: Cells, states: Tensor, targets: Sequence[int] | None = None) -> Array:
        """Like ``ablate``, with all positions held at their clean states, except the source and the predicting one."""
        layers, sources = [layer for layer, _ in cells], [source for _, source in cells]
        columns = self._columns(targets)
        if self.direct_strategy == SUFFIX:
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
        """Run one copy for each predicting position, where ``suffix`` is wrong for direct effects."""
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
        """Do ``work(slice)`` for all of ``n`` copies, with fewer at a time after memory has run out."""
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
                        advice="Use a shorter prompt or a smaller model. Values computed so far are kept.",
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
        if len(copy):
            position = columns[column]
            ablated = strategies.run(
                self.model,
                self.clean,
                self.site,
                edits,
                lambda readout: self.scorer(readout, copy, position),
                strategy=self.strategy if held is None else self.direct_strategy,
                stop=1 + max(int(columns.max()), max(sources)),
                held=held,
            )
            influence[copy, column] = self.clean_metric[position] - ablated.to(columns.device)
        values: Array = influence.cpu().numpy()
        return values


def _clean_readout(model: LocalModel, clean: CleanRun, strategy: str) -> Readout:
    if strategy != FULL:
        return FromStates(model.head, clean.states[-1][None])
    return FromLogits(model.traced(clean.input_ids, model.traced_logits))

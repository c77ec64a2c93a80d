"""The engine compared with the machine's limit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

import horizon_widget as hw
from benchmarks import limits
from benchmarks.limits import Limit
from benchmarks.rows import Row, median_seconds
from horizon_widget.models import thread
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.query import Query
from horizon_widget.schedule.engine import Engine, compute
from horizon_widget.schedule.plan import Interest

N_TOKENS = 64
CLICKED = 3


def measure(model: hw.Model, prompt: str) -> list[Row]:
    """All rows about the engine; runs on the model thread."""
    return thread.run(lambda: _measure(model, model.tokenize(prompt)[:N_TOKENS]))


def _measure(model: hw.Model, ids: tuple[int, ...]) -> list[Row]:
    now = limits.measure(model)
    query = Query(ids, baseline=Baseline("mean"))
    exact = Engine(model, query)
    exact.ask("prepare", layers=list(range(model.n_layers)))
    rows = [
        Row("products with a block's weights, 512 rows (10^9 operations/s)", now.blocks / 1e9, 1.0, "itself"),
        Row("products with the unembedding, 512 rows (10^9 operations/s)", now.head / 1e9, 1.0, "itself"),
    ]
    for layer in (0, model.n_layers // 2, model.n_layers - 2):
        seconds, ratio = _against(exact, Interest(layer, layers=[layer], patient=True), _map_of(layer, len(ids)))
        rows.append(Row(f"exact map of layer {layer}, {len(ids)} tokens", seconds, ratio, "its limit", 1.4))
    rows += [_row(exact), *_tensors(model, query, exact), _trace_overhead(model, exact)]
    rows.append(_preparation(model, query, rows))
    return rows


def _map_of(layer: int, n_tokens: int) -> Callable[[Limit], float]:
    return lambda limit: limit.rows(layer, n_tokens**2 / 2)


def _against(engine: Engine, interest: Interest, needed: Callable[[Limit], float], repeats: int = 3) -> Any:
    def work() -> None:
        forget(engine)
        list(compute(engine, interest))

    return limits.against(engine.model, work, needed, repeats)


def _row(exact: Engine) -> Row:
    n_layers, later = exact.model.n_layers, exact.query.n_tokens - 1 - CLICKED

    def needed(limit: Limit) -> float:
        return sum(limit.rows(layer, later) for layer in range(n_layers))

    seconds, ratio = _against(exact, Interest(n_layers // 2, source=CLICKED), needed)
    return Row("exact row at every layer, one clicked source", seconds, ratio, "its limit", 2.0)


def _tensors(model: hw.Model, query: Query, exact: Engine) -> list[Row]:
    n_layers, n_tokens = model.n_layers, query.n_tokens
    everything = Interest(0, layers=range(n_layers), patient=True)

    def exact_needed(limit: Limit) -> float:
        return sum(limit.rows(layer, n_tokens**2 / 2) for layer in range(n_layers))

    def gradient_needed(limit: Limit) -> float:
        return limit.passes(n_layers * n_tokens**2 / 2, 2 * n_tokens)

    gradient = Engine(model, replace(query, method="gradient"))
    seconds, ratio = _against(exact, everything, exact_needed, 1)
    first, first_ratio = _against(gradient, everything, gradient_needed)
    return [
        Row("exact tensor, all layers", seconds, ratio, "its limit", 1.4),
        Row("gradient tensor, all layers", first, first_ratio, "its limit", 1.8),
    ]


def _trace_overhead(model: hw.Model, exact: Engine) -> Row:
    layer = model.n_layers // 2
    interest = Interest(layer, layers=[layer], patient=True)

    def work() -> None:
        forget(exact)
        list(compute(exact, interest))

    ratios = []
    for _ in range(3):  # one after the other, because the machine's rate changes
        traced = median_seconds(work, 1)
        with _without_trace(model):
            plain = median_seconds(work, 1)
        ratios.append((traced / plain, traced))
    ratio, seconds = sorted(ratios)[1]
    return Row(f"exact map of layer {layer} inside an nnsight trace", seconds, ratio, "without nnsight", 1.10)


@contextmanager
def _without_trace(model: Any) -> Any:
    """The same computation of a local model by its plain modules, without a trace."""

    def plainly(_clean: Any, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return work()

    inside, blocks, norms = model.inside_trace, model.blocks, model.head._norms
    model.inside_trace = plainly
    model.blocks = [_Plain(block._module) for block in blocks]
    model.head._norms = [norm._module for norm in norms]
    try:
        yield
    finally:
        model.inside_trace, model.blocks, model.head._norms = inside, blocks, norms


class _Plain:
    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._module(*args, **kwargs)


def _preparation(model: hw.Model, query: Query, rows: list[Row]) -> Row:
    row = next(row.seconds for row in rows if row.name.startswith("exact row"))

    def prepare() -> None:
        Engine(model, replace(query, baseline=Baseline())).ask("prepare", layers=list(range(model.n_layers)))

    seconds = median_seconds(prepare, 1)
    return Row("preparing every layer (baseline check, noise floor)", seconds, seconds / row, "the row")


def forget(engine: Engine) -> None:
    """Mark everything as not computed."""
    influence = engine.map.dataset["influence"].values
    influence[:, engine.map.dataset["offset"].values >= 1] = float("nan")
    engine.map.done[:] = engine.map._finished(slice(None))

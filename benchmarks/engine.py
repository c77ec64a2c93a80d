"""The engine against the machine's own limit, and against full forward passes with a hook."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

import horizon_widget as hw
from horizon_widget.attribution.engine import Engine, compute
from horizon_widget.attribution.plan import Interest, Part, sample_source
from horizon_widget.models import thread
from horizon_widget.query import Query

N_TOKENS = 64
REPEATS = 3


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, in seconds, and a ratio to something in the same run."""

    name: str
    seconds: float
    ratio: float
    of: str


def median_seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall time of several runs after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def product_rate(model: hw.Model) -> float:
    """Operations per second of matrix products on the model's own shapes, with 512 rows, weighted as in one block."""
    module = model._traced._module
    weights = [p for p in module.model.layers[0].parameters() if p.dim() == 2]
    inputs = [torch.randn(512, weight.shape[1]) for weight in weights]

    def products() -> None:
        for _ in range(10):
            for matrix, weight in zip(inputs, weights, strict=True):
                matrix @ weight.T

    with torch.no_grad():
        seconds = median_seconds(products)
    return 10 * sum(2 * 512 * weight.numel() for weight in weights) / seconds


def full_forward_map(model: hw.Model, ids: Sequence[int], layer: int, mean: torch.Tensor, batch: int = 8) -> None:
    """The same map by batches of full forward passes of a plain model with one hook."""
    module = model._traced._module
    input_ids = torch.tensor([list(ids)])
    targets = input_ids[0, 1:]
    for first in range(0, len(ids) - 1, batch):
        sources = torch.arange(first, min(first + batch, len(ids) - 1))

        def overwrite(_module, args, kwargs, sources=sources):
            states = args[0].clone()
            states[torch.arange(len(sources)), sources] = mean
            return (states, *args[1:]), kwargs

        handle = module.model.layers[layer].register_forward_pre_hook(overwrite, with_kwargs=True)
        try:
            with torch.no_grad():
                logits = module(input_ids.expand(len(sources), -1), use_cache=False).logits[:, :-1]
                for one in logits:  # one copy at a time, as a careful user would to keep memory low
                    torch.log_softmax(one, dim=-1).gather(-1, targets[:, None])
        finally:
            handle.remove()


def measure(model: hw.Model, prompt: str) -> list[Row]:
    """All rows about the engine; runs on the model thread."""
    return thread.run(lambda: _measure(model, model.tokenize(prompt)[:N_TOKENS]))


def _measure(model: hw.Model, ids: Sequence[int]) -> list[Row]:
    rate = product_rate(model)
    rows = [Row("matrix products, rows of 512 (in 10^9 operations/s)", rate / 1e9, 1.0, "itself")]
    query = Query(tuple(ids))
    head, block = model.vocab_size * model.d_model, model.weights_per_block
    for layer in (0, model.n_layers // 2, model.n_layers - 2):
        limit = len(ids) ** 2 * (block * (model.n_layers - layer) + head) / rate
        prepared = _prepared(model, query, layer)
        if prepared._preparations[layer].baseline != "mean":
            query_mean = Query(tuple(ids), baseline="mean")
            prepared = _prepared(model, query_mean, layer)

        def layer_map(prepared=prepared, layer=layer) -> None:
            _forget(prepared, layer)
            list(compute(prepared, Interest(layer=layer, layers=[layer])))

        seconds = median_seconds(layer_map)
        rows.append(Row(f"exact map of layer {layer}, {len(ids)} tokens", seconds, seconds / limit, "its limit"))
        if layer == model.n_layers // 2:
            mean = prepared._mean_states[layer]
            hooked = median_seconds(lambda mean=mean, layer=layer: full_forward_map(model, ids, layer, mean), 1)
            rows.append(
                Row("the same by full forward passes with a hook, batches of 8", hooked, hooked / seconds, "ours")
            )
    rows += _rows_of_a_click(model, query, rate)
    return rows


def _rows_of_a_click(model: hw.Model, query: Query, rate: float) -> list[Row]:
    head, block = model.vocab_size * model.d_model, model.weights_per_block
    engine = _prepared(model, query, *range(model.n_layers))
    source, n_later = 3, query.n_tokens - 1 - 3

    def every_layer() -> None:
        for layer in range(model.n_layers):
            engine.map.done[layer, source] = False
            engine.compute(Part(layer, (source,)))

    limit = sum(2 * n_later * (block * (model.n_layers - layer) + head) for layer in range(model.n_layers)) / rate
    seconds = median_seconds(every_layer)

    def unprepared() -> None:
        fresh = Engine(model, query)
        for layer in range(model.n_layers):
            fresh.compute(Part(layer, (sample_source(query.n_tokens),)))

    return [
        Row("exact row at every layer, one clicked source", seconds, seconds / limit, "its limit"),
        Row(
            "preparing every layer (baseline check, noise floor)",
            (p := median_seconds(unprepared, 1)),
            p / seconds,
            "the row",
        ),
    ]


def _prepared(model: hw.Model, query: Query, *layers: int) -> Engine:
    engine = Engine(model, query)
    for layer in layers:
        engine.compute(Part(layer, (sample_source(query.n_tokens),)))
    return engine


def _forget(engine: Engine, layer: int) -> None:
    engine.map.done[layer] = np.arange(query_tokens(engine)) == query_tokens(engine) - 1


def query_tokens(engine: Engine) -> int:
    """``T`` of an engine's prompt."""
    return engine.query.n_tokens

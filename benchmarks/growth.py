"""Growth of time and peak memory with tokens and layers, beside the cost model's exponents."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import horizon_widget as hw
from benchmarks.rows import Row

TOKENS = (32, 64, 128, 256, 512)
LAYERS = (4, 8, 15, 30)
AT_TOKENS = 64
LAYER = 28  # of 30: two blocks and the head
TEXT = (
    "The keeper wrote down the weather, the ships that passed and the hour at which the lamp was lit. On some days "
    "nothing passed, and then she wrote about the birds. "
) * 20

# Each point has a process of its own, because the peak of one would hide that of the next.
MEASURE = """
import json, sys, time
import horizon_widget as hw
from horizon_widget.schedule.engine import Engine
from horizon_widget.schedule.engine import compute
from horizon_widget.schedule.plan import Interest
from horizon_widget.question.baseline import Baseline
from horizon_widget.models import thread
from horizon_widget.question.query import Query
from tests.peak import Peak

tokens, layers, layer, text = json.loads(sys.argv[1])
model = hw.load_model("demo")
if layers < model.n_layers:
    del model.hf_model.model.layers[layers:]
    model.hf_model.config.num_hidden_layers = layers
    model = hw.load_model(model.hf_model, tokenizer=model.tokenizer)
ids = model.tokenize(text)[:tokens]
warm = Engine(model, Query(ids[:32], baseline=Baseline("zero")))
list(compute(warm, Interest(layer, layers=[layer], sources=(20, 21))))
with Peak() as peak:
    engine = Engine(model, Query(ids, baseline=Baseline("zero")))
    thread.run(lambda: engine.ask("prepare", layers=[layer]))
    began = time.perf_counter()
    list(compute(engine, Interest(layer, layers=[layer], patient=True)))
print(json.dumps([time.perf_counter() - began, peak.bytes / 1e6]))
"""


@dataclass(frozen=True)
class Point:
    """One exact map of a layer: its size, seconds, and the peak beyond the model's memory, in megabytes."""

    size: int
    seconds: float
    peak: float


def measure(model: hw.Model) -> list[Row]:
    """A map of a late layer for growing prompts, and of the first layer for growing models."""
    block, head = model.weights_per_block, model.vocab_size * model.d_model
    by_tokens = [_point(n, model.n_layers, LAYER, n) for n in TOKENS]
    by_layers = [_point(AT_TOKENS, n, 0, n) for n in LAYERS]
    blocks_above = model.n_layers - LAYER
    costs = [n**2 * (block * blocks_above + head) for n in TOKENS]
    deep = [block * n + head for n in LAYERS]
    return [
        *_rows(f"exact map of layer {LAYER}", "tokens", by_tokens, costs),
        *_rows(f"exact map of layer 0, {AT_TOKENS} tokens", "layers", by_layers, deep),
    ]


def _point(n_tokens: int, n_layers: int, layer: int, size: int) -> Point:
    arguments = json.dumps([n_tokens, n_layers, layer, TEXT])
    done = subprocess.run([sys.executable, "-c", MEASURE, arguments], capture_output=True, text=True, check=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return Point(size, seconds, peak)


def _rows(what: str, grows: str, points: Sequence[Point], costs: Sequence[float]) -> list[Row]:
    sizes = [point.size for point in points]
    fitted, expected = exponent(sizes, [point.seconds for point in points]), exponent(sizes, costs)
    least, of = points[0].seconds, f"that of {points[0].size}"
    rows = [
        Row(f"{what}, {point.size} {grows}; peak {point.peak:.0f} MB", point.seconds, point.seconds / least, of)
        for point in points
    ]
    of_model = f"{expected:.2f}, the cost model"
    return [*rows, Row(f"{what}: exponent of time in {grows}", fitted, fitted / expected, of_model)]


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of a line through the logarithms, by least squares."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)

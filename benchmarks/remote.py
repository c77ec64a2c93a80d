"""A remote model compared with the same local one: times and traffic, with a real NDIF server on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import nnsight

import horizon_widget as hw
from benchmarks.rows import REPEATS, Row, median_seconds
from horizon_widget.models.demo import demo_model_folder
from horizon_widget.question.reading import read_query
from horizon_widget.remote.remote_model import RemoteModel
from horizon_widget.schedule.engine import Engine, compute
from horizon_widget.schedule.plan import Interest
from tests.remote.server.running import Server

TRUSTED, SANDBOXED = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
N_TOKENS = 64
CLICKED, MIDDLE = 16, 15
CLICKS = (16, 17, 18, 30, 31, 5, 40, 41, 55, 20)


def measure(prompt: str) -> list[Row]:
    """All rows about remote models."""
    here = hw.load_model("demo")
    with Server([demo_model_folder()], keys={TRUSTED: ["trusted"], SANDBOXED: []}) as server:
        with _user(server.url, TRUSTED):
            rows = [*_beside(here, "trusted", prompt), *_growth(prompt), *_ten_clicks(prompt)]
        with _user(server.url, SANDBOXED):
            rows += _beside(here, "sandboxed", prompt, must=False)
    return rows


@contextmanager
def _user(url: str, key: str) -> Iterator[None]:
    os.environ.update(NDIF_HOST=url, NDIF_API_KEY=key)
    nnsight.CONFIG.API.HOST, nnsight.CONFIG.API.APIKEY = url, key
    yield


@dataclass(frozen=True)
class Traffic:
    """Kilobytes sent to a host and received from it."""

    requests: float
    sent: float
    received: float

    def __str__(self) -> str:
        return f"KB sent {self.sent:.1f}, received {self.received:.1f}"


@contextmanager
def _counting(model: RemoteModel, times: int = 1) -> Iterator[Callable[[], Traffic]]:
    """Returns the traffic since then, divided by a number of times."""
    host = model.host
    before = (host.requests, host.bytes_sent / 1e3, host.bytes_received / 1e3)

    def so_far() -> Traffic:
        now = (host.requests, host.bytes_sent / 1e3, host.bytes_received / 1e3)
        requests, sent, received = ((after - then) / times for after, then in zip(now, before, strict=True))
        return Traffic(requests, sent, received)

    yield so_far


def _remote() -> RemoteModel:
    model = hw.load_model("demo", remote=True)
    assert isinstance(model, RemoteModel)
    _ = model.capabilities
    return model


def _beside(here: hw.Model, kind: str, prompt: str, *, must: bool = True) -> list[Row]:
    there = _remote()
    ids = here.tokenize(prompt)[:N_TOKENS]
    rows = []
    questions: dict[str, tuple[Interest, float, float]] = {
        f"a clicked row at all layers, {N_TOKENS - CLICKED} positions": (Interest(MIDDLE, CLICKED), 1.5, 0.5),
        f"map of layer 0, {N_TOKENS} tokens": (Interest(0, layers=[0], patient=True), 1.3, 1.0),
        f"map of layer {MIDDLE}, {N_TOKENS} tokens": (Interest(MIDDLE, layers=[MIDDLE], patient=True), 1.3, 1.0),
    }
    for name, (interest, factor, extra) in questions.items():
        near = median_seconds(_work(here, ids, interest))
        times = REPEATS if must else 1  # a sandbox is slow
        with _counting(there, times) as traffic:
            far = median_seconds(_work(there, ids, interest), times, warm=False)
        limit = factor + extra / near if must else None
        rows.append(Row(f"{kind}: {name}; {traffic()}", far, far / near, f"{near:.2f} s here", limit))
    return rows


def _work(model: hw.Model, ids: tuple[int, ...], interest: Interest) -> Callable[[], object]:
    """A new engine each time: its prompt is run, layers are prepared, rows computed."""
    query = read_query(model, ids)
    return lambda: list(compute(Engine(model, query), interest))


def _growth(prompt: str) -> list[Row]:
    """The traffic for one row, and for one layer, by number of tokens."""
    model, rows = _remote(), []
    for n_tokens in (16, 32, 64, 128):
        ids = model.tokenize(2 * prompt)[:n_tokens]
        questions = {
            "row at all layers": Interest(MIDDLE, n_tokens // 4),
            "row at 8 layers": Interest(28, layers=range(22, 30), sources=(n_tokens // 4,), patient=True),
            "map of layer 28": Interest(28, layers=[28], patient=True),
        }
        for name, interest in questions.items():
            with _counting(model) as traffic:
                took = median_seconds(_work(model, ids, interest), 1, warm=False)
            rows.append(Row(f"{n_tokens} tokens, {name}: {traffic()}", took, traffic().requests, "request"))
    return rows


def _ten_clicks(prompt: str) -> list[Row]:
    """One reader: one layer, then ten tokens."""
    model = _remote()
    engine = Engine(model, read_query(model, model.tokenize(prompt)[:N_TOKENS]))

    def read() -> None:
        list(compute(engine, Interest(MIDDLE, layers=[MIDDLE])))
        for token in CLICKS:
            list(compute(engine, Interest(MIDDLE, token)))

    with _counting(model) as traffic:
        took = median_seconds(read, 1, warm=False)
    return [Row(f"one layer and ten clicks: {traffic()}", took, traffic().requests, "request")]

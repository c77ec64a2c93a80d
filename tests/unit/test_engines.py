"""All requests with the same question to a model share one engine, from any thread."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import horizon_widget as hw
from horizon_widget.models.thread import ModelThread
from horizon_widget.question.query import Query
from horizon_widget.schedule.engine import ENGINES_KEPT, Engine, engine_for
from tests.conftest import PROMPT

LONG = 30


def in_two_threads(work):
    with ThreadPoolExecutor(2) as pool:
        return [future.result(LONG) for future in [pool.submit(work) for _ in range(2)]]


@pytest.mark.parametrize("outdated", [False, True])
def test_two_threads_that_ask_while_an_engine_is_checked_get_the_same(model, monkeypatch, outdated):
    query = Query(model.tokenize(PROMPT))
    first = engine_for(model, query)
    both_check = threading.Barrier(2)

    def checked(self):
        both_check.wait(LONG)
        return outdated

    monkeypatch.setattr(Engine, "is_outdated", checked)
    one, other = in_two_threads(lambda: engine_for(model, query))
    assert one is other
    assert (one is first) is not outdated


def test_two_threads_compute_nothing_twice(model, monkeypatch):
    computed = []
    record = Engine.ask

    def recording(self, task, **arguments):
        if task == "rows":
            computed.extend(arguments["cells"])
        return record(self, task, **arguments)

    monkeypatch.setattr(Engine, "ask", recording)
    one, other = in_two_threads(lambda: hw.attribute(model, PROMPT, baseline="zero", progress=False))
    np.testing.assert_array_equal(one.values, other.values)
    assert len(computed) == len({*computed})


def test_an_engine_in_use_is_found_however_many_questions_come_after(model):
    query = Query(model.tokenize(PROMPT))
    used = engine_for(model, query)
    for seed in range(1, ENGINES_KEPT + 2):
        engine_for(model, Query(query.token_ids, seed=seed))
    assert engine_for(model, query) is used


def test_an_estimate_is_made_on_the_model_s_thread(model, monkeypatch):
    seen = []
    needed = Engine.memory_needed

    def seeing(self):
        seen.append(model.thread.is_this)
        return needed(self)

    monkeypatch.setattr(Engine, "memory_needed", seeing)
    hw.estimate(model, PROMPT, layers=1, baseline="zero")
    assert seen == [True]


def test_work_for_a_remote_model_runs_on_that_model_s_thread():
    """This includes calls from another remote model's thread."""
    one, other = ModelThread("remote"), ModelThread("remote")
    assert not one.run(lambda: other.is_this)
    assert one.run(lambda: other.run(lambda: (one.is_this, other.is_this))) == (False, True)

"""A memory limit is respected, and running out of memory does not end a computation."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import horizon_widget as hw
from horizon_widget.compute.memory import MemoryPlan
from horizon_widget.models import backward, strategies
from tests.conftest import PROMPT


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1 GB", True])
def test_a_limit_is_a_number_of_bytes(model, limit):
    with pytest.raises(hw.QueryError, match="memory_limit: .* is not a positive whole number of bytes"):
        hw.attribute(model, PROMPT, memory_limit=limit, progress=False)


def test_a_limit_under_one_copy_says_how_much_is_needed(model):
    with pytest.raises(
        hw.QueryError, match=r"memory_limit: one copy of this prompt of 31 tokens takes about [\d.]+ MB"
    ):
        hw.attribute(model, PROMPT, memory_limit=1000, progress=False)


def test_a_small_limit_makes_smaller_batches_and_the_same_map(model, monkeypatch):
    expected = hw.attribute(model, PROMPT, baseline="zero", progress=False)
    copies = []
    run = strategies.run
    monkeypatch.setattr(
        strategies, "run", lambda m, c, s, edits, *a, **k: copies.append(edits.n_copies) or run(m, c, s, edits, *a, **k)
    )
    model.cache.clear()
    plan = MemoryPlan(*_needs(model), limit=1)
    got = hw.attribute(model, PROMPT, baseline="zero", memory_limit=int(plan.needed(2, 31)), progress=False)
    np.testing.assert_allclose(got.values, expected.values, atol=1e-5)
    assert max(copies) <= 8
    assert sum(copies) > 4 * 30


def _needs(model):
    from horizon_widget.compute import memory
    from horizon_widget.question.reading import read_query

    return memory._needs(model, read_query(model, PROMPT), strategies.SUFFIX)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("not enough memory: you tried to allocate"),
    ],
)
def test_when_memory_runs_out_smaller_parts_are_tried(model, monkeypatch, error):
    expected = hw.attribute(model, PROMPT, baseline="zero", progress=False)
    run, sizes = strategies.run, []

    def tight(m, clean, site, edits, *args, **options):
        sizes.append(edits.n_copies)
        if edits.n_copies > 3:
            raise error
        return run(m, clean, site, edits, *args, **options)

    model.cache.clear()
    monkeypatch.setattr(strategies, "run", tight)
    got = hw.attribute(model, PROMPT, baseline="zero", progress=False)
    np.testing.assert_allclose(got.values, expected.values, atol=1e-5)
    failed = [size for size in sizes if size > 3]
    assert 0 < len(failed) < 10, "a size that did not fit is not tried again"


def test_the_same_for_gradients(model, monkeypatch):
    expected = hw.attribute(model, PROMPT, baseline="zero", method="gradient", progress=False)
    together = backward._all_at_once

    def tight(output, inputs, cotangents):
        if len(cotangents) > 4:
            raise MemoryError
        return together(output, inputs, cotangents)

    model.cache.clear()
    monkeypatch.setattr(backward, "_all_at_once", tight)
    got = hw.attribute(model, PROMPT, baseline="zero", method="gradient", progress=False)
    np.testing.assert_allclose(got.values, expected.values, rtol=1e-4, atol=1e-5)


def test_when_one_copy_does_not_fit_finished_rows_are_kept_and_the_error_says_so(model, monkeypatch):
    hw.attribute(model, PROMPT, layers=2, baseline="zero", progress=False)
    monkeypatch.setattr(strategies, "run", lambda *a, **k: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(hw.ModelError, match="not enough memory for one copy of the prompt"):
        hw.attribute(model, PROMPT, baseline="zero", progress=False)
    assert hw.attribute(model, PROMPT, layers=2, baseline="zero", progress=False).done[2].all()


MEASURE = """
import sys
import horizon_widget as hw
from tests.peak import Peak

model = hw.load_model("demo")
text = "The key to the old library was kept in a blue tin on the shelf by the window. " * 4
method, limit = sys.argv[1], int(float(sys.argv[2]) * 1e6)
options = dict(method=method, memory_limit=limit, progress=False, baseline="zero")
hw.attribute(model, text, layers=29, targets=5, sources=0, **options)  # loads everything that is loaded once
with Peak() as peak:
    hw.attribute(model, text, layers=[20, 29] if method == "ablation" else None, **options)
print(peak.bytes / 1e6)
"""


@pytest.mark.demo_model
@pytest.mark.parametrize(("method", "limit"), [("ablation", 70), ("ablation", 400), ("gradient", 400)])
def test_the_measured_peak_stays_within_the_limit(demo_model, method, limit):
    command = [sys.executable, "-c", MEASURE, method, str(limit)]
    # One arena. Other threads' arenas do not always return freed memory, and new work could use it unnoticed.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], env=environment
    )
    assert 1 < float(done.stdout) <= limit

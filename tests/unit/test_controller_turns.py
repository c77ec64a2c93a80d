"""The use of idle time, and how single cells take turns with rows."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from horizon_widget.compute.findings import Cell
from horizon_widget.models import thread
from horizon_widget.schedule.engine import Engine
from horizon_widget.schedule.jobs import Inspection
from tests.conftest import PROMPT
from tests.widgets import LONG, settle

# -- idle time ---------------------------------------------------------------------------------------------------------


def test_idle_time_goes_to_the_neighbours_of_the_selection_first(controller, recorder, held_model_thread):
    controller._engine.rows_per_part = 16
    controller.look_at(2, 10)
    controller.allow_filling()
    held_model_thread()
    controller.wait(whole_map=True, timeout=LONG)
    settle()
    rows = recorder.computed()
    asked_for = {(2, source) for source in range(len(PROMPT))} | {(layer, 10) for layer in range(4)}
    rest = [place for place in rows if place not in asked_for]
    near = [place for place in rest if place[1] in (8, 9, 11, 12)]
    sampled = {(layer, place) for layer, place in rest[: len(near) + 4] if place == 1}  # this prepares a layer
    assert set(rest[: len(near) + len(sampled)]) == {*near, *sampled}
    assert [source for _, source in near] == [11] * 3 + [9] * 3 + [12] * 3 + [8] * 3


def test_for_a_column_idle_time_goes_to_the_tokens_before_it(controller, recorder, held_model_thread):
    controller._engine.rows_per_part = 16
    controller.look_at(2, None, target=5)
    controller.allow_filling()
    held_model_thread()
    controller.wait(whole_map=True, timeout=LONG)
    settle()
    later = [(layer, source) for layer, source in recorder.computed() if layer != 2 and source != 1]
    column = {(layer, source) for layer in (0, 1, 3) for source in (0, 2, 3, 4)}
    assert set(later[: len(column)]) == column


def test_without_idle_time_a_column_has_only_the_layer_on_the_screen(controller):
    controller.look_at(1, None, target=5)
    controller.wait(timeout=LONG)
    settle()
    assert controller.map.computed_layers == (1,)
    assert not controller.map.done[[0, 2, 3], :-1].any()


# -- cells -------------------------------------------------------------------------------------------------------------


def test_a_cell_is_looked_into_between_parts_of_the_filling(controller, recorder, monkeypatch):
    controller._engine.rows_per_part = 16
    controller.start()
    controller.allow_filling()
    order = []
    compute = Engine.compute

    def note(self, part):
        order.append("part")
        if len(order) == 12:
            controller.inspect(Cell(1, 2, 6), ["direct"])
        compute(self, part)

    monkeypatch.setattr(Engine, "compute", note)
    recorder.on_finding = lambda *_: order.append("finding")
    controller.wait(whole_map=True, timeout=LONG)
    assert order.index("finding") in (12, 13), "after the part under way, two steps that take turns with the next one"
    assert len(order) > 20


def test_a_cell_is_looked_into_even_after_a_cancellation_or_an_error(controller, recorder, monkeypatch):
    controller.start()
    controller.wait(timeout=LONG)
    controller.cancel()
    controller.inspect(Cell(1, 2, 6), ["direct"])
    settle()
    assert [aspect for _, aspect, _, problem in recorder.findings if problem is None] == ["direct"]


@pytest.mark.long
def test_clicking_faster_than_it_computes_leaves_no_queue_and_the_last_click_wins(
    controller, recorder, held_model_thread
):
    """Memory is measured without running the model, which keeps some of the memory that it frees."""
    controller.start()

    def click(number):
        controller.look_at(number % 4, number % 30)
        controller.look_at(number % 3, None, target=1 + number % 30)
        controller.inspect(Cell(number % 4, number % 10, 11 + number % 20), ["direct", "predictions"])

    for number in range(200):
        click(number)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    for number in range(5000):
        click(number)
    controller.look_at(1, 7)
    controller.inspect(Cell(3, 7, 21), ["direct"])
    gc.collect()
    after = tracemalloc.take_snapshot()
    tracemalloc.stop()
    grown = sum(difference.size_diff for difference in after.compare_to(before, "filename"))
    assert grown < 50_000
    assert thread.LOCAL._executor._work_queue.qsize() <= 1
    held_model_thread()
    controller.wait(timeout=LONG)
    settle()
    assert recorder.computed()[0] == (1, 7)
    assert [(cell, aspect) for cell, aspect, _, _ in recorder.findings] == [(Cell(3, 7, 21), "direct")]
    assert controller.map.computed_layers == (1,)


def test_clicking_while_it_computes_ends_with_the_last_click(controller, recorder):
    controller.start()
    for number in range(1000):
        controller.look_at(number % 4, number % 30)
        controller.inspect(Cell(number % 4, number % 10, 11 + number % 20), ["direct"])
        assert thread.LOCAL._executor._work_queue.qsize() <= 1
    controller.look_at(0, 5)
    controller.inspect(Cell(0, 5, 9), ["direct"])
    assert controller.wait(timeout=LONG).state == "ready"
    settle()
    assert controller.map.done[0].all()
    assert controller.map.done[:, 5].all()
    assert recorder.findings[-1][:2] == (Cell(0, 5, 9), "direct")
    assert not controller._has_work(controller._plan())


def test_a_newer_cell_overtakes_the_carriers_of_an_older_one(controller, recorder, monkeypatch):
    controller._engine.rows_per_part = 16
    controller.start()
    controller.wait(timeout=LONG)
    steps = []
    step = Inspection.step

    def note(self):
        steps.append(self.cell)
        if len(steps) == 4:
            controller.inspect(Cell(1, 3, 9), ["carriers"])
        return step(self)

    monkeypatch.setattr(Inspection, "step", note)
    controller.inspect(Cell(0, 2, 6), ["carriers"])
    settle()
    assert steps[:4] == [Cell(0, 2, 6)] * 4
    assert set(steps[4:]) == {Cell(1, 3, 9)}
    assert [cell for cell, *_ in recorder.findings] == [Cell(1, 3, 9)]
    assert len(steps[4:]) > 6, "in steps, not all at once"


def test_a_row_asked_for_meanwhile_takes_turns_with_a_long_inspection(controller, recorder, monkeypatch):
    controller._engine.rows_per_part = 16
    controller.start()
    controller.wait(timeout=LONG)
    work = []
    step, compute = Inspection.step, Engine.compute

    def note_step(self):
        work.append("step")
        if len(work) == 3:
            controller.look_at(2, 9)
        return step(self)

    monkeypatch.setattr(Inspection, "step", note_step)
    monkeypatch.setattr(Engine, "compute", lambda self, part: work.append("part") or compute(self, part))
    controller.inspect(Cell(0, 2, 6), ["carriers"])
    settle()
    assert work[:7] == ["step", "step", "step", "part", "step", "part", "step"]
    assert controller.map.done[:, 9].all()
    assert [aspect for _, aspect, _, _ in recorder.findings] == ["carriers"]

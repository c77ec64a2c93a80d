"""What is computed next when the reader changes their mind."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import pytest

from horizon_widget.attribution.ablation_engine import AblationEngine
from horizon_widget.attribution.cell import Inspection
from horizon_widget.attribution.findings import Cell
from horizon_widget.baseline import Baseline
from horizon_widget.controller import Controller
from horizon_widget.errors import HorizonError, ModelError, describe
from horizon_widget.models import thread
from horizon_widget.query import Query
from tests.conftest import PROMPT
from tests.widgets import LONG, settle


class Recorder:
    """Keeps all that a controller says."""

    def __init__(self):
        self.rows, self.statuses, self.findings, self.written, self.failures = [], [], [], [], []

    def on_rows(self, layer, sources):
        self.rows.append((layer, sources))

    def on_status(self, status):
        self.statuses.append(status)

    def on_finding(self, cell, aspect, found, problem):
        self.findings.append((cell, aspect, found, problem))

    def on_written(self, token_ids):
        self.written.append(token_ids)

    def on_failed(self, field, problem):
        self.failures.append((field, problem))

    def places(self):
        return [(layer, source) for layer, sources in self.rows for source in sources]

    def computed(self):
        """Without the last token, which has nothing ahead and so nothing to compute."""
        return [(layer, source) for layer, source in self.places() if source != len(PROMPT) - 1]


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def controller(model, recorder):
    made = Controller(model, Query(model.tokenize(PROMPT), baseline=Baseline("zero")), layer=2, listener=recorder)
    yield made
    made.close()


def test_the_first_picture_is_the_whole_layer_on_the_screen_and_nothing_else(controller, recorder):
    controller.start()
    status = controller.wait(timeout=LONG)
    settle()
    assert {layer for layer, _ in recorder.rows} == {2}
    assert controller.map.done[2].all()
    assert status.state == "ready"
    assert recorder.statuses[-1].filling == "idle"


def test_a_selected_token_is_answered_at_its_layer_first_then_at_every_layer(controller, recorder):
    controller.start()
    controller.wait(timeout=LONG)
    recorder.rows.clear()
    controller.look_at(1, 4)
    controller.wait(timeout=LONG)
    first_layers = [layer for layer, sources in recorder.rows if 4 in sources]
    assert first_layers == [1, 0, 3]
    assert controller.map.done[:, 4].all()
    assert controller.map.done[1].all()


def test_a_newer_click_overtakes_an_older_one(controller, recorder, held_model_thread):
    controller.start()
    controller.look_at(2, 3)
    controller.look_at(0, 8)
    controller.look_at(3, 10)
    held_model_thread()
    controller.wait(timeout=LONG)
    assert recorder.rows[0][0] == 3
    assert 10 in recorder.rows[0][1]
    assert not controller.map.done[0, 3], "nobody looks at it any more"


def test_idle_time_is_used_only_when_somebody_looks_and_no_cell_runs(controller, recorder):
    controller.start()
    controller.wait(timeout=LONG)
    controller.cells_running(True)
    controller.allow_filling()
    settle()
    assert not controller.map.done[0, 0]
    assert recorder.statuses[-1].filling == "waiting"
    controller.cells_running(False)
    controller.wait(whole_map=True, timeout=LONG)
    settle()
    assert controller.map.done.all()
    assert recorder.statuses[-1].filling == "complete"
    assert recorder.statuses[-1].done == 1.0


def test_waiting_for_the_whole_map_in_a_cell_does_not_wait_for_that_cell_to_end(controller):
    controller.cells_running(True)
    controller.start()
    assert controller.wait(whole_map=True, timeout=LONG).filling == "complete"


def test_cancel_stops_and_keeps_resume_goes_on(controller, recorder, held_model_thread):
    controller.start()
    controller.cancel()
    held_model_thread()
    settle()
    assert recorder.rows == []
    assert controller.wait(timeout=LONG).state == "ready"
    controller.look_at(2, 5)  # a question is answered even so
    controller.wait(timeout=LONG)
    assert controller.map.done[2, 5]
    controller.allow_filling()
    settle()
    assert not controller.map.done[0, 0], "but idle time is not used"
    assert recorder.statuses[-1].filling == "stopped"
    controller.resume()
    controller.wait(whole_map=True, timeout=LONG)
    assert controller.map.done.all()


def test_an_error_is_told_and_what_is_computed_is_kept(controller, recorder, monkeypatch):
    controller.start()
    controller.wait(timeout=LONG)
    compute = AblationEngine.compute
    monkeypatch.setattr(AblationEngine, "compute", lambda self, part: 1 / 0)
    controller.look_at(0, 3)
    status = controller.wait(timeout=LONG)
    assert status.state == "error"
    assert "ZeroDivisionError" in status.error["title"]
    assert "Traceback" in status.error["detail"]
    assert controller.map.done[2].all()
    monkeypatch.setattr(AblationEngine, "compute", compute)
    controller.resume()
    assert controller.wait(timeout=LONG).state == "ready"
    assert controller.map.done[:, 3].all()


def test_two_widgets_take_turns(model, recorder, held_model_thread):
    other = Recorder()
    pair = [
        Controller(model, Query(model.tokenize(text), baseline=Baseline("zero")), layer=1, listener=listener)
        for text, listener in ((PROMPT, recorder), (PROMPT[::-1], other))
    ]
    order = []
    for name, (made, listener) in zip("ab", zip(pair, (recorder, other), strict=True), strict=True):
        made._engine.rows_per_part = 32
        listener.on_rows = lambda *_, name=name: order.append(name)
        made.start()
    held_model_thread()
    for made in pair:
        made.wait(timeout=LONG)
        made.close()
    assert "".join(order).startswith("abab")


def test_rows_that_another_computed_are_told_too(model, recorder):
    other = Recorder()
    query = Query(model.tokenize(PROMPT), baseline=Baseline("zero"))
    for listener in (recorder, other):
        made = Controller(model, query, layer=1, listener=listener)
        made.start()
        made.wait(timeout=LONG)
        made.close()
    settle()
    expected = {(1, source) for source in range(query.n_tokens)}
    assert set(recorder.places()) == set(other.places()) == expected
    assert len(other.places()) == len(expected), "each row once"


def test_waiting_for_the_whole_map_overrides_a_cancelled_filling(controller):
    controller.start()
    controller.cancel()
    controller.look_at(1, 3)
    assert controller.wait(whole_map=True, timeout=LONG).state == "ready"
    assert controller.map.done.all()


def test_a_listener_that_fails_is_reported_and_does_not_stop_the_controller(controller, recorder):
    on_rows = recorder.on_rows
    recorder.on_rows = lambda *_: {}["no such key"]
    controller.start()
    status = controller.wait(timeout=LONG)
    assert "KeyError" in status.error["title"]
    recorder.on_rows = on_rows
    controller.look_at(0, 2)
    assert controller.wait(timeout=LONG).state == "ready"
    assert controller.map.done[:, 2].all()


def test_waiting_on_the_thread_that_computes_is_refused_and_does_not_hang(controller):
    with pytest.raises(HorizonError, match="called from an observer"):
        thread.run(controller.wait)


def test_idle_time_belongs_to_the_widget_last_used(model, recorder, held_model_thread):
    pair = [
        Controller(model, Query(model.tokenize(text), baseline=Baseline("zero")), layer=1, listener=Recorder())
        for text in (PROMPT, PROMPT[::-1])
    ]
    for made in pair:
        made.start()
        made.allow_filling()
    held_model_thread()
    pair[1].wait(whole_map=True, timeout=LONG)
    settle()
    assert pair[1].map.done.all()
    assert pair[0].map.done[1].all()
    assert not pair[0].map.done[0, 0]
    for made in pair:
        made.close()


def test_a_failure_in_idle_time_does_not_come_back_with_each_question(controller, recorder, monkeypatch):
    controller.start()
    controller.wait(timeout=LONG)
    compute = AblationEngine.compute

    def broken_at_the_first_layer(self, part):
        if any(layer == 0 and source != 3 for layer, source in part.cells):
            raise RuntimeError("broken")
        compute(self, part)

    monkeypatch.setattr(AblationEngine, "compute", broken_at_the_first_layer)
    controller.allow_filling()
    settle()
    assert recorder.statuses[-1].state == "error"
    controller.look_at(2, 3)
    assert controller.wait(timeout=LONG).state == "ready"
    settle()
    assert recorder.statuses[-1].state == "ready"


def test_closed_it_computes_no_more(controller, recorder, held_model_thread):
    controller.start()
    controller.close()
    held_model_thread()
    settle()
    assert recorder.rows == []


def test_a_wait_that_is_too_short_says_so(controller, held_model_thread):
    controller.start()
    with pytest.raises(TimeoutError, match=r"not ready after 0\.05 seconds"):
        controller.wait(timeout=0.05)


def test_questions_return_at_once_while_the_kernel_computes(controller, held_model_thread):
    controller.start()
    asked = threading.Thread(target=lambda: [controller.look_at(0, i % 10) for i in range(1000)])
    asked.start()
    asked.join(timeout=LONG)
    assert not asked.is_alive()


@pytest.mark.parametrize(
    ("error", "title", "advice"),
    [
        (ModelError("It is wrong.", advice="Do this."), "It is wrong.", "Do this."),
        (MemoryError(), "There is not enough memory.", "shorter prompt"),
        (RuntimeError("CUDA out of memory. Tried"), "There is not enough memory.", "shorter prompt"),
        (KeyError("x"), "The computation failed: KeyError", "Resume"),
    ],
)
def test_errors_in_plain_words(error, title, advice):
    described = describe(error)
    assert described["title"].startswith(title)
    assert advice in described["advice"]


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
    sampled = {(layer, place) for layer, place in rest[: len(near) + 4] if place == 1}  # what prepares a layer
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


def test_without_idle_time_a_column_is_the_layer_on_the_screen(controller):
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
    compute = AblationEngine.compute

    def note(self, part):
        order.append("part")
        if len(order) == 12:
            controller.inspect(Cell(1, 2, 6), ["direct"])
        compute(self, part)

    monkeypatch.setattr(AblationEngine, "compute", note)
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


def test_clicking_faster_than_it_computes_leaves_no_queue_and_the_last_click_wins(
    controller, recorder, held_model_thread
):
    """Memory is measured where the model does not run: of what it frees it keeps some for itself."""
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
    assert thread._executor._work_queue.qsize() <= 1
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
        assert thread._executor._work_queue.qsize() <= 1
    controller.look_at(0, 5)
    controller.inspect(Cell(0, 5, 9), ["direct"])
    assert controller.wait(timeout=LONG).state == "ready"
    settle()
    assert controller.map.done[0].all()
    assert controller.map.done[:, 5].all()
    assert recorder.findings[-1][:2] == (Cell(0, 5, 9), "direct")
    assert not controller._has_work()


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
    step, compute = Inspection.step, AblationEngine.compute

    def note_step(self):
        work.append("step")
        if len(work) == 3:
            controller.look_at(2, 9)
        return step(self)

    monkeypatch.setattr(Inspection, "step", note_step)
    monkeypatch.setattr(AblationEngine, "compute", lambda self, part: work.append("part") or compute(self, part))
    controller.inspect(Cell(0, 2, 6), ["carriers"])
    settle()
    assert work[:7] == ["step", "step", "step", "part", "step", "part", "step"]
    assert controller.map.done[:, 9].all()
    assert [aspect for _, aspect, _, _ in recorder.findings] == ["carriers"]

"""The choice of the next computation when the reader's interest changes."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from horizon_widget.compute.findings import Cell
from horizon_widget.errors import HorizonError, ModelError, describe
from horizon_widget.models import thread
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.question.query import Query
from horizon_widget.schedule.controller import Controller
from horizon_widget.schedule.engine import Engine
from tests.conftest import PROMPT
from tests.widgets import LONG, Recorder, settle


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


def test_cancel_keeps_computed_rows_and_resume_continues(controller, recorder, held_model_thread):
    controller.start()
    controller.cancel()
    held_model_thread()
    settle()
    assert recorder.rows == []
    assert controller.wait(timeout=LONG).state == "ready"
    controller.look_at(2, 5)  # a question is still answered
    controller.wait(timeout=LONG)
    assert controller.map.done[2, 5]
    controller.allow_filling()
    settle()
    assert not controller.map.done[0, 0], "but idle time is not used"
    assert recorder.statuses[-1].filling == "stopped"
    controller.resume()
    controller.wait(whole_map=True, timeout=LONG)
    assert controller.map.done.all()


def test_an_error_is_reported_and_computed_rows_are_kept(controller, recorder, monkeypatch):
    controller.start()
    controller.wait(timeout=LONG)
    compute = Engine.compute
    monkeypatch.setattr(Engine, "compute", lambda self, part: 1 / 0)
    controller.look_at(0, 3)
    status = controller.wait(timeout=LONG)
    assert status.state == "error"
    assert "ZeroDivisionError" in status.error["title"]
    assert "Traceback" in status.error["detail"]
    assert controller.map.done[2].all()
    monkeypatch.setattr(Engine, "compute", compute)
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


def test_rows_that_another_widget_computed_are_reported(model, recorder):
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


@pytest.mark.long
def test_idle_time_belongs_to_the_widget_last_used_then_to_the_one_before(model, held_model_thread):
    filled = []
    pair = [
        Controller(model, Query(model.tokenize(text), baseline=Baseline("zero")), layer=1, listener=Recorder())
        for text in (PROMPT, PROMPT[::-1])
    ]
    for number, made in enumerate(pair):
        made._engine.rows_per_part = 32
        made._listener.on_rows = lambda layer, _, number=number: filled.append(number) if layer != 1 else None
        made.start()
        made.allow_filling()
    held_model_thread()
    settle()
    assert filled == sorted(filled, reverse=True), "none of the first before all of the second"
    assert all(made.map.done.all() for made in pair)
    said = [status.filling for status in pair[0]._listener.statuses]
    assert "behind" in said
    assert "waiting" not in said
    assert said[-1] == "complete"
    for made in pair:
        made.close()


@pytest.mark.parametrize("use", [lambda c: c.resume(), lambda c: c.inspect(Cell(1, 2, 6), ["direct"])])
def test_resuming_and_looking_into_a_cell_are_use(model, held_model_thread, use):
    first, second = (
        Controller(model, Query(model.tokenize(text), baseline=Baseline("zero")), layer=1, listener=Recorder())
        for text in (PROMPT, PROMPT[::-1])
    )
    filled = []
    for number, made in enumerate((first, second)):
        made._listener.on_rows = lambda layer, _, number=number: filled.append(number) if layer != 1 else None
        made.start(viewed=True)
    use(first)
    held_model_thread()
    settle()
    assert filled == sorted(filled), "the first was used last, and is filled first"
    assert set(filled) == {0, 1}
    for made in (first, second):
        made.close()


def test_the_last_token_s_row_counts_where_the_token_after_the_prompt_is_scored(model, recorder):
    query = Query(model.tokenize(PROMPT), metric=Metric("entropy"), baseline=Baseline("zero"))
    made = Controller(model, query, layer=1, listener=recorder)
    made.start(viewed=True)
    made.wait(whole_map=True, timeout=LONG)
    settle()
    made.cancel()
    made.map.record(1, [query.n_tokens - 1], np.full((1, query.n_targets), np.nan, dtype=np.float32))
    made.wake()
    settle()
    assert recorder.statuses[-1].filling == "stopped", "not complete"
    assert recorder.statuses[-1].done < 1
    made.close()


@pytest.mark.parametrize("leave", ["close", "cancel"])
def test_idle_time_passes_on_when_the_widget_last_used_needs_it_no_more(model, held_model_thread, leave):
    first, second = (
        Controller(model, Query(model.tokenize(text), baseline=Baseline("zero")), layer=1, listener=Recorder())
        for text in (PROMPT, PROMPT[::-1])
    )
    second._engine.rows_per_part = 16
    for made in (first, second):
        made.start(viewed=True)
    second._listener.on_rows = lambda layer, _: getattr(second, leave)() if layer != 1 else None
    held_model_thread()
    settle()
    assert first.map.done.all()
    assert not second.map.done.all()
    assert first._listener.statuses[-1].filling == "complete"
    for made in (first, second):
        made.close()


def test_a_widget_that_waits_for_a_cell_says_so_even_if_another_was_used_last(model, recorder):
    first, second = (
        Controller(model, Query(model.tokenize(text), baseline=Baseline("zero")), layer=1, listener=listener)
        for text, listener in ((PROMPT, recorder), (PROMPT[::-1], Recorder()))
    )
    for made in (first, second):
        made.start(viewed=True, cells_running=True)
    settle()
    assert recorder.statuses[-1].filling == "waiting"
    for made in (first, second):
        made.cells_running(False)
    settle()
    assert recorder.statuses[-1].filling == "complete"
    for made in (first, second):
        made.close()


def test_a_failure_in_idle_time_does_not_come_back_with_each_question(controller, recorder, monkeypatch):
    controller.start()
    controller.wait(timeout=LONG)
    compute = Engine.compute

    def broken_at_the_first_layer(self, part):
        if any(layer == 0 and source != 3 for layer, source in part.cells):
            raise RuntimeError("broken")
        compute(self, part)

    monkeypatch.setattr(Engine, "compute", broken_at_the_first_layer)
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

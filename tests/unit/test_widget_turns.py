"""Concurrent changes of a widget's traits and concurrent opening of its maps."""

from __future__ import annotations

import gc
import threading

import ipywidgets
import pytest

import horizon_widget as hw
from horizon_widget.models import thread
from horizon_widget.schedule import idle
from horizon_widget.schedule.listener import Status
from horizon_widget.widget import session as widget_session
from horizon_widget.widget import trait_lock
from tests.conftest import PROMPT
from tests.widgets import HELLO, INSPECT, LONG, OPEN, cancel_after, say, sent, settle


@pytest.fixture
def talkative(widget):
    """Its model never ends a text."""
    for config in (widget._model.hf_model.config, widget._model.hf_model.generation_config):
        config.eos_token_id = None
    return widget


@pytest.fixture
def other(model, widget):
    """Another widget of the same model."""
    made = hw.HorizonWidget(model, PROMPT[::-1], baseline="zero")
    made.sent = widget.sent
    yield made
    made.close()


def in_a_cell(work):
    """Run in a thread of its own, as a user's cell runs apart from the browser's messages."""
    running = threading.Thread(target=work, daemon=True)
    running.start()
    return running


def ends(running):
    running.join(timeout=LONG)
    return not running.is_alive()


def hold_building(monkeypatch):
    """Hold the building of a map: (set when it has begun, set to continue, the controllers made)."""
    begun, go_on, made = threading.Event(), threading.Event(), []
    real = widget_session.Controller

    def slowly(*arguments, **keywords):
        begun.set()
        assert go_on.wait(LONG)
        made.append(real(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr(widget_session, "Controller", slowly)
    return begun, go_on, made


# -- two widgets -------------------------------------------------------------------------------------------------------


def test_linked_widgets_opened_by_the_browser_and_by_a_cell_at_once_do_not_wait_for_each_other(widget, other):
    for text in ("text one", "text two"):  # It was read before, so opening checks whether the model has changed.
        other.prompt = text
        other.wait(timeout=LONG)
    widget.wait(timeout=LONG)
    settle()
    ipywidgets.link((widget, "prompt"), (other, "prompt"))
    gate = threading.Event()
    thread.submit(gate.wait)  # a part under way
    say(widget, {**OPEN, "prompt": "the reader's text"})
    cell = in_a_cell(lambda: setattr(other, "prompt", "text one"))
    gate.set()
    assert ends(cell)
    settle()
    assert widget.prompt == other.prompt
    assert "".join(token["text"] for token in other.tokens) == other.prompt
    assert "".join(token["text"] for token in widget.tokens) == widget.prompt


def test_two_widgets_whose_observers_set_each_other_end(widget, other):
    ipywidgets.link((widget, "selected_source"), (other, "selected_source"))

    def clicks(one):
        return lambda: [one.set_state({"selected_source": number % 9}) for number in range(100)]

    cells = [in_a_cell(clicks(one)) for one in (widget, other)]
    assert all(ends(cell) for cell in cells)
    settle()
    assert widget.selected_source == other.selected_source


def test_the_model_thread_never_waits_for_the_trait_lock(widget):
    with trait_lock.held():
        say(widget, {**OPEN, "prompt": "the reader's text"})
        settle()  # the map is built, and left to this thread
        assert widget.map_id == 1
    assert (widget.map_id, widget.prompt) == (2, "the reader's text")


def test_a_model_that_sets_a_trait_while_it_runs_gets_an_error_and_does_not_hang(widget):
    with trait_lock.held(), pytest.raises(hw.HorizonError, match="set by the model"):
        thread.run(lambda: setattr(widget, "find", "cat"))
    thread.run(lambda: setattr(widget, "find", "cat"))
    assert widget.find == "cat"


# -- newer and older ---------------------------------------------------------------------------------------------------


def test_a_request_to_write_while_the_map_opens_is_done(talkative, monkeypatch):
    talkative.wait("all", timeout=LONG)
    begun, go_on, _ = hold_building(monkeypatch)
    say(talkative, {**OPEN, "prompt": "another text"})
    assert begun.wait(LONG)
    say(talkative, {"type": "write_on", "n_tokens": 3})
    go_on.set()
    settle()
    assert (talkative.prompt[:12], talkative.written_from, len(talkative.tokens)) == ("another text", 12, 15)


@pytest.mark.long
def test_each_open_followed_at_once_by_write_on_does_both(talkative):
    for number in range(20):
        say(talkative, {**OPEN, "prompt": f"{number} more texts"})
        for _ in range(number % 5):
            thread.run(lambda: None)
        say(talkative, {"type": "write_on", "n_tokens": 2})
        settle()
        assert talkative.prompt.startswith(f"{number} more texts")
        assert talkative.written_from == len(f"{number} more texts")


def test_an_older_open_does_not_overtake_the_newest(widget):
    with trait_lock.held():
        say(widget, {**OPEN, "prompt": "first"})
        settle()
        gate = threading.Event()
        thread.submit(gate.wait)
        say(widget, {**OPEN, "prompt": "second, newest"})
    gate.set()
    settle()
    assert widget.prompt == "second, newest"


def test_a_request_of_the_browser_while_a_cell_opens_follows_the_cell(widget, monkeypatch):
    begun, go_on, _ = hold_building(monkeypatch)
    cell = in_a_cell(lambda: setattr(widget, "prompt", "the user's text"))
    assert begun.wait(LONG)
    say(widget, {**OPEN, "prompt": "the reader's text"})
    opened = []
    widget.observe(lambda change: opened.append(change["new"]), "prompt")
    go_on.set()
    assert ends(cell)
    settle()
    assert opened == ["the user's text", "the reader's text"]


def test_a_failed_open_in_a_cell_keeps_the_request_of_the_browser(widget, held_model_thread):
    say(widget, {**OPEN, "prompt": "the reader's text"})
    with pytest.raises(hw.QueryError, match="metric"):
        widget.metric = "nonsense"
    held_model_thread()
    settle()
    assert widget.prompt == "the reader's text"


def test_writing_in_a_cell_does_not_replace_a_map_opened_meanwhile(talkative, monkeypatch):
    write_on = hw.Model.write_on

    def while_the_reader_opens(self, before, n_tokens):
        written = write_on(self, before, n_tokens)
        say(talkative, {**OPEN, "prompt": "the reader's text"})
        settle()
        return written

    monkeypatch.setattr(hw.Model, "write_on", while_the_reader_opens)
    assert talkative.write_on(5)
    settle()
    assert (talkative.prompt, talkative.written_from) == ("the reader's text", None)


# -- observers ---------------------------------------------------------------------------------------------------------


def test_a_question_set_by_an_observer_of_the_new_map_is_asked(widget):
    def observer(_change):
        widget.metric = "entropy"

    widget.observe(observer, "tokens")
    say(widget, {**OPEN, "prompt": "a dog ran"})
    settle()
    assert (widget.metric, widget.query["metric"], widget.asked["metric"]) == ("entropy", "entropy", ["entropy"])
    assert widget.map.query.metric.name == "entropy"
    assert widget.prompt == "".join(token["text"] for token in widget.tokens) == "a dog ran"
    assert widget.wait(timeout=LONG).done[2].all()


def test_a_question_set_by_an_observer_is_checked(widget):
    refused = []

    def observer(_change):
        with pytest.raises(hw.QueryError, match="metric: "):
            widget.metric = "nonsense"
        refused.append(True)

    widget.observe(observer, "tokens")
    widget.prompt = "a cat ran"
    assert (refused, widget.metric, widget.prompt) == ([True], "logprob", "a cat ran")


def test_set_trait_asks_too(widget):
    widget.set_trait("prompt", "a cat ran")
    assert "".join(token["text"] for token in widget.tokens) == "a cat ran"
    with pytest.raises(hw.QueryError, match="metric: "):
        widget.set_trait("metric", "nonsense")


def test_no_value_is_sent_before_its_traits_even_if_a_cell_delays_them(widget, monkeypatch):
    said = []
    monkeypatch.setattr(type(widget), "_send", lambda self, message, buffers=None: said.append(message))
    monkeypatch.setattr(type(widget), "send", lambda self, content, buffers=None: said.append(content))
    for hold in (widget.hold_sync, widget.hold_trait_notifications):
        said.clear()
        with hold():
            widget.prompt = f"{len(widget.prompt)} more texts"
            widget.metric = "logprob" if widget.metric == "entropy" else "entropy"
            widget.wait(timeout=LONG)
        settle()
        traits = next(k for k, message in enumerate(said) if message.get("state", {}).get("map_id") == widget.map_id)
        values = [k for k, message in enumerate(said) if message.get("type") == "values"]
        assert values
        assert min(values) > traits
        assert {said[k]["map_id"] for k in values} == {widget.map_id}


def test_late_messages_of_the_old_map_are_not_sent_for_the_new_one(widget):
    widget.wait(timeout=LONG)
    settle()
    old, late = widget._shown, Status("error", "of the old map", 0.5, None, "stopped")
    told = []
    widget.observe(lambda change: told.append(change["new"]["task"]), "progress")
    with trait_lock.held():
        assert ends(in_a_cell(lambda: old.on_status(late)))
        assert ends(in_a_cell(lambda: old.on_rows(2, (3,))))
        widget.prompt = "another text"
        widget.sent.clear()
    settle()
    assert told
    assert late.task not in told
    assert {message["map_id"] for message in sent(widget, "values")} == {widget.map_id}


def test_pending_messages_are_sent_even_if_an_open_fails(widget, monkeypatch):
    widget.wait(timeout=LONG)
    settle()

    def broken(*_arguments, **_keywords):
        assert ends(in_a_cell(lambda: widget._shown.on_failed("find", {"title": "", "advice": "", "detail": ""})))
        raise hw.QueryError("prompt", "it is too long.")

    monkeypatch.setattr(widget_session, "Controller", broken)
    widget.sent.clear()
    with pytest.raises(hw.QueryError), trait_lock.held():
        widget.prompt = "x y z w"
    assert [message["field"] for message in sent(widget, "failed")] == ["find"]


# -- cancel, wait, close -----------------------------------------------------------------------------------------------


def test_a_cancellation_while_the_model_writes_stays_in_force(talkative, monkeypatch):
    say(talkative, HELLO)
    talkative.wait("all", timeout=LONG)
    cancel_after(monkeypatch, talkative, 3)
    say(talkative, {"type": "write_on", "n_tokens": 20})
    settle()
    assert len(talkative.tokens) == len(PROMPT) + 3
    assert not talkative.map.done[:, :-1].any()
    assert talkative.progress["filling"] == "stopped"
    say(talkative, {"type": "resume"})
    assert talkative.wait("all", timeout=LONG).done.all()


def test_a_map_cancelled_before_it_is_open_is_opened_and_not_computed(talkative, held_model_thread):
    say(talkative, {**OPEN, "prompt": "another text"})
    say(talkative, {"type": "write_on", "n_tokens": 3})
    say(talkative, {"type": "cancel"})
    held_model_thread()
    settle()
    assert (talkative.prompt, talkative.written_from) == ("another text", None)
    assert not talkative.map.done[:, :-1].any()
    talkative.selected_source = 3
    assert talkative.wait(timeout=LONG).done[:, 3].all()


def test_wait_waits_for_the_map_that_is_opened_meanwhile(widget, held_model_thread):
    waited = []
    cell = in_a_cell(lambda: waited.append(widget.wait("all", timeout=LONG)))
    while not widget._running._state.waiting:
        pass
    say(widget, {**OPEN, "prompt": "a much longer text than before, indeed"})
    held_model_thread()
    assert ends(cell)
    (hmap,) = waited
    assert "".join(token.text for token in hmap.tokens) == "a much longer text than before, indeed"
    assert hmap.done.all()


def test_a_widget_closed_while_its_map_opens_computes_nothing(widget, monkeypatch):
    begun, go_on, made = hold_building(monkeypatch)
    say(widget, {**OPEN, "prompt": "another text"})
    assert begun.wait(LONG)
    widget.close()
    go_on.set()
    settle()
    assert not made[0].map.done[:, :-1].any()
    assert widget.map_id == 1


def test_a_closed_widget_computes_no_request(widget):
    widget.close()
    widget.prompt = "another text"
    settle()
    assert not widget.wait("all", timeout=LONG).done[:, :-1].any()


def test_closing_again_waits_for_no_lock(widget):
    """Python does so when it collects a widget, on any thread and at any time."""
    widget.close()
    with trait_lock.held():
        assert ends(in_a_cell(widget.close))
        thread.run(widget.close)


@pytest.mark.parametrize("wrong", [{"layers": [99]}, {"selected_source": 99}, {"find": "\ud800"}, {"tooltip": 5}])
def test_a_constructor_that_fails_leaves_no_widget_behind(model, wrong):
    before = set(ipywidgets.widget._instances)
    with pytest.raises(Exception, match=r".+"):
        hw.HorizonWidget(model, PROMPT, **wrong)
    assert set(ipywidgets.widget._instances) == before


@pytest.mark.long
def test_nothing_is_kept_over_many_widgets(model):
    def round_of(number):
        made = hw.HorizonWidget(model, f"{number % 3} more texts", baseline="zero")
        say(made, HELLO)
        say(made, {**INSPECT, "aspects": ["direct"], "target": 6})
        made.selected_source = 3
        made.wait(timeout=LONG)
        made.close()

    def objects():
        settle()
        gc.collect()
        return len(gc.get_objects())

    kept = len(ipywidgets.widget._instances)
    for number in range(10):
        round_of(number)
    before = objects()
    for number in range(50):
        round_of(number)
    assert objects() - before < 50 * 5, "a widget is some hundreds of objects"
    assert len(ipywidgets.widget._instances) == kept
    assert (trait_lock._left, idle._by_use) == ({}, [])


def test_an_observer_that_opens_another_map_gets_nothing_written_into_it(talkative):
    talkative.wait("all", timeout=LONG)
    third = "a third text, of an observer"
    talkative.observe(lambda change: change.new == "another text" and setattr(talkative, "prompt", third), "prompt")
    say(talkative, {**OPEN, "prompt": "another text", "n_tokens": 3})
    settle()
    assert (talkative.prompt, talkative.written_from) == (third, None)


def test_asking_for_the_shown_map_drops_earlier_requests_of_the_page(talkative, monkeypatch):
    shown = talkative.prompt
    begun, go_on, _ = hold_building(monkeypatch)
    say(talkative, {**OPEN, "prompt": "another text"})
    assert begun.wait(LONG)
    talkative.prompt = "".join(list(shown))  # the same text
    go_on.set()
    settle()
    assert talkative.prompt == shown

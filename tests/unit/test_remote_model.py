"""A model on another machine; with a stand-in for the host (a real one is in ``tests/remote``)."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest

import horizon_widget as hw
from horizon_widget.api.attribute import AttributionInterrupted
from horizon_widget.compute.findings import Cell
from horizon_widget.errors import HostError
from horizon_widget.models import trial, writing
from horizon_widget.models.layout import sendable
from horizon_widget.question.query import Query
from horizon_widget.question.reading import read_query
from horizon_widget.remote.on_host import tasks
from horizon_widget.schedule.controller import Controller
from horizon_widget.schedule.engine import Engine
from horizon_widget.schedule.plan import Interest
from tests import stand_ins
from tests.conftest import PROMPT, tiny_llama
from tests.widgets import LONG, Recorder, settle

SHORT = PROMPT[:12]
FAULT = HostError("lost", "The host was lost.", advice="Ask again.", detail="a remote traceback")


@pytest.fixture
def remote(byte_tokenizer):
    return stand_ins.remote_model(tiny_llama(), byte_tokenizer)


@pytest.fixture
def host(remote):
    return remote.host


@pytest.fixture
def controller(remote):
    made = Controller(remote, Query(remote.tokenize(SHORT)), layer=1, listener=Recorder())
    yield made
    made.close()


# -- requests and answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"metric": "kl", "baseline": "zero"},
        {"metric": ("contrast", "a", "b"), "baseline": "resample"},
        {"baseline": ("mean", ["some other text", "and one more"])},
        {"baseline": ("counterfactual", PROMPT[12:24])},
        {"site": "value", "head": 1},
        {"method": "gradient", "baseline": "zero"},
        {"method": "energy"},
    ],
    ids=str,
)
def test_a_map_is_the_same_as_here(remote, model, arguments):
    there = hw.attribute(remote, SHORT, progress=False, **arguments)
    here = hw.attribute(model, SHORT, progress=False, **arguments)
    np.testing.assert_allclose(there.values, here.values, atol=1e-5)
    assert set(there.dataset) == set(here.dataset)
    for name in set(here.dataset) - {"influence"}:
        if here.dataset[name].dtype.kind == "f":
            np.testing.assert_allclose(there.dataset[name], here.dataset[name], atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(there.dataset[name], here.dataset[name], err_msg=name)


def test_what_is_computed_for_a_cell_is_the_same_as_here(remote, model):
    cell = (SHORT, 1, 2, 6)
    for question in (hw.predictions, hw.carriers):
        there, here = question(remote, *cell), question(model, *cell)
        assert there.columns.tolist() == here.columns.tolist()
        for name in there.select_dtypes("number"):
            np.testing.assert_allclose(there[name], here[name], atol=1e-5)
    there, here = hw.verify(remote, *cell), hw.verify(model, *cell)
    assert (there.value, there.reference) == pytest.approx((here.value, here.reference), abs=1e-5)
    assert there.passes == 2
    np.testing.assert_allclose(hw.baseline_sensitivity(remote, *cell), hw.baseline_sensitivity(model, *cell), atol=1e-5)
    np.testing.assert_allclose(
        hw.direct(remote, SHORT, 1, [2, 3]).direct, hw.direct(model, SHORT, 1, [2, 3]).direct, atol=1e-5
    )
    together = [(0, 1), (2, 3)]
    np.testing.assert_allclose(
        hw.ablate_together(remote, SHORT, together), hw.ablate_together(model, SHORT, together), atol=1e-5
    )
    ids = model.tokenize(SHORT)
    assert remote.write_on(ids, 5) == model.write_on(ids, 5)


def test_neither_states_nor_logits_are_sent_back(remote, host):
    hw.attribute(remote, PROMPT, progress=False)
    hw.attribute(remote, PROMPT, method="gradient", progress=False)
    hw.carriers(remote, PROMPT, 1, 2, 6)
    n_layers, n_tokens = remote.n_layers, len(PROMPT)
    assert (
        host.values <= n_layers * n_tokens * n_tokens
    )  # the size of a map; the model has a width of 32 and a vocabulary of 256


def test_a_clicked_row_is_one_request_and_a_layer_few(remote, host):
    hw.attribute(remote, SHORT, sources=3, progress=False)
    assert host.asked == ["probe", "rows"]
    del host.asked[:]
    hw.attribute(remote, PROMPT, layers=2, progress=False)
    assert host.asked == ["rows"]


def test_findings_of_one_answer_are_not_computed_again(remote, monkeypatch):
    tried = []
    first = trial.first_that_agrees
    monkeypatch.setattr(trial, "first_that_agrees", lambda *args: tried.append(1) or first(*args))
    hw.attribute(remote, SHORT, layers=1, sources=3, progress=False)
    before = len(tried)
    hmap = hw.attribute(remote, SHORT, layers=1, sources=4, progress=False)
    assert len(tried) == before
    assert hmap.dataset["baseline"].values[1] == "mean"


def test_a_map_says_where_it_was_computed(remote):
    attrs = hw.attribute(remote, SHORT, layers=1, progress=False).dataset.attrs
    assert attrs["host"] == "stand-in"
    assert attrs["dtype"] == "float32"
    assert attrs["device"] == "cpu"
    assert attrs["host_torch"]


def test_smaller_requests_follow_one_that_was_too_much(remote, host):
    sizes = []
    host.change = lambda answer: sizes.append(len(answer["result"])) if "result" in answer else None
    _ = remote.capabilities
    host.failure = HostError("too much", "It took too long.")
    with pytest.raises(HostError, match="too long"):
        hw.attribute(remote, PROMPT, progress=False)
    hw.attribute(remote, PROMPT, progress=False)
    assert len(sizes) > 1
    rows = sum(len(PROMPT) - source for source in range(len(PROMPT)))
    assert sizes[0] * len(PROMPT) / 2 < remote.n_layers * rows / 2


# -- limits of the host ------------------------------------------------------------------------------------------------


def test_the_limits_of_a_sandbox_are_refused_by_name(remote, host):
    host.change = lambda answer: answer.update(sandboxed=True, gradients="no graph") if "sandboxed" in answer else None
    with pytest.raises(hw.QueryError, match=r"method: 'gradient' is not offered\. This host runs our code"):
        hw.attribute(remote, SHORT, method="gradient", progress=False)
    assert host.asked == ["probe"]
    with pytest.raises(hw.HorizonError, match="verification is not offered"):
        hw.verify(remote, SHORT, 1, 2, 6)
    assert set(remote.not_offered) == {"gradient", "energy", "verification"}
    hw.attribute(remote, SHORT, layers=1, progress=False)


@pytest.mark.parametrize(
    ("change", "match"),
    [({"n_layers": 7}, "layers: 7 there, 4 here"), ({"tokens": [[1], [2], [3]]}, "tokenizers read 'The keys")],
)
def test_another_model_under_the_same_name_is_noticed(remote, host, change, match):
    host.change = lambda answer: answer.update(change) if "sandboxed" in answer else None
    with pytest.raises(HostError, match=match):
        hw.attribute(remote, SHORT, layers=1, progress=False)


@pytest.mark.parametrize("metric", ["logprob", "kl"])  # kl is 0 on the unchanged prompt for every model
def test_a_model_that_changes_between_requests_is_noticed_and_a_new_map_begun(remote, host, metric):
    hw.attribute(remote, SHORT, layers=1, metric=metric, progress=False)
    before = hw.attribute(remote, SHORT, layers=[0, 1], metric=metric, progress=False)
    for parameter in remote._traced._module.parameters():
        parameter.data.mul_(1.5)
    with pytest.raises(HostError, match="does not predict the same"):
        hw.attribute(remote, SHORT, layers=2, metric=metric, progress=False)
    assert np.isfinite(before.values.sel(layer=1)).all()
    after = hw.attribute(remote, SHORT, layers=[0, 1], metric=metric, progress=False)
    assert host.asked[-2:] == ["probe", "rows"], "what the host allows may have changed, too"
    assert np.abs(after.values - before.values).max() > 1e-3


# -- messages to the user ---------------------------------------------------------------------------------------------


def wait_for(condition):
    ends = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < ends, "the condition was never true"
        time.sleep(0.005)


def test_the_status_says_how_far_a_request_is(controller, host):
    host.gate.clear()
    controller.start()
    wait_for(lambda: any(s.host for s in controller._listener.statuses))
    host.gate.set()
    assert controller.wait(timeout=LONG).state == "ready"
    hosts = [status.host for status in controller._listener.statuses if status.host]
    assert "queued on the host, position 2 (stand-in)" in hosts
    assert "running on the host (stand-in)" in hosts
    assert controller._listener.statuses[-1].host is None


def test_after_a_cancelled_request_a_click_is_answered(controller, host):
    host.gate.clear()
    controller.start()
    wait_for(lambda: host.asked)
    controller.cancel()
    wait_for(lambda: controller._listener.statuses[-1].filling == "stopped" and not controller._is_stepping)
    assert controller.wait(timeout=LONG).error is None
    host.gate.set()
    controller.look_at(2, 5)
    assert controller.wait(timeout=LONG).state == "ready"
    assert controller.map.done[:, 5].all()


def test_a_local_model_does_not_wait_for_a_host(controller, host, model):
    host.gate.clear()
    controller.start()
    wait_for(lambda: host.asked)
    assert hw.attribute(model, SHORT, layers=0, progress=False).computed_layers == (0,)
    host.gate.set()
    controller.wait(timeout=LONG)


def test_a_fault_keeps_computed_rows_and_resume_continues(controller, host):
    controller.start()
    controller.wait(timeout=LONG)
    host.failure = FAULT
    controller.look_at(1, 5)
    status = controller.wait(timeout=LONG)
    assert status.error == {"title": "The host was lost.", "advice": "Ask again.", "detail": "a remote traceback"}
    assert controller.map.done[1].all()
    controller.resume()
    assert controller.wait(timeout=LONG).error is None
    assert controller.map.done[:, 5].all()


def test_the_rest_of_a_map_is_computed_only_on_request(controller, host):
    controller.start(viewed=True)
    controller.wait(timeout=LONG)
    wait_for(lambda: controller._listener.statuses[-1].filling == "on request")
    assert controller.map.computed_layers == (1,)
    controller.resume()
    wait_for(lambda: controller._listener.statuses[-1].filling == "complete")
    assert controller.map.done.all()


def test_resuming_asks_again_only_for_what_failed_or_was_cancelled(controller, host):
    controller.start(viewed=True)
    controller.wait(timeout=LONG)
    host.failure = FAULT
    controller.look_at(1, 5)
    assert controller.wait(timeout=LONG).filling == "stopped"
    controller.resume()
    controller.wait(timeout=LONG)
    wait_for(lambda: controller._listener.statuses[-1].filling == "on request")
    host.gate.clear()
    controller.look_at(1, 3)
    wait_for(lambda: controller._listener.statuses[-1].host)
    controller.cancel()
    wait_for(lambda: controller._listener.statuses[-1].filling == "stopped" and not controller._is_stepping)
    host.gate.set()
    controller.resume()
    controller.wait(timeout=LONG)
    wait_for(lambda: controller._listener.statuses[-1].filling == "on request")
    assert controller.map.done[:, [3, 5]].all()
    assert controller.map.computed_layers == (1,)


def test_the_rest_runs_while_a_cell_waits_for_it(controller, host):
    controller.start(viewed=True)
    controller.wait(timeout=LONG)
    del controller._listener.statuses[:]
    controller.wait(whole_map=True, timeout=LONG)
    assert "running" in {status.filling for status in controller._listener.statuses}
    assert controller.map.done.all()


def test_an_aspect_is_one_request(controller, host):
    controller.start()
    controller.wait(timeout=LONG)
    del host.asked[:]
    controller.inspect(Cell(1, 2, 6), ["direct", "baseline_sensitivity", "verification"])
    wait_for(lambda: len(controller._listener.findings) == 3)
    assert host.asked == ["direct", "baseline_sensitivity", "verification"]
    assert all(problem is None for *_, problem in controller._listener.findings)


def test_the_progress_bar_says_how_far_a_request_is(remote, capsys):
    hw.attribute(remote, SHORT, layers=1)
    assert "queued on the host, position 2 (stand-in)" in capsys.readouterr().err


def test_stopping_a_call_does_not_wait_for_the_host(remote, host, monkeypatch):
    _ = remote.capabilities
    host.gate.clear()
    result = Future.result

    def stopped(self, timeout=None):
        if threading.current_thread() is threading.main_thread() and len(host.asked) < 2:
            wait_for(lambda: len(host.asked) == 2)
            raise KeyboardInterrupt
        return result(self, timeout)

    monkeypatch.setattr(Future, "result", stopped)
    with pytest.raises(AttributionInterrupted):
        hw.attribute(remote, SHORT, layers=1, progress=False)
    monkeypatch.undo()
    host.gate.set()
    assert hw.attribute(remote, SHORT, layers=1, progress=False).computed_layers == (1,)


def test_cancelling_also_ends_the_preparation_of_layers(controller, host):
    host.change = lambda answer: controller.cancel() if "result" in answer else None
    controller.start(viewed=True)
    wait_for(lambda: controller._listener.statuses and controller._listener.statuses[-1].filling == "stopped")
    host.change = lambda answer: None
    controller.look_at(1, 5)
    assert controller.wait(timeout=LONG).state == "ready"
    asked = len(host.asked)
    settle()
    assert len(host.asked) == asked, "a click gets its answer and nothing else"


def test_a_local_model_asked_from_an_observer_of_a_remote_one_runs_on_its_own_thread(remote, model):
    ran_on = remote.thread.run(lambda: model.thread.run(lambda: threading.current_thread().name))
    assert ran_on.startswith("horizon-widget-model-local")
    there = model.thread.run(lambda: remote.thread.run(lambda: threading.current_thread().name))
    assert there.startswith("horizon-widget-model-local"), "that thread waits for no other"


def test_a_text_ends_where_it_ends_on_a_slow_host_too(remote, monkeypatch):
    monkeypatch.setattr(tasks, "WRITING_SECONDS", 0.0)
    ids = remote.tokenize(SHORT)
    first = remote.write_on(ids, 1)[0]
    for module in (tasks, writing):
        monkeypatch.setattr(module, "end_tokens", lambda model: {first})
    request = {"name": "tiny", "layout": sendable(remote.layout), "token_ids": list(ids), "n_tokens": 5}
    assert tasks.continue_text(remote._traced, request) == {"tokens": [first], "ended": True}
    for module in (tasks, writing):
        monkeypatch.setattr(module, "end_tokens", lambda model: set())
    assert tasks.continue_text(remote._traced, request) == {"tokens": [first], "ended": False}


def test_tokens_that_are_written_before_a_fault_are_opened(controller, remote, host, monkeypatch):
    monkeypatch.setattr(tasks, "WRITING_SECONDS", 0.0)  # one token in each request
    controller.start()
    controller.wait(timeout=LONG)
    host.change = lambda answer: setattr(host, "failure", FAULT) if "ended" in answer else None
    controller.write_on(3, remote.tokenize(SHORT))
    wait_for(lambda: controller._listener.written)
    assert len(controller._listener.written[0]) == len(SHORT) + 1
    assert controller._listener.failures[0][1]["title"] == "The host was lost."


def test_gradients_of_a_long_prompt_come_in_answers_of_a_few_megabytes(remote, monkeypatch):
    monkeypatch.setattr("horizon_widget.remote.executor.MOST_BYTES", 4 * remote.n_layers * len(PROMPT) * 5)
    engine = Engine(remote, read_query(remote, PROMPT, method="gradient"))
    assert len(engine.next_part(Interest(0, layers=range(4), patient=True)).targets) <= 6

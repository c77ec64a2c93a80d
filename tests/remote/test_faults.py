"""Error messages when a real NDIF fails, and recovery after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from nnsight import TransformersModel
from nnsight.modeling import huggingface

from horizon_widget.errors import CancelledError, HostError, QueryError
from horizon_widget.remote.host import Host
from horizon_widget.remote.waiting import Patience, Progress
from tests.remote import on_host_tasks as tasks
from tests.remote.conftest import SANDBOXED, TRUSTED, UNKNOWN

TIME_LIMIT = 5.0


@pytest.fixture(scope="module")
def traced(demo_folder):
    """The demo model as a client has it, without weights."""
    name = str(demo_folder)
    huggingface._ID_CACHE[name] = name  # a folder has no other spelling on the Hub
    yield TransformersModel(name, task="text-generation", tokenizer=name, dtype=torch.float32)
    del huggingface._ID_CACHE[name]


Task = Callable[[Any, dict[str, Any]], Any]


class Request:
    """A request on a thread of its own."""

    def __init__(self, host: Host, traced: Any, task: Task, **request: Any) -> None:
        self.progress: list[Progress] = []
        self.cancelled = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, args=(host, traced, task, request), daemon=True)
        self._thread.start()

    def _run(self, host: Host, traced: Any, task: Task, request: dict[str, Any]) -> None:
        try:
            self.value = host.ask(traced, task, request, on_progress=self._note, cancelled=self.cancelled)
        except Exception as error:
            self.error = error

    def _note(self, progress: Progress) -> None:
        with self._changed:
            self.progress.append(progress)
            self._changed.notify_all()

    def until(self, state: str, seconds: float = 30) -> None:
        """Wait until the request has been in a state."""
        with self._changed:
            reached = self._changed.wait_for(lambda: state in [each.state for each in self.progress], seconds)
        assert reached, f"never {state}: {self.said}"

    def end(self, seconds: float = 60) -> Request:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), self.said
        return self

    @property
    def said(self) -> list[str]:
        return [str(progress) for progress in self.progress]


@pytest.fixture
def ask(traced) -> Callable[..., Request]:
    """Asks the host that nnsight is set to."""

    def ask(task: Task, *, patience: Patience | None = None, model_key: str | None = None, **request: Any) -> Request:
        return Request(Host(model_key or traced.to_model_key(), patience=patience), traced, task, **request)

    return ask


def value(request: Request) -> Any:
    """The final answer."""
    error = request.end().error
    assert error is None, (error, request.said)
    return request.value


def kind(request: Request) -> str:
    assert isinstance(request.error, HostError), (request.error, request.value)
    for key in (TRUSTED, SANDBOXED, UNKNOWN):
        assert key not in str(request.error) + request.error.detail
    return request.error.kind


def test_a_request_is_answered_and_its_states_are_told(either, ask):
    asked = ask(tasks.echo, number=1).end()
    assert asked.value == {"number": 1}
    assert asked.progress[0].state == "sending"
    assert asked.progress[-1].state == "running"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "requires an API key"),
        ("abc", "not a valid NDIF key"),
        (UNKNOWN, "does not know the API key"),
        (TRUSTED[:-1], "not a valid NDIF key"),
    ],
)
def test_keys_that_are_not_accepted(as_user, ask, traced, key, message):
    as_user(key)
    asked = ask(tasks.echo).end()
    assert kind(asked) == "key"
    assert message in str(asked.error)
    assert asked.said == ["sending the request"]
    with pytest.raises(HostError, match=message):
        Host(traced.to_model_key()).check_key()


def test_what_is_deployed(trusted, traced, demo_folder):
    (there,) = Host(traced.to_model_key()).deployed()
    assert (there.name, there.state, there.dtype) == (str(demo_folder), "RUNNING", "float32")
    assert there.model_key == traced.to_model_key()


def test_a_model_that_cannot_be_deployed(trusted, ask, traced, demo_folder):
    asked = ask(tasks.echo, model_key=traced.to_model_key().replace(str(demo_folder), "no-such/model")).end()
    assert kind(asked) == "not deployed"
    assert "no-such/model" in asked.error.message
    assert f"Deployed there now: {demo_folder}." in asked.error.advice


def test_the_model_dies_during_a_request(trusted, ask):
    asked = ask(tasks.sleep, seconds=2)
    asked.until("running")
    trusted.kill("model")
    assert value(asked) == "slept"
    assert "trying again (2 of 3)" in asked.said


def test_the_host_dies_during_a_request_and_comes_back(trusted, ask):
    impatient = ask(tasks.sleep, seconds=5, patience=Patience(pauses=()))
    impatient.until("running")
    patient = ask(tasks.sleep, seconds=1, patience=Patience(pauses=(2.0,) * 200))
    patient.until("queued")
    trusted.kill("everything")
    assert kind(impatient.end()) == "lost"
    patient.until("waiting")
    trusted.restart("everything")
    assert value(patient) == "slept"


def test_a_frozen_model_is_silent_and_then_goes_on(trusted, ask):
    asked = ask(tasks.sleep, seconds=1, patience=Patience(running=2.0))
    asked.until("running")
    trusted.pause("model")
    assert kind(asked.end()) == "silent"
    assert "the last news of the request was: running on the host" in str(asked.error)
    assert not any("trying again" in said for said in asked.said)
    trusted.resume("model")
    assert value(ask(tasks.echo, number=4)) == {"number": 4}


def test_a_frozen_host_takes_no_connection(trusted, ask):
    trusted.pause("api")
    asked = ask(tasks.echo, patience=Patience(connecting=1.0, pauses=())).end()
    assert kind(asked) == "unreachable"
    trusted.resume("api")
    assert value(ask(tasks.echo, number=5)) == {"number": 5}


def test_errors_in_our_own_code(either, ask):
    raised = ask(tasks.fail, error="QueryError").end().error
    assert isinstance(raised, QueryError)
    assert (raised.field, raised.message, raised.advice) == ("prompt", "prompt: there is none", "Write one.")
    raised = ask(tasks.fail, error="ZeroDivisionError").end()
    assert kind(raised) == "code"
    assert raised.error.message.endswith("ZeroDivisionError: by nought")
    assert 'raise ZeroDivisionError("by nought")' in raised.error.detail
    assert kind(ask(tasks.fail, error="MemoryError").end()) == "too much"


def test_an_error_after_our_own_code(trusted, ask):
    asked = ask(tasks.nothing_sendable).end()
    assert kind(asked) == "code"
    assert "cannot pickle 'generator' object" in asked.error.message
    assert asked.error.detail.startswith("Traceback")


def test_values_too_large_for_the_connection(either, ask):
    asked = ask(tasks.much, bytes=9 << 20).end()
    assert len(asked.value) == 9 << 20
    assert "receiving the values" in asked.said


def test_a_cancelled_request_is_not_waited_for_but_those_after_it_are_queued(trusted, ask):
    cancelled = ask(tasks.sleep, seconds=3)
    cancelled.until("running")
    began = time.monotonic()
    cancelled.cancelled.set()
    assert isinstance(cancelled.end().error, CancelledError)
    assert time.monotonic() - began < 0.5
    later = ask(tasks.echo, number=7).end()
    assert later.value == {"number": 7}
    assert 1 in [progress.position for progress in later.progress]
    assert time.monotonic() - began > 1  # the only replica was still running the first


def test_the_place_in_the_queue(trusted, ask):
    first = ask(tasks.sleep, seconds=3)
    first.until("running")
    second, third = ask(tasks.echo, number=8), None
    second.until("queued")
    third = ask(tasks.echo, number=9)
    third.until("queued")
    assert "queued on the host, position 2" in third.said
    assert [value(request) for request in (first, second, third)] == ["slept", {"number": 8}, {"number": 9}]


@pytest.fixture(scope="module")
def strict_ndif(another_ndif):
    """A server that no later test uses."""
    return another_ndif(time_limit=TIME_LIMIT)


def test_the_hosts_time_limit(strict_ndif, as_user, ask):
    as_user(TRUSTED, strict_ndif)
    asked = ask(tasks.sleep, seconds=30).end()
    assert kind(asked) == "too much"
    assert f"{TIME_LIMIT}s" in asked.error.message
    # If sent at once, these may return without their values. They are then sent again.
    for number in range(4):
        assert value(ask(tasks.echo, number=number)) == {"number": number}


def test_the_hosts_store_is_gone(strict_ndif, as_user, ask):
    as_user(TRUSTED, strict_ndif)
    strict_ndif.kill("store")
    assert value(ask(tasks.echo, number=6)) == {"number": 6}
    asked = ask(tasks.much, bytes=9 << 20).end()
    assert kind(asked) == "code"
    assert "Connection" in asked.error.detail

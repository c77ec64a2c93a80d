"""Progress and cancelling of requests, and a host's information about itself; with stand-ins."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Any

import nnsight
import pytest

from horizon_widget.errors import CancelledError, HostError
from horizon_widget.models import thread
from horizon_widget.remote import sending
from horizon_widget.remote.host import Host
from horizon_widget.remote.waiting import STATES, Patience, Waiting
from tests.odd_hosts import (
    KEY,
    MODEL_KEY,
    QUICK,
    RUNNING,
    Asked,
    StandIn,
    StandInHost,
    answered,
    frame,
    http,
    shown,
    status,
)

pytestmark = pytest.mark.long


def test_changes_of_progress_are_reported(traced):
    script = [
        *(status("QUEUED", "Added to Queue at position 3."), status("QUEUED", "Moved to position 2 in Queue.")),
        *(
            status("QUEUED", "Moved to position 2 in Queue."),
            status("PROVISIONING"),
            status("DEPLOYING"),
            status("DISPATCHED"),
        ),
        *(RUNNING, status("LOG", "a line"), status("QUEUED", ""), RUNNING, answered(5)),
    ]
    with StandInHost(script) as host:
        asked = Asked(traced, host.url)
    assert asked.states == [
        *("sending the request", "received by the host"),
        *("queued on the host, position 3", "queued on the host, position 2"),
        *("the host makes room for the model", "the host loads the model", "handed to the model"),
        *("running on the host", "queued on the host", "running on the host"),
    ]
    assert {progress.state for progress in asked.progress} <= set(STATES)


def test_output_of_the_host_goes_only_to_the_log(traced, caplog, capsys, monkeypatch):
    monkeypatch.setattr(nnsight.CONFIG.APP, "REMOTE_LOGGING", True)
    monkeypatch.setattr(nnsight.CONFIG.APP, "DEBUG", True)
    caplog.set_level(logging.DEBUG, "horizon_widget")
    with StandInHost([RUNNING, status("LOG", "said there"), answered(5)]) as host:
        Asked(traced, host.url)
    assert capsys.readouterr() == ("", "")
    assert "on the host: said there" in caplog.messages


def test_bytes_are_counted(traced):
    with StandInHost([RUNNING, answered(b"\x00" * 10)]) as standing_in:
        host = Asked(traced, standing_in.url).host
    assert 1000 < host.bytes_sent < 100_000
    assert len(RUNNING) < host.bytes_received < 3000


# --- cancelling ---


@pytest.mark.parametrize(
    "host",
    [
        StandIn(lambda connection: time.sleep(3)),
        StandInHost(greeting=b""),
        StandInHost([RUNNING, 3.0]),
        StandInHost([status("ERROR", "Critical server error occurred.")]),
    ],
    ids=["connecting", "greeted", "running", "between two tries"],
)
def test_a_cancelled_request_is_not_waited_for(traced, host):
    patience = Patience(pauses=(3.0, 3.0))
    cancelled = threading.Event()
    with host:
        threading.Timer(0.5, cancelled.set).start()
        asked = Asked(traced, host.url, patience, cancelled)
    assert isinstance(asked.error, CancelledError)
    assert asked.seconds < 1.2  # set after 0.5; the machine may be busy


def test_a_post_that_hangs_can_be_cancelled(traced):
    cancelled = threading.Event()
    never = threading.Event()
    with StandInHost([RUNNING]) as host:
        answer = host._answer

        def hang(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                if connection.recv(4, socket.MSG_PEEK) == b"POST":
                    never.wait(2)
                answer(connection)

        host._behaviour = hang
        threading.Timer(0.5, cancelled.set).start()
        asked = Asked(traced, host.url, Patience(), cancelled)
        never.set()
    assert isinstance(asked.error, CancelledError)
    assert asked.seconds < 1.2  # set after 0.5; the machine may be busy


@pytest.mark.parametrize("script", [[answered(5)], [RUNNING, 3.0], [status("ERROR", "Traceback")], [frame(b"hi"), 3.0]])
def test_every_connection_is_closed(traced, script):
    with StandInHost(script) as host:
        Asked(traced, host.url, QUICK)
        until = time.monotonic() + 1
        while host.open and time.monotonic() < until:
            time.sleep(0.01)
        assert host.open == 0


def test_a_result_that_comes_too_late_is_discarded():
    goes_on, gone = threading.Event(), threading.Event()
    with pytest.raises(TimeoutError):
        Waiting(Patience()).run_detached(lambda: goes_on.wait(5), limit=0.05, discard=lambda late: gone.set())
    assert not gone.is_set()
    goes_on.set()
    assert gone.wait(5)


def test_a_request_that_waits_for_the_models_thread_can_be_cancelled(traced):
    busy, cancelled = threading.Event(), threading.Event()
    occupying = thread.submit(lambda: busy.wait(5))
    threading.Timer(0.3, cancelled.set).start()
    asked = Asked(traced, "http://127.0.0.1:1", Patience(), cancelled)
    busy.set()
    assert occupying.result()
    assert isinstance(asked.error, CancelledError)
    assert asked.seconds < 1.2


@pytest.mark.parametrize("asking", [thread.LOCAL, thread.ModelThread("remote")])
def test_sessions_are_captured_on_the_thread_of_local_models(traced, monkeypatch, asking):
    seen = []
    capture = sending.capture

    def seeing(*arguments: Any) -> None:
        seen.append(thread.LOCAL.is_this)
        capture(*arguments)

    monkeypatch.setattr(sending, "capture", seeing)
    with StandInHost([answered(5)]) as host:
        assert asking.run(lambda: Asked(traced, host.url)).value == 5
    assert seen == [True]


# --- a host's information about itself ---

STATUS = {
    "deployments": {
        "a:ModelActor:x": {
            "application_state": "DEPLOYING",
            "deployment_level": "HOT",
            "repo_id": "b/b",
            "model_key": "x",
        },
        "b:ModelActor:x": {
            "application_state": "RUNNING",
            "deployment_level": "HOT",
            "repo_id": "b/b",
            "model_key": "x",
            "dtype": "bfloat16",
            "revision": "v1",
            "execution_timeout_seconds": 60.0,
        },
        "c": {"deployment_level": "WARM", "repo_id": "a/a", "model_key": "y"},
        "on disk": {"deployment_level": "COLD", "repo_id": "c/c"},
        "odd": None,
    }
}


def test_what_is_deployed(traced):
    with StandInHost(pages={"/status": http(200, STATUS)}) as standing_in:
        first, second = Host(MODEL_KEY, standing_in.url, KEY).deployed()
    assert (first.name, first.state, first.dtype) == ("a/a", "WARM", None)
    assert (second.name, second.state, second.dtype, second.revision) == ("b/b", "RUNNING", "bfloat16", "v1")
    assert (second.replicas, second.time_limit) == (2, 60.0)


def test_the_advice_for_a_missing_model_names_those_that_are_deployed(traced):
    error = status("ERROR", "Could not deploy this model. Repository Not Found.")
    with StandInHost([error], pages={"/status": http(200, STATUS)}) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "not deployed"
    assert "Deployed there now: a/a, b/b." in str(asked.error)
    with StandInHost([error]) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "not deployed"  # even if the host does not say what is deployed


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (http(200, "<html>"), "address"),
        (http(200, {"x": 1}), "address"),
        (http(503, {"detail": "Could not retrieve cluster status."}), "unavailable"),
    ],
)
def test_a_host_that_does_not_say_what_is_deployed(page, kind):
    with StandInHost(pages={"/status": page}) as standing_in:
        with pytest.raises(HostError) as caught:
            Host(MODEL_KEY, standing_in.url, KEY).deployed()
    assert caught.value.kind == kind
    assert KEY not in shown(caught.value)


def test_a_host_that_does_not_answer_is_silent():
    with StandIn(lambda connection: time.sleep(3)) as standing_in:
        with pytest.raises(HostError) as caught:
            Host(MODEL_KEY, standing_in.url, KEY, patience=QUICK).deployed()
    assert caught.value.kind == "silent"

"""What is told of a request under way, how it is abandoned, and what a host says of itself; with stand-ins."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Any

import nnsight
import pytest

from horizon_widget.errors import HostError
from horizon_widget.models import thread
from horizon_widget.remote import travel
from horizon_widget.remote.faults import Abandoned
from horizon_widget.remote.host import Host
from horizon_widget.remote.news import STATES, Patience
from horizon_widget.remote.waiting import TooLate, aside
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
    news,
    shown,
)

pytestmark = pytest.mark.waiting


# --- news ---


def test_news_are_told_as_they_change(traced):
    script = [
        *(news("QUEUED", "Added to Queue at position 3."), news("QUEUED", "Moved to position 2 in Queue.")),
        *(news("QUEUED", "Moved to position 2 in Queue."), news("PROVISIONING"), news("DEPLOYING"), news("DISPATCHED")),
        *(RUNNING, news("LOG", "a line"), news("QUEUED", ""), RUNNING, answered(5)),
    ]
    with StandInHost(script) as host:
        asked = Asked(traced, host.url)
    assert asked.states == [
        *("sending the request", "received by the host"),
        *("queued on the host, position 3", "queued on the host, position 2"),
        *("the host makes room for the model", "the host loads the model", "handed to the model"),
        *("running on the host", "queued on the host", "running on the host", "None"),
    ]
    since = [item.since for item in asked.told if item is not None]
    assert since == sorted(since)
    assert {item.state for item in asked.told if item is not None} <= set(STATES)


def test_what_is_printed_on_the_host_goes_to_the_log_alone(traced, caplog, capsys, monkeypatch):
    monkeypatch.setattr(nnsight.CONFIG.APP, "REMOTE_LOGGING", True)
    monkeypatch.setattr(nnsight.CONFIG.APP, "DEBUG", True)
    caplog.set_level(logging.DEBUG, "horizon_widget")
    with StandInHost([RUNNING, news("LOG", "said there"), answered(5)]) as host:
        Asked(traced, host.url)
    assert capsys.readouterr() == ("", "")
    assert "on the host: said there" in caplog.messages


def test_bytes_are_counted(traced):
    with StandInHost([RUNNING, answered(b"\x00" * 10)]) as standing_in:
        host = Asked(traced, standing_in.url).host
    assert 1000 < host.bytes_sent < 100_000
    assert len(RUNNING) < host.bytes_received < 3000


# --- nobody waits any more ---


@pytest.mark.parametrize(
    "host",
    [
        StandIn(lambda connection: time.sleep(3)),
        StandInHost(greeting=b""),
        StandInHost([RUNNING, 3.0]),
        StandInHost([news("ERROR", "Critical server error occurred.")]),
    ],
    ids=["connecting", "greeted", "running", "between two tries"],
)
def test_an_abandoned_request_is_not_waited_for(traced, host):
    patience = Patience(pauses=(3.0, 3.0))
    abandoned = threading.Event()
    with host:
        threading.Timer(0.5, abandoned.set).start()
        asked = Asked(traced, host.url, patience, abandoned)
    assert isinstance(asked.error, Abandoned)
    assert asked.seconds < 1.2  # set after 0.5; the machine may be busy
    assert asked.told[-1] is None


def test_a_post_that_hangs_can_be_abandoned(traced):
    abandoned = threading.Event()
    never = threading.Event()
    with StandInHost([RUNNING]) as host:
        answer = host._answer

        def hang(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                if connection.recv(4, socket.MSG_PEEK) == b"POST":
                    never.wait(2)
                answer(connection)

        host._behaviour = hang
        threading.Timer(0.5, abandoned.set).start()
        asked = Asked(traced, host.url, Patience(), abandoned)
        never.set()
    assert isinstance(asked.error, Abandoned)
    assert asked.seconds < 1.2  # set after 0.5; the machine may be busy


@pytest.mark.parametrize("script", [[answered(5)], [RUNNING, 3.0], [news("ERROR", "Traceback")], [frame(b"hi"), 3.0]])
def test_every_connection_is_closed(traced, script):
    with StandInHost(script) as host:
        Asked(traced, host.url, QUICK)
        until = time.monotonic() + 1
        while host.open and time.monotonic() < until:
            time.sleep(0.01)
        assert host.open == 0


def test_what_comes_too_late_is_got_rid_of():
    goes_on, gone = threading.Event(), threading.Event()
    with pytest.raises(TooLate):
        aside(lambda: goes_on.wait(5), threading.Event(), limit=0.05, unwanted=lambda came: gone.set())
    assert not gone.is_set()
    goes_on.set()
    assert gone.wait(5)


def test_a_request_that_waits_for_the_models_thread_can_be_abandoned(traced):
    busy, abandoned = threading.Event(), threading.Event()
    occupying = thread.submit(lambda: busy.wait(5))
    threading.Timer(0.3, abandoned.set).start()
    asked = Asked(traced, "http://127.0.0.1:1", Patience(), abandoned)
    busy.set()
    assert occupying.result()
    assert isinstance(asked.error, Abandoned)
    assert asked.seconds < 1.2


@pytest.mark.parametrize("asking", [thread.LOCAL, thread.ModelThread("remote")])
def test_sessions_are_captured_on_the_thread_of_local_models(traced, monkeypatch, asking):
    seen = []
    trace_request = travel.trace_request

    def seeing(*arguments: Any) -> None:
        seen.append(thread.LOCAL.is_this)
        trace_request(*arguments)

    monkeypatch.setattr(travel, "trace_request", seeing)
    with StandInHost([answered(5)]) as host:
        assert asking.run(lambda: Asked(traced, host.url)).value == 5
    assert seen == [True]


# --- what is there ---

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


def test_a_model_that_is_not_there_is_told_with_those_that_are(traced):
    error = news("ERROR", "Could not deploy this model. Repository Not Found.")
    with StandInHost([error], pages={"/status": http(200, STATUS)}) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "not deployed"
    assert "Deployed there now: a/a, b/b." in str(asked.error)
    with StandInHost([error]) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "not deployed"  # though it does not tell


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (http(200, "<html>"), "not NDIF"),
        (http(200, {"x": 1}), "not NDIF"),
        (http(503, {"detail": "Could not retrieve cluster status."}), "unavailable"),
    ],
)
def test_a_host_that_does_not_say_what_is_deployed(page, kind):
    with StandInHost(pages={"/status": page}) as standing_in:
        with pytest.raises(HostError) as caught:
            Host(MODEL_KEY, standing_in.url, KEY).deployed()
    assert caught.value.kind == kind
    assert KEY not in shown(caught.value)


def test_nobody_there_to_say_what_is_deployed():
    with StandIn(lambda connection: time.sleep(3)) as standing_in:
        with pytest.raises(HostError) as caught:
            Host(MODEL_KEY, standing_in.url, KEY, patience=QUICK).deployed()
    assert caught.value.kind == "silent"


def test_a_key_that_is_accepted_is_told_from_one_that_is_not():
    me = http(200, {"email": "me@example.org", "tags": ["trusted"]})
    incomplete = http(422, {"detail": [{"type": "missing"}]})
    with StandInHost(pages={"/request": incomplete, "/whoami": me}) as standing_in:
        identity = Host(MODEL_KEY, standing_in.url, KEY).whoami()
    assert (identity.accepted, identity.email, identity.tags) == (True, "me@example.org", ("trusted",))
    with StandInHost(pages={"/request": http(403, {"detail": "Invalid API key."})}) as standing_in:
        identity = Host(MODEL_KEY, standing_in.url, KEY).whoami()
    assert not identity.accepted
    assert identity.fault.kind == "unknown key"

"""Faults of NDIF hosts, as far as they need no host: what texts mean, odd hosts (stand-ins), and the hidden key."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import ssl
import threading
import time
import traceback
from typing import Any

import nnsight
import pytest
from nnsight import TransformersModel

from horizon_widget.errors import HorizonError, HostError, ModelError, QueryError, describe
from horizon_widget.models import thread
from horizon_widget.models.remote import travel
from horizon_widget.models.remote.faults import FAULTS, Abandoned, Faults
from horizon_widget.models.remote.host import Host
from horizon_widget.models.remote.news import STATES, News, Patience
from horizon_widget.models.remote.waiting import TooLate, aside
from tests.conftest import tiny_llama
from tests.odd_hosts import (
    BINARY,
    CLOSE,
    PING,
    StandIn,
    StandInHost,
    answered,
    completed,
    frame,
    http,
    news,
)

KEY = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
MODEL_KEY = 'nnsight.modeling.transformers.TransformersModel:{"repo_id": "some/model", "revision": null}'
ENTRY = "horizon_widget.statistics:entry"
QUICK = Patience(
    connecting=0.6, sending=0.6, asking=0.6, queued=0.6, deploying=0.6, running=0.6, receiving=0.6, pauses=(0.02, 0.04)
)
PATIENT = Patience(pauses=QUICK.pauses)  # with time for a busy machine
RUNNING = news("RUNNING", "Your job has started running.")


@pytest.fixture(scope="module")
def traced(byte_tokenizer):
    return TransformersModel(tiny_llama(), tokenizer=byte_tokenizer, task="text-generation")


class Asked:
    """One request, and what became of it."""

    def __init__(self, traced: Any, url: str, patience: Patience = PATIENT, abandoned: threading.Event | None = None):
        self.told: list[News | None] = []
        self.error: BaseException | None = None
        self.value: Any = None
        self.host = Host(MODEL_KEY, url, KEY, patience=patience)
        begun = time.monotonic()
        try:
            self.value = self.host.ask(traced, ENTRY, {}, on_news=self.told.append, abandoned=abandoned)
        except (HorizonError, Abandoned) as error:
            self.error = error
        self.seconds = time.monotonic() - begun

    @property
    def kind(self) -> str | None:
        return getattr(self.error, "kind", None)

    @property
    def states(self) -> list[str]:
        return [str(item) for item in self.told]


def shown(error: BaseException) -> str:
    """All that anybody may come to see of an error."""
    chain = [error]
    while chain[-1].__context__ is not None:
        chain.append(chain[-1].__context__)
    walked = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts = [repr(vars(link)) + repr(link.args) for link in chain]
    return "\n".join([*texts, *map(str, chain), *map(repr, chain), *walked.format(), *describe(error).values()])


def faults() -> Faults:
    return Faults("ndif.example", "some/model", [KEY])


# --- what texts mean ---


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_says_what_is_wrong_and_what_to_do(kind):
    error = faults().of(kind, "a reason")
    assert error.kind == kind
    assert error.message[0].isupper()
    assert error.message.endswith(".") or kind == "code"
    assert error.advice.endswith(".")
    assert "{" not in str(error)
    assert any(word in error.message for word in ("ndif.example", "API key", "address"))


def test_every_fault_has_words_of_its_own():
    assert len({fault.message for fault in FAULTS.values()}) == len(FAULTS)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Could not deploy this model. CANT_ACCOMMODATE: placed 0 of 1 new replicas before …", "no room"),
        ("Could not deploy this model. No GPU nodes available.", "no room"),
        ("Could not deploy this model. some/model is not a local folder.\nTraceback …", "not deployed"),
        ("Error provisioning model. Please try again later. Sorry for the inconvenience.", "model not started"),
        ("Error starting model. Please try again later. Sorry for the inconvenience.", "model not started"),
        ("Error submitting request to model deployment. Please try again later.", "replica died"),
        ("Replica was evicted while processing your request. Sorry for the inconvenience.", "replica died"),
        ("Critical server error occurred. Please try again later.", "unavailable"),
        ("Your job exceeded the execution timeout of 12.0s.", "time limit"),
        ("Your job was cancelled or preempted by the server.", "cancelled"),
        ("Request cancelled by operator.", "cancelled"),
        ("Your request payload could not be read (EOFError: ). It may be truncated", "unreadable request"),
        ("The model architecture on this server doesn't match the one your code was traced", "other modules"),
        ("Traceback (most recent call last):\n  …\ntorch.OutOfMemoryError: CUDA out of memory.", "memory"),
        ("Traceback (most recent call last):\n  …\nRuntimeError: DefaultCPUAllocator: can't allocate memory", "memory"),
        ("Traceback (most recent call last):\n  …\nValueError: Request cancelled by operator", "code"),
        ("", "code"),
    ],
)
def test_what_a_host_says_is_understood(text, kind):
    error = faults().of_text(text)
    assert error.kind == kind
    assert error.detail == text or not text


def test_a_traceback_of_the_host_is_the_detail_that_is_shown():
    text = 'Traceback (most recent call last):\n  File "<sent>/x.py", line 3, in f\nValueError: by nought'
    said = describe(faults().of_text(text))
    assert said["detail"] == text
    assert said["title"] == "The computation failed on the host ndif.example: ValueError: by nought"


def test_a_deployment_that_fails_says_why():
    error = faults().of_text("Could not deploy this model. Repository Not Found for some/model.\nTraceback: …")
    assert "some/model, and cannot deploy it (Repository Not Found for some/model)" in error.message


@pytest.mark.parametrize(
    ("status", "body", "said", "kind"),
    [
        (401, "", "Missing or invalid API key.", "unknown key"),
        (400, "", "Invalid API key format: 'abc'.", "malformed key"),
        (403, "", "Invalid API key.", "unknown key"),
        (400, "", "Client nnsight version 0.8.1 is below the minimum supported 0.9.", "old client"),
        (400, "", "Client python version 3.9 is below the minimum supported 3.10.", "old client"),
        (422, "", "[{'type': 'missing'}]", "refused"),
        (404, "", "Not Found", "not NDIF"),
        (404, "<html>", None, "not NDIF"),
        (403, "<html>", None, "not NDIF"),
        (200, "<html>", None, "not NDIF"),
        (301, "https://elsewhere.example/", None, "moved"),
        (413, "<html>", None, "too large"),
        (429, "", "Slow down.", "busy"),
        (500, "", "Internal server error.", "host failed"),
        (502, "<html>", None, "unavailable"),
        (503, "", "Service temporarily unavailable: compute backend is reconnecting.", "unavailable"),
        (504, "<html>", None, "unavailable"),
    ],
)
def test_what_an_http_status_means(status, body, said, kind):
    assert faults().of_status(status, body, said, with_key=True).kind == kind


def test_without_a_key_the_host_asks_for_one():
    assert faults().of_status(401, "", "Missing or invalid API key.", with_key=False).kind == "no key"


@pytest.mark.parametrize(
    ("error", "kind", "may_repeat"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "unreachable", True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "unreachable", True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "unreachable", True),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "unknown host", False),
        (ssl.SSLCertVerificationError(1, "certificate has expired"), "certificate", False),
        (TimeoutError("timed out"), "no connection in time", True),
    ],
)
def test_why_there_is_no_connection(error, kind, may_repeat):
    wrapped = RuntimeError("a library's own")
    wrapped.__cause__ = error
    for given in (error, wrapped):
        fault = faults().of_connecting(given, limit=10)
        assert (fault.kind, fault.may_repeat) == (kind, may_repeat)


# --- addresses and keys that cannot be ---


@pytest.mark.parametrize("url", ["ndif.example", "ftp://ndif.example", "https://", "//x", "http:///path"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(HostError) as caught:
        Host(MODEL_KEY, url, KEY)
    assert caught.value.kind == "bad address"


@pytest.mark.parametrize("key", [KEY + "\n", f" {KEY}", KEY + "\r\nx: y", "schlüssel-0a1b2c3d", "0a1b\x002c3d-4e5f"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key):
    with pytest.raises(HostError) as caught:
        Host(MODEL_KEY, "http://127.0.0.1:1", key)
    assert caught.value.kind == "malformed key"
    seen = str(caught.value) + repr(caught.value) + str(describe(caught.value))
    assert key.strip() not in seen
    assert KEY not in seen


def test_host_and_key_are_nnsights_unless_given(monkeypatch):
    monkeypatch.setattr(nnsight.CONFIG.API, "HOST", "http://user:pass-word@ndif.example:81/")
    monkeypatch.setattr(nnsight.CONFIG.API, "APIKEY", KEY)
    host = Host(MODEL_KEY)
    assert host.name == "ndif.example:81"
    assert repr(host) == "Host('ndif.example:81')"


# --- odd hosts: stand-ins ---


def test_nothing_listens(traced):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    asked = Asked(traced, f"http://127.0.0.1:{port}")
    assert asked.kind == "unreachable"
    assert asked.states == [
        *("sending the request", "trying again (2 of 3)", "sending the request (try 2 of 3)"),
        *("trying again (3 of 3)", "sending the request (try 3 of 3)", "None"),
    ]
    assert asked.seconds > sum(QUICK.pauses)
    assert f"The host 127.0.0.1:{port} cannot be reached" in str(asked.error)


def test_a_host_that_takes_the_call_and_says_nothing(traced):
    with StandIn(lambda connection: time.sleep(3)) as host:
        asked = Asked(traced, host.url, QUICK)
    assert asked.kind == "no connection in time"
    assert host.taken == 3


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (http(200, "<html>A router</html>"), "not NDIF"),
        (http(404, "<html>Not here</html>"), "not NDIF"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not NDIF"),
        (http(302, "", location="https://elsewhere.example/login"), "moved"),
        (http(503, "<html>Later</html>"), "unavailable"),
    ],
)
def test_something_else_is_at_the_address(traced, page, kind):
    with StandInHost(pages={"/subscribe": page}) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == kind
    assert host.taken == (3 if kind == "unavailable" else 1)


@pytest.mark.parametrize(
    "greeting", [frame(b"welcome"), frame(b"[1]"), frame(b'{"id": 3}'), frame(b"\xff\x00", BINARY)]
)
def test_some_other_websocket_is_at_the_address(traced, greeting):
    with StandInHost(greeting=greeting) as host:
        assert Asked(traced, host.url).kind == "not NDIF"


def test_a_host_that_accepts_with_a_page(traced):
    with StandInHost(post=http(200, "<html>")) as host:
        assert Asked(traced, host.url).kind == "not NDIF"


def test_a_version_of_the_client_is_refused(traced):
    said = "Client nnsight version 0.8.1 is below the minimum supported 9.0. Please `pip install --upgrade nnsight`."
    with StandInHost(post=http(400, {"detail": said})) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "old client"
    assert "below the minimum supported 9.0" in str(asked.error)
    assert host.requests == 1


def test_a_connection_lost_in_mid_request_is_tried_again(traced):
    with StandInHost([RUNNING], [RUNNING, frame(b"\x03\xf4", CLOSE)], [RUNNING, answered(5)]) as host:
        asked = Asked(traced, host.url)
    assert asked.value == 5
    assert asked.states.count("running on the host (try 2 of 3)") == 1
    assert "trying again (3 of 3)" in asked.states
    assert asked.host.requests == host.requests == 3


def test_a_host_that_always_hangs_up(traced):
    with StandInHost([RUNNING]) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "lost"
    assert host.requests == 3


def test_a_replica_that_died_is_asked_again(traced):
    died = news("ERROR", "Error submitting request to model deployment. Please try again later.")
    with StandInHost([RUNNING, died], [answered(5)]) as host:
        assert Asked(traced, host.url).value == 5


@pytest.mark.parametrize("text", ["Your job exceeded the execution timeout of 6.0s.", "Traceback …\nValueError: x"])
def test_what_would_fail_again_is_not_repeated(traced, text):
    with StandInHost([RUNNING, news("ERROR", text)]) as host:
        assert Asked(traced, host.url).error is not None
    assert host.requests == 1


def test_silence_is_an_error_and_not_repeated(traced):
    with StandInHost([RUNNING, 3.0]) as host:
        asked = Asked(traced, host.url, QUICK)
        assert asked.kind == "silent"
        assert "the last that was heard of the request was: running on the host" in str(asked.error)
        assert host.requests == 1


def test_pings_do_not_break_a_silence(traced):
    pings = [frame(b"still here", PING), 0.1] * 20
    with StandInHost([RUNNING, *pings]) as host:
        assert Asked(traced, host.url, QUICK).kind == "silent"


def test_a_slow_answer_is_no_silence(traced):
    whole = answered(list(range(5000)))
    pieces = [piece for i in range(0, len(whole), 1500) for piece in (whole[i : i + 1500], 0.3)][:-1]
    assert 0.3 * len(pieces) / 2 > 2 * QUICK.running
    with StandInHost([RUNNING, *pieces]) as host:
        assert Asked(traced, host.url, QUICK).value == list(range(5000))


def test_a_host_that_never_acknowledges(traced):
    with StandInHost(post=b"") as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "lost"  # it hung up
    assert host.requests == 3


def test_answers_without_values_are_asked_for_again(traced):
    with StandInHost([completed({})], [completed(None)], [answered(5)]) as host:
        assert Asked(traced, host.url).value == 5
    with StandInHost([completed({"answer": {}})]) as host:
        assert Asked(traced, host.url).kind == "no values"
    assert host.requests == 3


@pytest.mark.parametrize(
    "odd", [completed(b"no zstandard"), frame(b"\x00no pickle", BINARY), frame(b"{}"), frame(b"hi")]
)
def test_an_answer_that_cannot_be_read(traced, odd):
    with StandInHost([RUNNING, odd]) as host:
        assert Asked(traced, host.url).kind == "unreadable answer"


def test_values_that_cannot_be_fetched(traced):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with StandInHost([completed(f"http://127.0.0.1:{port}/values?X-Amz-Signature={KEY}")]) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "values not fetched"
    assert "receiving the values" in asked.states


def test_errors_of_our_own_code_come_back_as_themselves(traced):
    def raised(kind: str, message: str, field: str | None = None) -> bytes:
        said = {"type": kind, "message": message, "advice": "Do.", "field": field, "traceback": "There:\n…"}
        return completed({"answer": {"error": said}})

    with StandInHost([raised("QueryError", "prompt: is empty", "prompt")]) as host:
        error = Asked(traced, host.url).error
    assert isinstance(error, QueryError)
    assert (error.field, error.message, error.advice) == ("prompt", "prompt: is empty", "Do.")
    assert describe(error)["detail"] == "There:\n…"
    with StandInHost([raised("ModelError", "No such layer.")]) as host:
        error = Asked(traced, host.url).error
    assert isinstance(error, ModelError)
    with StandInHost([raised("ZeroDivisionError", "by nought")]) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "code"
    assert describe(asked.error)["detail"] == "There:\n…"
    with StandInHost([raised("OutOfMemoryError", "CUDA out of memory.")]) as host:
        assert Asked(traced, host.url).kind == "memory"


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


# --- the key stands nowhere ---

_ECHO = f"it holds {KEY} and {KEY!r}"


@pytest.mark.parametrize(
    "host",
    [
        StandIn(lambda connection: time.sleep(3)),
        StandIn(lambda connection: connection.close()),
        StandIn(lambda connection: connection.sendall(f"{KEY}\r\n\r\n".encode())),
        StandInHost(greeting=frame(_ECHO.encode())),
        StandInHost(pages={"/subscribe": http(403, f"<html>{_ECHO}")}),
        StandInHost(pages={"/subscribe": http(302, "", location=f"https://x.example/?{KEY}")}),
        StandInHost(pages={"/subscribe": http(503, {"detail": _ECHO})}),
        *(StandInHost(post=http(status, {"detail": _ECHO})) for status in (400, 401, 403, 413, 422, 429, 500, 503)),
        StandInHost(post=http(400, {"detail": f"Invalid API key format: {KEY!r}."})),
        StandInHost(post=http(400, {"detail": f"Client nnsight version {KEY}"})),
        StandInHost(post=http(200, _ECHO)),
        StandInHost(post=http(307, _ECHO, location="https://x.example/")),
        StandInHost([RUNNING]),
        StandInHost([RUNNING, 3.0]),
        StandInHost([news("LOG", _ECHO), news("ERROR", f"Traceback\n{_ECHO}\nValueError: {_ECHO}")]),
        StandInHost([news("ERROR", f"Could not deploy this model. {_ECHO}")]),
        StandInHost([completed({})]),
        StandInHost([completed(_ECHO.encode())]),
        StandInHost([completed(f"http://127.0.0.1:1/?{KEY}")]),
        StandInHost([frame(_ECHO.encode())]),
        StandInHost(
            [completed({"answer": {"error": {"type": _ECHO, "message": _ECHO, "advice": _ECHO, "traceback": _ECHO}}})]
        ),
    ],
    ids=lambda host: None,
)
def test_the_key_is_never_shown(traced, host, caplog, capsys):
    caplog.set_level(logging.DEBUG)  # the libraries' too
    with host:
        asked = Asked(traced, host.url, QUICK)
    assert asked.error is not None
    seen = shown(asked.error) + caplog.text + "".join(capsys.readouterr()) + repr(asked.told)
    assert KEY not in seen
    assert asked.error.__context__ is None


def test_the_key_goes_to_the_host_and_no_further(traced):
    with StandInHost([answered(5)]) as elsewhere:
        moved = http(302, "", location=elsewhere.url + "/subscribe")
        with StandInHost(pages={"/subscribe": moved}) as host:
            assert Asked(traced, host.url).kind == "moved"
    assert KEY in host.heads[0]
    assert elsewhere.taken == 0


def test_password_and_user_in_the_address_are_not_shown():
    with pytest.raises(HostError) as caught:
        Host(MODEL_KEY, "ftp://someone:very-secret@ndif.example", KEY)
    assert "very-secret" not in str(caught.value) + caught.value.detail


def test_short_keys_do_not_maim_other_texts():
    text = 'Traceback\n  File "/usr/local/lib/x.py"\nValueError: x'
    assert Faults("ndif.example", "some/model", ["local"]).of_text(text).detail == text


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

"""Servers that are not hosts, and hosts that die, fall silent or answer nonsense; with stand-ins."""

from __future__ import annotations

import socket
import time

import pytest

from horizon_widget.errors import ModelError, QueryError, describe
from tests.odd_hosts import (
    BINARY,
    CLOSE,
    KEY,
    PING,
    QUICK,
    RUNNING,
    Asked,
    StandIn,
    StandInHost,
    answered,
    completed,
    frame,
    http,
    status,
)

pytestmark = pytest.mark.long


def test_nothing_listens(traced):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    asked = Asked(traced, f"http://127.0.0.1:{port}")
    assert asked.kind == "unreachable"
    assert asked.states == [
        *("sending the request", "trying again (2 of 3)", "sending the request (try 2 of 3)"),
        *("trying again (3 of 3)", "sending the request (try 3 of 3)"),
    ]
    assert asked.seconds > sum(QUICK.pauses)
    assert f"The host 127.0.0.1:{port} cannot be reached" in str(asked.error)


def test_a_host_that_accepts_a_connection_and_says_nothing(traced):
    with StandIn(lambda connection: time.sleep(3)) as host:
        asked = Asked(traced, host.url, QUICK)
    assert asked.kind == "unreachable"
    assert "no connection within 0.6 s" in str(asked.error)
    assert host.taken == 3


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (http(200, "<html>A router</html>"), "address"),
        (http(404, "<html>Not here</html>"), "address"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "address"),
        (http(302, "", location="https://elsewhere.example/login"), "address"),
        (http(503, "<html>Later</html>"), "unavailable"),
    ],
)
def test_something_else_is_at_the_address(traced, page, kind):
    with StandInHost(pages={"/subscribe": page}) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == kind
    assert ("redirects to another address (HTTP 302: https://elsewhere.example/login)" in str(asked.error)) == (
        b"302" in page
    )
    assert host.taken == (3 if kind == "unavailable" else 1)


@pytest.mark.parametrize(
    "greeting", [frame(b"welcome"), frame(b"[1]"), frame(b'{"id": 3}'), frame(b"\xff\x00", BINARY)]
)
def test_another_websocket_is_at_the_address(traced, greeting):
    with StandInHost(greeting=greeting) as host:
        asked = Asked(traced, host.url)
    assert "is not an NDIF host (its first message is" in str(asked.error)


def test_a_host_that_accepts_a_request_with_a_page(traced):
    with StandInHost(post=http(200, "<html>")) as host:
        assert Asked(traced, host.url).kind == "address"


def test_a_refused_request_is_not_repeated(traced):
    said = "Client nnsight version 0.8.1 is below the minimum supported 9.0. Please `pip install --upgrade nnsight`."
    with StandInHost(post=http(400, {"detail": said})) as host:
        asked = Asked(traced, host.url)
    assert asked.kind == "versions"
    assert "below the minimum supported 9.0" in str(asked.error)
    assert host.requests == 1


def test_a_connection_lost_during_a_request_is_tried_again(traced):
    with StandInHost([RUNNING], [RUNNING, frame(b"\x03\xf4", CLOSE)], [RUNNING, answered(5)]) as host:
        asked = Asked(traced, host.url)
    assert asked.value == 5
    assert asked.states.count("running on the host (try 2 of 3)") == 1
    assert "trying again (3 of 3)" in asked.states
    assert asked.host.requests == host.requests == 3


@pytest.mark.parametrize("host", [StandInHost([RUNNING]), StandInHost(post=b"")], ids=["after the post", "during it"])
def test_a_host_that_always_hangs_up(traced, host):
    with host:
        asked = Asked(traced, host.url)
    assert asked.kind == "lost"
    assert host.requests == 3


def test_a_replica_that_died_is_asked_again(traced):
    died = status("ERROR", "Error submitting request to model deployment. Please try again later.")
    with StandInHost([RUNNING, died], [answered(5)]) as host:
        assert Asked(traced, host.url).value == 5


@pytest.mark.parametrize("text", ["Your job exceeded the execution timeout of 6.0s.", "Traceback …\nValueError: x"])
def test_a_request_that_would_fail_again_is_not_repeated(traced, text):
    with StandInHost([RUNNING, status("ERROR", text)]) as host:
        assert Asked(traced, host.url).error is not None
    assert host.requests == 1


def test_silence_is_an_error_and_not_repeated(traced):
    with StandInHost([RUNNING, 3.0]) as host:
        asked = Asked(traced, host.url, QUICK)
        assert asked.kind == "silent"
        assert "the last news of the request was: running on the host" in str(asked.error)
        assert host.requests == 1


def test_pings_do_not_break_a_silence(traced):
    pings = [frame(b"still here", PING), 0.1] * 20
    with StandInHost([RUNNING, *pings]) as host:
        assert Asked(traced, host.url, QUICK).kind == "silent"


def test_a_slow_answer_is_not_silence(traced):
    whole = answered(list(range(5000)))
    pieces = [piece for i in range(0, len(whole), 1500) for piece in (whole[i : i + 1500], 0.3)][:-1]
    assert 0.3 * len(pieces) / 2 > 2 * QUICK.running
    with StandInHost([RUNNING, *pieces]) as host:
        assert Asked(traced, host.url, QUICK).value == list(range(5000))


def test_answers_without_values_are_asked_for_again(traced):
    with StandInHost([completed({})], [completed(None)], [answered(5)]) as host:
        assert Asked(traced, host.url).value == 5
    with StandInHost([completed({"answer": {}})]) as host:
        assert "reported success, but sent no values" in str(Asked(traced, host.url).error)
    assert host.requests == 3


@pytest.mark.parametrize(
    "odd", [completed(b"no zstandard"), frame(b"\x00no pickle", BINARY), frame(b"{}"), frame(b"hi")]
)
def test_an_answer_that_cannot_be_read(traced, odd):
    with StandInHost([RUNNING, odd]) as host:
        assert "cannot be read" in str(Asked(traced, host.url).error)
    assert host.requests == 1


def test_values_that_cannot_be_fetched(traced):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with StandInHost([completed(f"http://127.0.0.1:{port}/values?X-Amz-Signature={KEY}")]) as host:
        asked = Asked(traced, host.url)
    assert "could not be fetched from the store" in str(asked.error)
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
        assert "not enough memory" in str(Asked(traced, host.url).error)

"""The meaning and the message of each fault of an NDIF host; without a host."""

from __future__ import annotations

import errno
import socket
import ssl

import nnsight
import pytest

from horizon_widget.errors import HostError, describe
from horizon_widget.remote.faults import Fault, Faults
from horizon_widget.remote.host import Host
from tests.odd_hosts import KEY, MODEL_KEY


def faults() -> Faults:
    return Faults("ndif.example", "some/model", KEY)


def is_fault(error: HostError, fault: Fault) -> bool:
    """Whether an error is of the fault's kind and has its message, up to what the host said."""
    begin = faults().of(fault, "…").message.partition("…")[0]
    return error.kind == fault.value[0] and error.message.startswith(begin)


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_says_what_is_wrong_and_what_to_do(fault):
    error = faults().of(fault, "a reason")
    assert error.message[0].isupper()
    assert error.message.endswith(".") or fault is Fault.CODE
    assert error.advice.endswith(".")
    assert "{" not in str(error)
    assert any(word in error.message for word in ("ndif.example", "API key", "address"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Could not deploy this model. CANT_ACCOMMODATE: placed 0 of 1 new replicas before …", Fault.NO_ROOM),
        ("Could not deploy this model. No GPU nodes available.", Fault.NO_ROOM),
        ("Could not deploy this model. some/model is not a local folder.\nTraceback …", Fault.NOT_DEPLOYED),
        ("Error provisioning model. Please try again later. Sorry for the inconvenience.", Fault.NOT_STARTED),
        ("Error starting model. Please try again later. Sorry for the inconvenience.", Fault.NOT_STARTED),
        ("Error submitting request to model deployment. Please try again later.", Fault.REPLICA_DIED),
        ("Replica was evicted while processing your request. Sorry for the inconvenience.", Fault.REPLICA_DIED),
        ("Critical server error occurred. Please try again later.", Fault.UNAVAILABLE),
        ("Your job exceeded the execution timeout of 12.0s.", Fault.TIME_LIMIT),
        ("Your job was cancelled or preempted by the server.", Fault.STOPPED),
        ("Request cancelled by operator.", Fault.STOPPED),
        ("Your request payload could not be read (EOFError: ). It may be truncated", Fault.REFUSED),
        ("The model architecture on this server doesn't match the one your code was traced", Fault.OTHER_MODULES),
        ("Traceback (most recent call last):\n  …\ntorch.OutOfMemoryError: CUDA out of memory.", Fault.MEMORY),
        ("Traceback (most recent call last):\n  …\nRuntimeError: CPUAllocator: can't allocate memory", Fault.MEMORY),
        ("Traceback (most recent call last):\n  …\nValueError: Request cancelled by operator", Fault.CODE),
        ("", Fault.CODE),
    ],
)
def test_messages_of_a_host_are_understood(text, fault):
    error = faults().of_text(text)
    assert is_fault(error, fault)
    assert error.detail == text


def test_the_details_are_the_traceback_on_the_host():
    text = 'Traceback (most recent call last):\n  File "<sent>/x.py", line 3, in f\nValueError: by nought\n'
    said = describe(faults().of_text(text))
    assert said["detail"] == text
    assert said["title"] == "The computation failed on the host ndif.example: ValueError: by nought"


def test_a_deployment_that_fails_says_why():
    error = faults().of_text("Could not deploy this model. Repository Not Found for some/model.\nTraceback: …")
    assert "some/model, and cannot load it (Repository Not Found for some/model)" in error.message


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (401, '{"detail": "Missing or invalid API key."}', Fault.UNKNOWN_KEY),
        (400, '{"detail": "Invalid API key format: \'abc\'."}', Fault.MALFORMED_KEY),
        (403, '{"detail": "Invalid API key."}', Fault.UNKNOWN_KEY),
        (400, '{"detail": "Client nnsight version 0.8.1 is below the minimum supported 0.9."}', Fault.OLD_CLIENT),
        (400, '{"detail": "Client python version 3.9 is below the minimum supported 3.10."}', Fault.OLD_CLIENT),
        (422, '{"detail": [{"type": "missing"}]}', Fault.REFUSED),
        (404, '{"detail": "Not Found"}', Fault.NOT_NDIF),
        (404, "<html>", Fault.NOT_NDIF),
        (403, "<html>", Fault.NOT_NDIF),
        (500, "<html>", Fault.NOT_NDIF),
        (200, "<html>", Fault.NOT_NDIF),
        (301, "https://elsewhere.example/", Fault.MOVED),
        (413, "<html>", Fault.TOO_LARGE),
        (429, '{"detail": "Slow down."}', Fault.UNAVAILABLE),
        (500, '{"detail": "Internal server error."}', Fault.UNAVAILABLE),
        (502, "<html>", Fault.UNAVAILABLE),
        (503, '{"detail": "Service temporarily unavailable."}', Fault.UNAVAILABLE),
        (504, "<html>", Fault.UNAVAILABLE),
    ],
)
def test_the_meaning_of_an_http_status(status, body, fault):
    assert is_fault(faults().of_status(status, body), fault)


def test_without_a_key_the_host_asks_for_one():
    without_key = Faults("ndif.example", "some/model")
    assert is_fault(without_key.of_status(401, '{"detail": "Missing or invalid API key."}'), Fault.NO_KEY)


@pytest.mark.parametrize(
    ("error", "fault", "said"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), Fault.UNREACHABLE, "(Connection refused)"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), Fault.UNREACHABLE, "(Network is unreachable)"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Fault.UNREACHABLE, "(Name or service"),
        (ssl.SSLCertVerificationError(1, "certificate has expired"), Fault.INSECURE, "certificate has expired"),
        (TimeoutError("timed out"), Fault.UNREACHABLE, "(no connection within 10 s)"),
    ],
)
def test_why_there_is_no_connection(error, fault, said):
    wrapped = RuntimeError("a library's own")
    wrapped.__cause__ = error
    for given in (error, wrapped):
        raised = faults().of_connecting(given, limit=10)
        assert is_fault(raised, fault)
        assert said in raised.message


@pytest.mark.parametrize("url", ["ndif.example", "ftp://ndif.example", "https://", "//x", "http:///path"])
def test_an_address_that_is_not_valid_is_refused(url):
    with pytest.raises(HostError) as caught:
        Host(MODEL_KEY, url, KEY)
    assert is_fault(caught.value, Fault.BAD_ADDRESS)


@pytest.mark.parametrize("key", [KEY + "\n", f" {KEY}", KEY + "\r\nx: y", "schlüssel-0a1b2c3d", "0a1b\x002c3d-4e5f"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key):
    with pytest.raises(HostError) as caught:
        Host(MODEL_KEY, "http://127.0.0.1:1", key)
    assert is_fault(caught.value, Fault.MALFORMED_KEY)
    seen = str(caught.value) + repr(caught.value) + str(describe(caught.value))
    assert key.strip() not in seen
    assert KEY not in seen


def test_host_and_key_are_nnsights_unless_given(monkeypatch):
    monkeypatch.setattr(nnsight.CONFIG.API, "HOST", "http://user:pass-word@ndif.example:81/")
    monkeypatch.setattr(nnsight.CONFIG.API, "APIKEY", KEY)
    host = Host(MODEL_KEY)
    assert host.name == "ndif.example:81"
    assert repr(host) == "Host('ndif.example:81')"

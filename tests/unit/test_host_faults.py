"""What a fault of an NDIF host means and what is said of it, as far as that needs no host."""

from __future__ import annotations

import errno
import socket
import ssl

import nnsight
import pytest

from horizon_widget.errors import HostError, describe
from horizon_widget.remote.faults import FAULTS, Faults
from horizon_widget.remote.host import Host
from tests.odd_hosts import KEY, MODEL_KEY


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

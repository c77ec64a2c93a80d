"""No message, log, traceback or variable contains the API key, whatever a host says; with stand-ins."""

from __future__ import annotations

import logging
import time

import pytest

from horizon_widget.errors import HostError
from horizon_widget.remote.faults import redacted
from horizon_widget.remote.host import Host
from tests.odd_hosts import (
    KEY,
    MODEL_KEY,
    QUICK,
    RUNNING,
    Asked,
    StandIn,
    StandInHost,
    answered,
    completed,
    frame,
    http,
    shown,
    status,
)

pytestmark = pytest.mark.long


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
        *(StandInHost(post=http(code, {"detail": _ECHO})) for code in (400, 401, 403, 413, 422, 429, 500, 503)),
        StandInHost(post=http(400, {"detail": f"Invalid API key format: {KEY!r}."})),
        StandInHost(post=http(400, {"detail": f"Client nnsight version {KEY}"})),
        StandInHost(post=http(200, _ECHO)),
        StandInHost(post=http(307, _ECHO, location="https://x.example/")),
        StandInHost([RUNNING]),
        StandInHost([RUNNING, 3.0]),
        StandInHost([status("LOG", _ECHO), status("ERROR", f"Traceback\n{_ECHO}\nValueError: {_ECHO}")]),
        StandInHost([status("ERROR", f"Could not deploy this model. {_ECHO}")]),
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
    seen = shown(asked.error) + caplog.text + "".join(capsys.readouterr()) + repr(asked.progress)
    assert KEY not in seen
    assert asked.error.__context__ is None


def test_the_key_is_not_sent_to_where_a_host_redirects(traced):
    with StandInHost([answered(5)]) as elsewhere:
        moved = http(302, "", location=elsewhere.url + "/subscribe")
        with StandInHost(pages={"/subscribe": moved}) as host:
            assert Asked(traced, host.url).kind == "address"
    assert KEY in host.heads[0]
    assert elsewhere.taken == 0


def test_the_password_and_user_in_the_address_are_not_shown():
    with pytest.raises(HostError) as caught:
        Host(MODEL_KEY, "ftp://someone:very-secret@ndif.example", KEY)
    assert "very-secret" not in str(caught.value) + caught.value.detail


def test_a_short_key_does_not_spoil_other_texts():
    text = 'Traceback\n  File "/usr/local/lib/x.py"\nValueError: x'
    assert redacted(text, ["local"]) == text

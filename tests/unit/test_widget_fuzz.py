"""Malformed messages and states."""

from __future__ import annotations

import json
import random
import string

import pytest

from horizon_widget.widget import protocol
from horizon_widget.widget.traits import CONTROLS
from tests.conftest import PROMPT
from tests.widgets import HELLO, INSPECT, LONG, OPEN, say, sent, settle


def nonsense(rng, depth=0):
    """Any value that JSON can hold, and a few that it cannot."""
    simple = [
        lambda: None,
        lambda: rng.choice([True, False]),
        lambda: rng.choice([0, 1, -1, 2**31, 2**53, -(2**63), 10**400, rng.randrange(40)]),
        lambda: rng.choice([0.0, -0.0, 0.5, 1e308, float("nan"), float("inf")]),
        lambda: "".join(rng.choices(string.printable + "\u202e\u200b\ud800é😀", k=rng.randrange(6))),
        lambda: rng.choice(["<script>alert(1)</script>", "__proto__", "x" * 2000, "logprob", "zero", "mean", PROMPT]),
        lambda: rng.choice(["hello", "ping", "open", "inspect", "write_on", "cancel", "resume", "values", "pong"]),
        lambda: b"bytes",
    ]
    deep = [
        lambda: [nonsense(rng, depth + 1) for _ in range(rng.randrange(4))],
        lambda: {rng.choice(["type", "layer", "a", 3]): nonsense(rng, depth + 1) for _ in range(rng.randrange(3))},
        lambda: [0] * rng.choice([100, 20_000]),
    ]
    return rng.choice(simple if depth > 2 else simple + deep)()


def pack(widget):
    """Sent messages and traits, as jupyter_client packs them; raises if they cannot be packed."""
    for content, _ in [*widget.sent, (widget.get_state([*CONTROLS]), [])]:
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8")


VALID = [
    HELLO,
    {"type": "ping", "number": 3},
    {"type": "cancel"},
    {"type": "resume"},
    OPEN,
    {"type": "write_on", "n_tokens": 2},
    INSPECT,
]


def broken(rng):
    """A message, most often one that is almost valid."""
    if rng.random() < 0.2:
        return nonsense(rng)
    message = dict(rng.choice(VALID))
    for _ in range(rng.randrange(1, 4)):
        key = rng.choice([*message, "extra"])
        if rng.random() < 0.2:
            message.pop(key, None)
        else:
            message[key] = nonsense(rng)
    return message


def is_readable(message):
    try:
        protocol.read(message)
    except protocol.ProtocolError:
        return False
    return True


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_malformed_messages_break_nothing(widget, seed):
    rng = random.Random(seed)
    rejected = readable = 0
    while rejected < 5000:
        message = broken(rng)
        if is_readable(message):
            readable += 1
            if readable % 10:  # some that happen to be valid, between the others
                continue
        widget.sent.clear()
        widget._receive(widget, message, nonsense(rng))  # no error is raised
        if not is_readable(message):
            rejected += 1
            (answer,) = sent(widget, "rejected")
            assert 0 < len(answer["reason"]) < 500
        pack(widget)
    say(widget, {"type": "cancel"})
    widget.sent.clear()
    say(widget, {"type": "ping", "number": seed})
    assert sent(widget, "pong") == [{"type": "pong", "number": seed}]
    say(widget, OPEN)
    settle()
    assert widget.prompt == PROMPT
    assert widget.wait(timeout=LONG).done[2].all()
    assert widget.state != "error"


@pytest.mark.parametrize("seed", range(2))
def test_malformed_states_break_nothing(widget, seed):
    rng = random.Random(seed)
    names = [*widget.trait_names(sync=True), "nonsense", "\ud800", 3]
    names = [name for name in names if name not in ("layout", "comm") and not str(name).startswith("_")]
    for _ in range(500):
        widget.sent.clear()
        widget.set_state({rng.choice(names): nonsense(rng) for _ in range(rng.randrange(1, 4))})
        pack(widget)
    assert (widget.prompt, widget.map_id) == (PROMPT, 1)
    widget.set_state({"selected_layer": 1, "selected_source": 3, "direction": "row"})
    assert widget.wait(timeout=LONG).done[:, 3].all()
    say(widget, {"type": "ping", "number": 1})
    assert sent(widget, "pong")


def test_lengths_are_bounded():
    many = protocol.LONGEST_LIST + 1
    for message in (
        {**OPEN, "prompt": "x" * (protocol.LONGEST_TEXT + 1)},
        {**OPEN, "metric": ["a"] * many},
        {**OPEN, "layers": [0] * many},
        {**INSPECT, "aspects": ["direct"] * many},
        {"type": "write_on", "n_tokens": 0},
        {"type": "write_on", "n_tokens": 1001},
    ):
        with pytest.raises(protocol.ProtocolError, match="(should have|should be)"):
            protocol.read(message)

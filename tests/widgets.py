"""The kernel side of a widget, with a record instead of a browser."""

from __future__ import annotations

import numpy as np

from horizon_widget.models import thread
from horizon_widget.models.writing import Writing
from horizon_widget.widget import protocol

LONG = 30  # seconds; a wait that takes longer is a hang
PROMPT = "the cat sat on the mat, the cat"
HELLO = {"type": "hello", "protocol_version": protocol.PROTOCOL_VERSION}
OPEN = {"type": "open", "prompt": PROMPT, "metric": ["logprob"], "baseline": ["zero"], "layers": None, "n_tokens": 0}
INSPECT = {"type": "inspect", "map_id": 1, "layer": 1, "source": 3, "target": 9, "aspects": [*protocol.ASPECTS]}


def say(widget, content):
    """Deliver a message as from the browser."""
    widget._handle_custom_msg(content, [])


def settle(model=None):
    """Let the model thread, and that of a remote model, finish their queued work and the work that this queues."""
    for _ in range(200):
        thread.run(lambda: None)
        if model is not None:
            model.thread.run(lambda: None)


def cancel_after(monkeypatch, widget, n_tokens):
    """Have the browser cancel after the model has written this many tokens."""
    step = Writing.step

    def step_and_cancel(self):
        going_on = step(self)
        if len(self.written) == n_tokens:
            say(widget, {"type": "cancel"})
        return going_on

    monkeypatch.setattr(Writing, "step", step_and_cancel)


def sent(widget, kind):
    """The messages of one type that were sent to the browser."""
    return [content for content, _ in widget.sent if content["type"] == kind]


def received_rows(widget):
    """The values in the browser: (layer, source) -> (influence row, statistics)."""
    rows = {}
    for content, buffers in widget.sent:
        if content["type"] == "values" and content["map_id"] == widget.map_id:
            n = len(content["sources"])
            influence = np.frombuffer(buffers[0], "<f4").reshape(n, content["n_targets"])
            statistics = np.frombuffer(buffers[1], "<f4").reshape(len(widget.statistics), n)
            for k, source in enumerate(content["sources"]):
                rows[content["layer"], source] = influence[k], statistics[:, k]
    return rows


class Recorder:
    """Records all messages of a controller."""

    def __init__(self):
        self.rows, self.statuses, self.findings, self.written, self.failures = [], [], [], [], []

    def on_rows(self, layer, sources):
        self.rows.append((layer, sources))

    def on_status(self, status):
        self.statuses.append(status)

    def on_finding(self, cell, aspect, found, problem):
        self.findings.append((cell, aspect, found, problem))

    def on_written(self, token_ids):
        self.written.append(token_ids)

    def on_failed(self, field, problem):
        self.failures.append((field, problem))

    def places(self):
        return [(layer, source) for layer, sources in self.rows for source in sources]

    def computed(self):
        """The computed rows, without the last token, which has no later target."""
        return [(layer, source) for layer, source in self.places() if source != len(PROMPT) - 1]

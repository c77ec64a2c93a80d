"""A widget's kernel side, with a record in the browser's place."""

from __future__ import annotations

import numpy as np

from horizon_widget.models import thread

LONG = 30  # seconds; a wait that takes longer is a hang


def say(widget, content):
    """As a message from the browser arrives."""
    widget._handle_custom_msg(content, [])


def settle():
    """Let the model thread finish what is queued now, and what that queues."""
    for _ in range(200):
        thread.run(lambda: None)


def sent(widget, kind):
    """The messages of one type that were sent to the browser."""
    return [content for content, _ in widget.sent if content["type"] == kind]


def received_rows(widget):
    """The browser's picture: (layer, source) -> (influence row, statistics)."""
    rows = {}
    for content, buffers in widget.sent:
        if content["type"] == "values" and content["map_id"] == widget.map_id:
            n = len(content["sources"])
            influence = np.frombuffer(buffers[0], "<f4").reshape(n, content["n_targets"])
            statistics = np.frombuffer(buffers[1], "<f4").reshape(len(widget.statistics), n)
            for k, source in enumerate(content["sources"]):
                rows[content["layer"], source] = influence[k], statistics[:, k]
    return rows

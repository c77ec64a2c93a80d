"""Traits and messages of a widget whose model is on another machine."""

from __future__ import annotations

from dataclasses import replace

import horizon_widget as hw
from horizon_widget.schedule.listener import Status
from tests.conftest import PROMPT
from tests.widgets import LONG, settle


def test_the_state_of_a_request_is_reported(widget):
    status = Status(state="computing", task="layer 2", done=0.5, seconds_left=None, filling="running")
    listener = widget._shown
    listener.on_status(replace(status, host="queued on ndif.example, position 3"))
    assert widget.progress["host"] == "queued on ndif.example, position 3"
    listener.on_status(status)
    assert widget.progress["host"] is None


def test_a_remote_model_is_marked(model, monkeypatch):
    monkeypatch.setattr(hw.Model, "remote", True)
    made = hw.HorizonWidget(model, PROMPT, baseline="zero")
    assert made.asked["remote"] is True
    made.close()


def test_the_limits_of_a_host_are_reported_as_soon_as_they_are_known(widget, monkeypatch):
    widget.wait("all", timeout=LONG)
    assert widget.not_offered == {}
    monkeypatch.setattr(hw.Model, "not_offered", {"direct": "No attention masks there."})
    widget.selected_layer = 0  # anything that makes the controller report its status
    settle()
    assert widget.not_offered == {"direct": "No attention masks there."}
    widget.metric = "entropy"
    assert widget.not_offered == {"direct": "No attention masks there."}

"""What a widget says of a model on another machine."""

from __future__ import annotations

from dataclasses import replace

import horizon_widget as hw
from horizon_widget.schedule.listener import Status
from tests.conftest import PROMPT
from tests.widgets import LONG, settle


def test_where_the_request_to_a_host_is_told(widget):
    status = Status(state="computing", task="layer 2", done=0.5, seconds_left=None, filling="running")
    listener = widget._shown
    listener.on_status(replace(status, host="queued on ndif.example, position 3"))
    assert widget.progress["host"] == "queued on ndif.example, position 3"
    listener.on_status(status)
    assert widget.progress["host"] is None


def test_that_a_model_is_remote_is_told(model, monkeypatch):
    monkeypatch.setattr(hw.Model, "remote", True)
    made = hw.HorizonWidget(model, PROMPT, baseline="zero")
    assert made.asked["remote"] is True
    made.close()


def test_what_a_host_does_not_allow_is_told_as_soon_as_it_is_known(widget, monkeypatch):
    widget.wait("all", timeout=LONG)
    assert widget.not_offered == {}
    monkeypatch.setattr(hw.Model, "not_offered", {"direct": "No attention masks there."})
    widget.selected_layer = 0  # whatever makes the controller tell its status
    settle()
    assert widget.not_offered == {"direct": "No attention masks there."}
    widget.metric = "entropy"
    assert widget.not_offered == {"direct": "No attention masks there."}

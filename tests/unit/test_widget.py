"""The kernel's half of the widget: traits, messages, errors; no browser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

import horizon_widget as hw
from horizon_widget.question.facts import LIKELIHOOD
from horizon_widget.schedule.engine import Engine
from horizon_widget.widget import protocol
from tests.conftest import PROMPT
from tests.widgets import HELLO, INSPECT, LONG, received_rows, say, sent, settle

MESSAGES = json.loads((Path(__file__).parent.parent / "protocol" / "messages.json").read_text())


def test_traits_describe_the_map(widget):
    widget.wait(timeout=LONG)
    assert "".join(token["text"] for token in widget.tokens) == PROMPT
    assert widget.selected_layer == widget.n_layers // 2 == 2
    assert widget.query == {
        "method": "ablation",
        "metric": "logprob",
        "short_metric": "log p",
        "divergence": False,
        "words": LIKELIHOOD,
        "unit": "nats",
        "site": "residual",
        "exact": True,
    }
    assert widget.window == widget.map.window
    names = ["own_share", "expected_horizon", "half_horizon", "later_influence"]
    assert [s["name"] for s in widget.statistics] == names
    settle()
    assert widget.layer_info[2]["n_done"] == len(widget.tokens)
    assert widget.layer_info[2]["baseline"] == "zero"
    assert widget.layer_info[0]["baseline"] is None
    assert widget.state == "ready"
    assert json.dumps(widget.get_state(None))


def test_what_the_browser_receives_is_what_the_map_holds(widget):
    widget.wait(timeout=LONG)
    widget.selected_source = 4
    hmap = widget.wait(timeout=LONG)
    settle()
    rows = received_rows(widget)
    assert {place for place in rows if place[1] == 4} == {(layer, 4) for layer in range(4)}
    for (layer, source), (influence, statistics) in rows.items():
        np.testing.assert_array_equal(influence, hmap.values.values[layer, source])
        expected = [hmap.statistic(s["name"]).values[layer, source] for s in widget.statistics]
        np.testing.assert_allclose(statistics, expected, rtol=1e-6)
    assert {(2, source) for source in range(len(widget.tokens))} <= set(rows)


def test_a_view_that_opens_later_gets_all_there_is_and_the_map_is_filled(widget):
    widget.wait(timeout=LONG)
    settle()
    widget.sent.clear()
    say(widget, HELLO)
    assert widget.sent[0][0] == {"type": "welcome", "protocol_version": protocol.PROTOCOL_VERSION}
    assert {(2, source) for source in range(len(widget.tokens))} <= set(received_rows(widget))
    hmap = widget.wait("all", timeout=LONG)
    settle()
    assert hmap.done.all()
    assert len(received_rows(widget)) == hmap.done.size


def test_a_new_prompt_opens_a_new_map_and_values_of_the_old_one_are_not_sent(widget, held_model_thread):
    old = widget.map_id
    widget.selected_source = 3
    widget.prompt = "another text, a little longer"
    assert widget.map_id == old + 1
    assert widget.selected_source is None
    widget.sent.clear()
    held_model_thread()
    widget.wait(timeout=LONG)
    settle()
    assert "".join(token["text"] for token in widget.tokens) == widget.prompt
    assert {content["map_id"] for content, _ in widget.sent} == {old + 1}


def test_a_prompt_read_before_is_shown_again_and_the_rest_of_its_map_is_filled(widget):
    say(widget, HELLO)
    widget.wait(timeout=LONG)
    widget.prompt = "another text, a little longer"
    widget.wait(timeout=LONG)
    widget.sent.clear()
    widget.prompt = PROMPT
    hmap = widget.wait("all", timeout=LONG)
    settle()
    rows = received_rows(widget)
    assert set(rows) == {(layer, source) for layer in range(4) for source in range(len(PROMPT))}
    np.testing.assert_array_equal(rows[2, 3][0], hmap.values.values[2, 3])
    assert widget.progress["filling"] == "complete"


def test_a_map_opened_in_a_cell_is_not_filled_before_the_cell_ends(widget):
    say(widget, HELLO)
    widget._cell_begins()  # what IPython calls before a cell
    widget.prompt = "another text, a little longer"
    widget.wait(timeout=LONG)
    settle()
    assert not widget.map.done[0, 0]
    assert widget.progress["filling"] == "waiting"
    widget._cell_ends()
    widget.wait("all", timeout=LONG)
    assert widget.map.done.all()


def test_a_prompt_that_cannot_be_read_leaves_the_picture_as_it_is(widget):
    hmap = widget.wait(timeout=LONG)
    with pytest.raises(hw.QueryError, match="prompt: it is empty"):
        widget.prompt = ""
    assert widget.prompt == PROMPT
    np.testing.assert_array_equal(widget.map.values, hmap.values)
    widget.selected_source = 2
    assert widget.wait(timeout=LONG).done[:, 2].all()


@pytest.mark.parametrize(
    ("trait", "value"),
    [
        ("selected_layer", 4),
        ("selected_layer", -1),
        ("selected_source", 99),
        ("selected_target", -1),
        ("selected_offset", 99),
    ],
)
def test_a_selection_out_of_range_names_the_trait(widget, trait, value):
    with pytest.raises(hw.QueryError, match=f"^{trait}: {value} is out of range. Use 0 to "):
        setattr(widget, trait, value)
    assert getattr(widget, trait) in (None, 2)


def test_a_selection_can_be_given_at_the_start(model):
    made = hw.HorizonWidget(model, PROMPT, baseline="zero", selected_layer=1, selected_source=3)
    assert (made.selected_layer, made.selected_source) == (1, 3)
    assert made.wait(timeout=LONG).done[:, 3].all()
    made.close()


def test_a_click_is_observed_from_python(widget):
    seen = []
    widget.observe(lambda change: seen.append(change["new"]), "selected_source")
    widget.set_state({"selected_source": 5})  # as the browser's message does
    assert seen == [5]


def test_an_error_is_shown_in_the_widget_which_stays_usable(widget, monkeypatch):
    widget.wait(timeout=LONG)
    compute = Engine.compute
    monkeypatch.setattr(Engine, "compute", lambda self, part: [][1])
    widget.selected_source = 3
    with pytest.raises(hw.HorizonError, match="IndexError"):
        widget.wait(timeout=LONG)
    settle()
    assert widget.state == "error"
    assert "IndexError" in widget.error["title"]
    monkeypatch.setattr(Engine, "compute", compute)
    say(widget, {"type": "resume"})
    widget.wait(timeout=LONG)
    settle()
    assert widget.error is None
    assert widget.state == "ready"


def test_cancel_from_the_browser_stops(held_model_thread, widget):
    say(widget, {"type": "cancel"})
    held_model_thread()
    settle()
    assert received_rows(widget) == {}
    assert widget.progress["filling"] == "stopped"


def test_wait_for_something_else_is_refused(widget):
    with pytest.raises(hw.QueryError, match='Use "selected" or "all"'):
        widget.wait("everything")


def test_recorded_messages_to_the_kernel(widget):
    for case in MESSAGES:
        if case["direction"] == "to_kernel":
            widget.sent.clear()
            say(widget, case["message"])
            rejections = [content["reason"] for content, _ in widget.sent if content["type"] == "rejected"]
            assert bool(rejections) == (not case["valid"]), case
            assert all(rejections), "a reason is given"


def test_recorded_messages_to_the_browser():
    """What the front end is tested with fits the description."""
    described = TypeAdapter(protocol.ToBrowser)
    for case in MESSAGES:
        if case["direction"] == "to_browser" and case["valid"]:
            described.validate_python(case["message"], strict=True)


def test_what_is_found_has_the_described_parts(widget):
    say(widget, HELLO)
    say(widget, INSPECT)
    widget.wait("all", timeout=LONG)
    settle()
    described = TypeAdapter(protocol.ToBrowser)
    for content, _ in widget.sent:
        described.validate_python(content, strict=True)
    found = {content["aspect"]: content["found"] for content in sent(widget, "finding")}
    TypeAdapter(protocol.Findings).validate_json(json.dumps(found), strict=True)
    assert set(found) == set(protocol.ASPECTS)


def test_token_ids_are_shown_as_they_were_given(model):
    ids = [*model.tokenize("ab"), 0xC3 - 68, *model.tokenize("cd")]
    made = hw.HorizonWidget(model, ids, baseline="zero")
    assert made.map.query.token_ids == tuple(ids)
    assert made.wait(timeout=LONG).done[2].all()
    made.prompt = "a text"
    assert "".join(token["text"] for token in made.tokens) == "a text"
    made.close()


def test_another_metric_and_site_are_shown_with_their_names(model):
    made = hw.HorizonWidget(model, PROMPT, baseline="zero", metric="entropy", site="value", head=1)
    made.wait(timeout=LONG)
    assert made.query["metric"] == "entropy"
    assert made.query["site"] == "value, head 1"
    assert made.map.values.sizes["target"] == len(PROMPT)
    made.close()

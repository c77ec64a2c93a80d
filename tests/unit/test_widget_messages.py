"""Messages from the browser, and their answers."""

from __future__ import annotations

import numpy as np
import pytest

import horizon_widget as hw
from horizon_widget.compute.tasks import TASKS
from tests.conftest import PROMPT
from tests.widgets import INSPECT, LONG, OPEN, cancel_after, received_rows, say, sent, settle


def test_a_ping_is_answered_at_once_even_while_the_model_is_busy(widget, held_model_thread):
    say(widget, {"type": "ping", "number": 17})
    assert sent(widget, "pong") == [{"type": "pong", "number": 17}]


# -- open --------------------------------------------------------------------------------------------------------------


def test_another_metric_and_prompt_are_opened(widget):
    widget.selected_source = 3
    say(widget, {**OPEN, "metric": ["logprob", "a"], "layers": [1]})
    settle()
    assert (widget.map_id, widget.n_targets, widget.selected_source) == (2, len(PROMPT), 3)
    assert (widget.metric, widget.layers) == (("logprob", "a"), [1])
    say(widget, {**OPEN, "prompt": "a dog ran", "metric": ["kl"], "baseline": ["counterfactual", "a cat sat"]})
    settle()
    assert (widget.map_id, widget.prompt, widget.selected_source) == (3, "a dog ran", None)
    assert widget.baseline == ("counterfactual", "a cat sat")
    hmap = widget.wait(timeout=LONG)
    settle()
    assert hmap.query.metric.name == "kl"
    np.testing.assert_array_equal(received_rows(widget)[2, 4][0], hmap.values.values[2, 4])
    assert len(received_rows(widget)[2, 4][0]) == widget.n_targets == len("a dog ran")


def test_arguments_that_only_python_can_express_stay(model, widget):
    made = hw.HorizonWidget(
        model, PROMPT, baseline=("mean", ["some text", "more text"]), metric=lambda logits, ids: logits[:, 3]
    )
    made.sent = widget.sent
    baseline, metric = made.map.query.baseline, made.map.query.metric
    say(made, {**OPEN, "prompt": "another text", "metric": made.asked["metric"], "baseline": made.asked["baseline"]})
    settle()
    assert made.prompt == "another text"
    assert (made.map.query.baseline, made.map.query.metric) == (baseline, metric)
    made.close()


def test_token_ids_stay_where_only_something_else_is_changed(model, widget):
    ids = [*model.tokenize("ab"), 0xC3 - 68, *model.tokenize("cd")]
    made = hw.HorizonWidget(model, ids, baseline="zero")
    made.sent = widget.sent
    say(made, {**OPEN, "prompt": made.prompt, "metric": ["entropy"]})
    settle()
    assert made.map.query.token_ids == tuple(ids)
    assert made.query["metric"] == "entropy"
    made.close()


CANNOT_BE_OPENED = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": "\ud800 alone"}, "prompt"),
    ({"prompt": "x" * 65}, "prompt"),
    ({"metric": ["nonsense"]}, "metric"),
    ({"metric": ["logprob", "two tokens"]}, "metric"),
    ({"metric": ["function", "mine"]}, "metric"),
    ({"baseline": ["median"]}, "baseline"),
    ({"baseline": ["counterfactual", "short"]}, "baseline"),
    ({"layers": [4]}, "layers"),
]


def test_no_value_is_sent_before_the_traits_of_its_map(widget, monkeypatch):
    said = []
    monkeypatch.setattr(type(widget), "_send", lambda self, message, buffers=None: said.append(message))
    monkeypatch.setattr(type(widget), "send", lambda self, content, buffers=None: said.append(content))
    widget.selected_source = 3
    widget.wait(timeout=LONG)
    settle()
    for open_one in (
        lambda: setattr(widget, "prompt", "the user's text"),
        lambda: say(widget, {**OPEN, "prompt": "ab cd ef"}),
    ):
        said.clear()
        open_one()
        settle()
        widget.wait(timeout=LONG)
        told = [message["state"]["map_id"] for message in said if "map_id" in message.get("state", {})]
        assert told == [widget.map_id]
        first = next(k for k, message in enumerate(said) if message.get("map_id") == widget.map_id)
        traits = next(k for k, message in enumerate(said) if "map_id" in message.get("state", {}))
        assert traits < first


def test_an_observer_that_fails_leaves_no_map_half_opened(widget):
    widget.observe(lambda change: {}["missing"], ["map_id", "tokens"])
    widget.prompt = "another text"
    assert "".join(token["text"] for token in widget.tokens) == "another text"
    assert widget.wait(timeout=LONG).done[2].all()
    assert len(sent(widget, "failed")) == 2


def test_opening_waits_for_nothing_and_only_the_last_is_opened(widget, held_model_thread):
    opened = []
    widget.observe(lambda change: opened.append(change["new"]), "prompt")
    for number in range(50):
        say(widget, {**OPEN, "prompt": f"{number} dogs ran"})
    say(widget, {"type": "ping", "number": 1})
    assert sent(widget, "pong")
    assert widget.map_id == 1
    held_model_thread()
    settle()
    assert opened == ["49 dogs ran"]


def test_an_earlier_request_of_the_browser_does_not_replace_that_of_python(widget, held_model_thread):
    say(widget, {**OPEN, "prompt": "the browser's text"})
    widget.prompt = "the user's text"
    held_model_thread()
    settle()
    assert (widget.prompt, widget.map_id) == ("the user's text", 2)


def test_a_closed_widget_opens_nothing(widget, held_model_thread):
    say(widget, {**OPEN, "prompt": "the browser's text"})
    widget.close()
    held_model_thread()
    settle()
    assert widget.map_id == 1


def test_a_map_that_cannot_be_opened_is_reported_and_the_old_one_stays(widget):
    for change, field in CANNOT_BE_OPENED:
        widget.sent.clear()
        say(widget, {**OPEN, **change})
        (failed,) = sent(widget, "failed")
        assert failed["field"] == field
        assert failed["problem"]["title"].startswith(f"{field}: ")
        assert (widget.map_id, widget.prompt) == (1, PROMPT)
    assert widget.wait(timeout=LONG).done[2].all()


# -- write_on ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def talkative(widget):
    """Its model never ends a text."""
    for config in (widget._model.hf_model.config, widget._model.hf_model.generation_config):
        config.eos_token_id = None
    return widget


def test_prompt_and_continuation_are_one_map(talkative):
    widget = talkative
    expected = widget._model.write_on(widget.map.query.token_ids, 5)
    widget.metric = "entropy"
    widget.selected_source, widget.pinned_sources = 4, [1, 2]
    say(widget, {"type": "write_on", "n_tokens": 5})
    settle()
    assert widget.map.query.token_ids == (*widget._model.tokenize(PROMPT), *expected)
    assert widget.written_from == len(PROMPT)
    assert (widget.selected_source, widget.pinned_sources, widget.query["metric"]) == (4, [1, 2], "entropy")
    assert widget.wait(timeout=LONG).done[:, 4].all()
    tasks = widget.map_id
    say(widget, {"type": "write_on", "n_tokens": 2})
    settle()
    assert (widget.map_id, widget.written_from, len(widget.tokens)) == (tasks + 1, len(PROMPT), len(PROMPT) + 7)
    widget.metric = "logprob"
    assert widget.written_from == len(PROMPT), "the same text"
    widget.prompt = PROMPT
    assert widget.written_from is None
    assert sent(widget, "failed") == []


def test_python_gets_the_text_that_was_written(talkative, model):
    before = talkative.prompt
    text = talkative.write_on(3)
    assert talkative.prompt.startswith(before)
    assert len(talkative.tokens) == len(PROMPT) + 3
    assert (
        "".join(t["text"] for t in talkative.tokens[len(PROMPT) :] if t["piece"] is None or t["piece"][0] == 1) == text
    )
    with pytest.raises(hw.QueryError, match="n_tokens: 0 is not a whole number of 1 to 1000"):
        talkative.write_on(0)


def test_tokens_that_no_text_gives_are_kept_when_it_writes_on(model, widget):
    ids = [*model.tokenize("ab"), 0xC3 - 68, *model.tokenize("cd")]
    made = hw.HorizonWidget(model, ids, baseline="zero")
    made.write_on(2)
    assert made.map.query.token_ids[: len(ids)] == tuple(ids)
    assert made.asked["token_ids"] == list(made.map.query.token_ids)
    made.close()


def test_a_map_is_opened_and_written_on_from_in_one_message(talkative):
    say(talkative, {**OPEN, "prompt": "another text", "n_tokens": 3})
    settle()
    assert (talkative.prompt[:12], talkative.written_from, len(talkative.tokens)) == ("another text", 12, 15)


def test_a_map_that_cannot_be_opened_is_not_continued(talkative):
    before = talkative.map_id
    say(talkative, {**OPEN, "prompt": "", "n_tokens": 3})
    say(talkative, {**OPEN, "baseline": ["counterfactual", PROMPT], "n_tokens": 3})
    settle()
    assert [failed["field"] for failed in sent(talkative, "failed")] == ["prompt", "baseline"]
    assert (talkative.map_id, talkative.written_from) == (before, None)


def test_cancel_stops_between_tokens_and_keeps_written_tokens(talkative, monkeypatch):
    widget = talkative
    widget.wait(timeout=LONG)
    cancel_after(monkeypatch, widget, 3)
    say(widget, {"type": "write_on", "n_tokens": 500})
    settle()
    assert len(widget.tokens) == len(PROMPT) + 3
    assert widget.written_from == len(PROMPT)


def test_the_status_says_that_the_model_writes(talkative, monkeypatch):
    said = []
    talkative.observe(lambda change: said.append((change["new"]["task"], change["new"]["done"])), "progress")
    say(talkative, {"type": "write_on", "n_tokens": 4})
    settle()
    assert ("writing, 2 of 4 tokens", 0.5) in said


def test_another_prompt_opened_meanwhile_is_not_overtaken(talkative, held_model_thread):
    say(talkative, {"type": "write_on", "n_tokens": 4})
    opened = []
    talkative.observe(lambda change: opened.append(change["new"]), "prompt")
    talkative.prompt = "another text"
    held_model_thread()
    settle()
    assert opened == ["another text"]


def test_opening_and_writing_on_at_once_do_both(talkative, held_model_thread):
    say(talkative, {**OPEN, "prompt": "another text"})
    say(talkative, {"type": "write_on", "n_tokens": 3})
    held_model_thread()
    settle()
    assert talkative.prompt.startswith("another text")
    assert (talkative.written_from, len(talkative.tokens)) == (12, 15)
    say(talkative, {**OPEN, "prompt": PROMPT, "baseline": ["counterfactual", PROMPT[::-1]]})
    say(talkative, {"type": "write_on", "n_tokens": 3})
    settle()
    assert (talkative.prompt, talkative.written_from) == (PROMPT, None)
    assert [failed["field"] for failed in sent(talkative, "failed")] == ["baseline"]


def test_a_prompt_that_cannot_be_continued_is_reported(widget):
    widget._model.hf_model.train()
    say(widget, {"type": "write_on", "n_tokens": 3})
    settle()
    (failed,) = sent(widget, "failed")
    assert "training mode" in failed["problem"]["title"]
    assert widget.map_id == 1
    widget._model.hf_model.eval()
    widget.baseline = ("counterfactual", PROMPT[::-1])
    say(widget, {"type": "write_on", "n_tokens": 3})
    assert sent(widget, "failed")[1]["field"] == "baseline"


def test_a_host_that_does_not_allow_writing_is_reported_at_once(widget, monkeypatch):
    monkeypatch.setattr(hw.Model, "not_offered", {"write_on": "This host runs one pass alone."})
    say(widget, {"type": "write_on", "n_tokens": 3})
    say(widget, {**OPEN, "prompt": "another text", "n_tokens": 3})
    failures = sent(widget, "failed")
    assert [failed["field"] for failed in failures] == ["n_tokens", "n_tokens"]
    assert failures[0]["problem"]["title"] == "n_tokens: This host runs one pass alone."
    with pytest.raises(hw.QueryError, match="This host runs one pass alone"):
        widget.write_on(3)


# -- inspect -----------------------------------------------------------------------------------------------------------


def test_each_aspect_of_a_cell_is_answered_in_the_order_asked(widget):
    say(widget, INSPECT)
    settle()
    findings = sent(widget, "finding")
    assert [finding["aspect"] for finding in findings] == INSPECT["aspects"]
    for finding in findings:
        assert finding["map_id"] == widget.map_id
        assert [finding[name] for name in ("layer", "source", "target")] == [1, 3, 9]
        assert finding["problem"] is None
        assert finding["found"]
    by_aspect = {finding["aspect"]: finding["found"] for finding in findings}
    hmap = widget.wait("all", timeout=LONG)
    assert by_aspect["direct"]["total"] == pytest.approx(hmap.cell(1, 3, 9), abs=1e-5)
    assert by_aspect["verification"]["value"] == pytest.approx(hmap.cell(1, 3, 9), abs=1e-5)


def test_an_aspect_that_is_not_offered_is_answered_with_the_reason_and_the_others_are_found(widget, monkeypatch):
    monkeypatch.setattr(hw.Model, "not_offered", {"direct": "No attention masks there."})
    say(widget, INSPECT)
    settle()
    found = {finding["aspect"]: finding for finding in sent(widget, "finding")}
    assert found.keys() == set(INSPECT["aspects"])
    refused = found.pop("direct")
    assert refused["problem"] == {"title": "No attention masks there.", "advice": "", "detail": ""}
    assert all(finding["problem"] is None for finding in found.values())


def test_only_the_newest_cell_counts_and_its_aspects_add_up(widget, held_model_thread):
    for source in range(8):
        say(widget, {**INSPECT, "source": source, "aspects": ["direct", "carriers"]})
    say(widget, {**INSPECT, "source": 7, "aspects": ["carriers", "predictions"]})
    held_model_thread()
    settle()
    found = [(finding["source"], finding["aspect"]) for finding in sent(widget, "finding")]
    assert found == [(7, "direct"), (7, "carriers"), (7, "predictions")]


def test_an_invalid_cell_gets_a_problem(widget):
    for change, field in [({"layer": 99}, "layer"), ({"source": 9}, "target"), ({"target": 0}, "target")]:
        widget.sent.clear()
        say(widget, {**INSPECT, **change, "aspects": ["direct", "predictions"]})
        settle()
        findings = sent(widget, "finding")
        assert [finding["aspect"] for finding in findings] == ["direct", "predictions"]
        for finding in findings:
            assert finding["found"] is None
            assert finding["problem"]["title"].startswith(f"{field}: ")


def test_one_aspect_that_fails_leaves_the_others(widget, monkeypatch):
    monkeypatch.setitem(TASKS, "baseline_sensitivity", lambda ablation, cell: {}["missing"])
    say(widget, {**INSPECT, "aspects": ["baseline_sensitivity", "direct"]})
    settle()
    first, second = sent(widget, "finding")
    assert "KeyError" in first["problem"]["title"]
    assert "Traceback" in first["problem"]["detail"]
    assert second["found"] is not None
    assert widget.wait(timeout=LONG).done[2].all()


def test_cancelled_questions_are_answered_as_cancelled(widget, held_model_thread):
    say(widget, {**INSPECT, "aspects": ["direct", "carriers"]})
    say(widget, {"type": "cancel"})
    held_model_thread()
    settle()
    findings = sent(widget, "finding")
    assert [finding["problem"]["title"] for finding in findings] == ["It was cancelled."] * 2


def test_questions_about_an_old_map_are_not_answered(widget, held_model_thread):
    say(widget, INSPECT)
    widget.prompt = "another text"
    say(widget, INSPECT)  # the page has not heard of the new map
    held_model_thread()
    settle()
    assert sent(widget, "finding") == []

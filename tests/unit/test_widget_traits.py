"""The valid values of the widget's traits, set from either side."""

from __future__ import annotations

import gc
import math
import threading
import weakref

import ipywidgets
import numpy as np
import pytest
import traitlets
from pydantic import TypeAdapter

import horizon_widget as hw
from horizon_widget.schedule import idle
from horizon_widget.widget import state
from horizon_widget.widget.traits import CONTROLS
from tests.conftest import PROMPT
from tests.widgets import HELLO, LONG, OPEN, say, sent, settle

GOOD = {
    "direction": "column",
    "statistic": "later_influence",
    "selected_layer": 0,
    "selected_source": 30,
    "selected_target": 30,
    "selected_offset": 1,
    "pinned_sources": [0, 3, 9, 30],
    "fixed_scale": 2.5,
    "show_words": True,
    "show_arcs": True,
    "include_sinks": True,
    "profile_as_share": True,
    "least_offset": 33,
    "find": "<b>cat</b>",
}
BAD = {
    "direction": ["rows", None, 1, ["row"]],
    "statistic": ["share", "", None, 0],
    "selected_layer": [4, -1, None, 1.0, "1", True, 10**30],
    "selected_source": [31, -1, 1.5, "1", False, [1]],
    "selected_target": [0, 31, -1, "2", True, 10**30],
    "selected_offset": [0, 31, -1, "2", True, 10**30],
    "pinned_sources": [None, 3, "12", [1, 1], [31], [-1], [True], [1, 2, 3, 4, 5], [None]],
    "fixed_scale": [0, -1.0, math.nan, math.inf, True, "2", [1], 10**400],
    "show_words": [None, 1, "true"],
    "show_arcs": [None, 0],
    "include_sinks": [None, "false"],
    "profile_as_share": [None, 1],
    "least_offset": [None, 0, 3, True, 2.5, "9", [9], 10**30],
    "find": [None, 3, "x" * 10_001, "\ud800"],
}


def synced(widget):
    """The widget's own synced traits."""
    return set(widget.trait_names(sync=True)) - set(ipywidgets.DOMWidget.class_trait_names(sync=True))


def test_both_halves_know_the_same_traits(widget):
    assert set(state.Controls.__annotations__) == set(CONTROLS) == set(GOOD)
    assert synced(widget) - {"_esm", "_anywidget_id"} == set(state.Traits.__annotations__)


def test_traits_are_what_their_types_say(widget):
    widget.wait("all", timeout=LONG)
    settle()
    traits = {name: getattr(widget, name) for name in state.Traits.__annotations__}
    TypeAdapter(state.Traits).validate_python(traits, strict=True)


def test_every_trait_says_what_it_means(widget):
    for name in synced(widget) - {"_esm", "_anywidget_id"} | {"metric", "baseline"}:
        assert len(widget.traits()[name].help) > 15, name


def test_a_good_value_is_taken_from_either_side(widget):
    for name, value in GOOD.items():
        setattr(widget, name, value)
        assert getattr(widget, name) == value
        setattr(widget, name, widget.traits()[name].default(widget))
        widget.set_state({name: value})
        assert getattr(widget, name) == value
    assert sent(widget, "failed") == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_by_name_and_the_good_one_stays(widget, name, monkeypatch):
    setattr(widget, name, GOOD[name])
    other = "find" if name != "find" else "direction"
    restored = []
    monkeypatch.setattr(widget, "send_state", lambda key=None: restored.append(key))
    for value in BAD[name]:
        with pytest.raises(hw.QueryError, match=f"^{name}: "):
            setattr(widget, name, value)
        assert getattr(widget, name) == GOOD[name]
        setattr(widget, other, widget.traits()[other].default(widget))
        restored.clear()
        widget.sent.clear()
        widget.set_state({name: value, other: GOOD[other]})
        assert getattr(widget, name) == GOOD[name]
        assert getattr(widget, other) == GOOD[other], "valid values beside it are taken"
        assert name in restored
        (failed,) = sent(widget, "failed")
        assert failed["field"] == name
        assert failed["problem"]["title"].startswith(f"{name}: ")


def test_the_browser_sets_nothing_else(widget):
    widget.wait("all", timeout=LONG)  # which changes traits, too
    for name in ("tokens", "prompt", "layers", "map_id", "state", "query", "n_layers", "_esm", "nonsense"):
        widget.sent.clear()
        before = getattr(widget, name, None)
        widget.set_state({name: [5]})
        assert getattr(widget, name, None) == before
        assert [message["field"] for message in sent(widget, "failed")] == [name]
    widget.set_state("nonsense")
    widget.set_state({3: 4})


def test_ipywidgets_own_traits_may_be_set_by_the_browser(widget):
    widget.set_state({"_view_count": 2})
    assert widget._view_count == 2
    assert sent(widget, "failed") == []


def test_an_observer_that_fails_is_said_in_the_browser(widget):
    widget.observe(lambda change: {}["missing"], "find")
    widget.set_state({"find": "cat", "selected_source": 3})
    (failed,) = sent(widget, "failed")
    assert "KeyError" in failed["problem"]["title"]
    assert "Traceback" in failed["problem"]["detail"]
    assert widget.wait(timeout=LONG).done[:, 3].all()


def test_traits_can_be_linked_and_observed(widget):
    slider, box = ipywidgets.IntSlider(max=3), ipywidgets.Text()
    traitlets.link((widget, "selected_layer"), (slider, "value"))
    ipywidgets.link((widget, "find"), (box, "value"))
    ipywidgets.jslink((widget, "selected_layer"), (slider, "value"))
    widget.set_state({"selected_layer": 3, "find": "cat"})
    assert (slider.value, box.value) == (3, "cat")
    slider.value = 1
    assert widget.selected_layer == 1
    seen = []
    widget.observe(lambda change: seen.append((change["name"], change["new"])), ["selected_target", "pinned_sources"])
    widget.set_state({"selected_target": 4, "pinned_sources": [2]})
    assert sorted(seen) == [("pinned_sources", [2]), ("selected_target", 4)]
    traitlets.dlink((widget, "prompt"), (box, "value"))
    widget.prompt = "another text, a little longer"
    assert box.value == widget.prompt


def test_no_list_is_shared_by_two_widgets(widget, model):
    other = hw.HorizonWidget(model, PROMPT)
    assert other.pinned_sources is not widget.pinned_sources
    other.close()


def test_sinks_are_reported_when_the_prompt_has_run(model, byte_tokenizer, held_model_thread):
    from horizon_widget.result import statistics

    made = hw.HorizonWidget(model, PROMPT)
    assert made.sinks == []
    held_model_thread()
    made._running.map.dataset["sink"].values[2] = True
    made.wait(timeout=LONG)
    found = np.flatnonzero(statistics.find_sinks(made.map.dataset["state_norm"].values)).tolist()
    settle()
    assert made.sinks == found
    made._running.map.dataset["sink"].values[2] = True
    made.selected_source = 1
    made.wait(timeout=LONG)
    settle()
    assert made.sinks == sorted({*found, 2})
    made.close()


def test_words_are_numbered(widget):
    text = [token["text"] for token in widget.tokens]
    words = [token["word"] for token in widget.tokens]
    assert "".join(c for c, word in zip(text, words, strict=True) if word == 1) == " cat"
    assert words == sorted(words)
    assert set(words) == set(range(len(widget.map.words)))


# -- opening another map -------------------------------------------------------------------------------------------


def test_another_metric_keeps_the_selection_and_another_prompt_does_not(widget):
    looked_at = {"selected_source": 3, "selected_target": 9, "selected_offset": 30, "pinned_sources": [4, 5]}
    for name, value in looked_at.items():
        setattr(widget, name, value)
    widget.metric = "entropy"
    assert widget.map_id == 2
    assert widget.n_targets == len(PROMPT)
    assert widget.query["metric"] == "entropy"
    assert {name: getattr(widget, name) for name in looked_at} == looked_at
    widget.selected_target = len(PROMPT)
    widget.baseline = "mean"
    assert widget.selected_target == len(PROMPT)
    widget.metric = "logprob"
    assert widget.selected_target is None, "it has no such target"
    assert widget.selected_source == 3
    widget.prompt = PROMPT + "!"
    assert [widget.selected_source, widget.selected_offset, widget.pinned_sources] == [None, None, []]
    assert widget.asked["metric"] == ["logprob"]
    assert widget.asked["baseline"] == ["mean"]


CANNOT_BE_ASKED = {
    "prompt": ["", 5],
    "metric": ["nonsense", ("logprob", " two tokens")],
    "baseline": ["median", ("counterfactual", "too short")],
    "layers": [[4], [], "all"],
}


def test_a_wrong_question_raises_and_the_map_stays(widget):
    for name, values in CANNOT_BE_ASKED.items():
        before = getattr(widget, name)
        for value in values:
            with pytest.raises(hw.QueryError, match=f"^{name}: "):
                setattr(widget, name, value)
            assert getattr(widget, name) == before
    assert widget.map_id == 1
    assert widget.wait(timeout=LONG).done[2].all()


def test_a_map_too_large_to_hold_leaves_the_old_one(widget, monkeypatch):
    monkeypatch.setattr("horizon_widget.result.schema.LARGEST_MAP", 1000)
    with pytest.raises(hw.QueryError, match="^prompt: the map of its"):
        widget.prompt = PROMPT + "!"
    assert (widget.prompt, widget.map_id) == (PROMPT, 1)
    assert widget.wait(timeout=LONG).done[2].all()


def test_only_chosen_layers_are_filled_and_a_click_is_answered_at_all(model):
    made = hw.HorizonWidget(model, PROMPT, baseline="zero", layers=[1, -1, 1])
    assert made.layers == [1, 3]
    made.selected_source = 4
    say(made, HELLO)
    hmap = made.wait("all", timeout=LONG)
    assert hmap.computed_layers == (1, 2, 3), "and the one on the screen"
    assert hmap.done[:, 4].all()
    assert made.progress["task"] == "the chosen layers"
    made.layers = None
    assert made.wait("all", timeout=LONG).done.all()
    made.close()


@pytest.mark.parametrize(
    ("arguments", "metric", "baseline"),
    [
        ({}, ["logprob"], ["auto"]),
        ({"metric": ("contrast", "a", 65), "baseline": "mean"}, ["contrast", "a", "b"], ["mean"]),
        ({"baseline": ("counterfactual", PROMPT[::-1])}, ["logprob"], ["counterfactual", PROMPT[::-1]]),
        ({"baseline": ("mean", ["some texts", "for it"])}, ["logprob"], None),
        ({"metric": "entropy", "baseline": hw.Baseline("zero")}, ["entropy"], ["zero"]),
    ],
)
def test_the_arguments_of_the_map_are_described(model, arguments, metric, baseline):
    made = hw.HorizonWidget(model, PROMPT, seed=3, draws=2, site="value", head=1, **arguments)
    assert made.asked == {
        "metric": metric,
        "baseline": baseline,
        "site": "value",
        "head": 1,
        "seed": 3,
        "draws": 2,
        "token_ids": None,
        "model": None,
        "remote": False,
    }
    made.close()


def test_token_ids_are_described_if_the_text_does_not_give_them(model):
    ids = [*model.tokenize("ab"), 0xC3 - 68, *model.tokenize("cd")]
    made = hw.HorizonWidget(model, ids, baseline="zero")
    assert made.asked["token_ids"] == ids
    made.metric = "entropy"
    assert made.map.query.token_ids == tuple(ids)
    made.prompt = "a text"
    assert made.asked["token_ids"] is None
    made.close()


def test_a_prompt_can_be_set_as_tokens_and_as_messages(model, widget):
    ids = [*model.tokenize("ab"), 0xC3 - 68, *model.tokenize("cd")]
    widget.prompt = ids
    assert widget.map.query.token_ids == tuple(ids)
    assert widget.asked["token_ids"] == ids
    with widget.hold_trait_notifications():
        widget.prompt = "another text"
        widget.metric = "entropy"
    assert (widget.prompt, widget.query["metric"]) == ("another text", "entropy")
    assert "".join(token.text for token in widget.map.tokens) == "another text"


def test_a_selection_that_does_not_fit_leaves_no_widget_behind(model):
    before = set(ipywidgets.widget._instances)
    with pytest.raises(hw.QueryError, match="selected_source: 99 is out of range"):
        hw.HorizonWidget(model, PROMPT, selected_source=99)
    assert idle._by_use == []
    assert set(ipywidgets.widget._instances) == before


# -- closing -----------------------------------------------------------------------------------------------------------


class Events:
    """IPython's events."""

    def __init__(self):
        self.callbacks = []

    def register(self, event, callback):
        self.callbacks.append((event, callback))

    def unregister(self, event, callback):
        self.callbacks.remove((event, callback))


def test_a_closed_widget_leaves_nothing_behind(model, monkeypatch):
    shell = type("Shell", (), {})()
    shell.events = Events()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)

    kept = set(ipywidgets.widget._instances)

    def used():
        made = hw.HorizonWidget(model, PROMPT, baseline="zero")
        assert len(shell.events.callbacks) == 2
        made._cell_ends()
        say(made, HELLO)
        say(made, {"type": "inspect", "map_id": 1, "layer": 1, "source": 2, "target": 5, "aspects": ["predictions"]})
        made.wait("all", timeout=LONG)
        first = made._shown
        made.prompt = "another text, a little longer"
        made.wait(timeout=LONG)
        seen = [weakref.ref(x) for one in (first, made._shown) for x in (made, one.controller, one)]
        made.close()
        made.close()
        return seen

    seen = used()
    settle()
    gc.collect()
    assert [ref() for ref in seen] == [None] * len(seen)
    assert shell.events.callbacks == []
    assert set(ipywidgets.widget._instances) == kept
    assert idle._by_use == []


def test_two_threads_that_open_maps_at_once_leave_one_complete(widget):
    texts = [f"{number} and some more text" for number in range(8)]

    def of_the_browser():
        for text in texts[::2]:
            say(widget, OPEN | {"prompt": text})

    def of_the_user():
        for text in texts[1::2]:
            widget.prompt = text

    threads = [threading.Thread(target=work) for work in (of_the_browser, of_the_user)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(timeout=LONG)
        assert not each.is_alive()
    settle()
    assert widget.prompt in (texts[-2], texts[-1])
    assert "".join(token["text"] for token in widget.tokens) == widget.prompt
    assert "".join(token.text for token in widget.map.tokens) == widget.prompt
    assert widget.wait(timeout=LONG).done[2].all()
    assert sent(widget, "failed") == []

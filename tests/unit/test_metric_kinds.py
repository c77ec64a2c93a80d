"""The kind of a metric decides its meaning. Its label is only shown."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

import horizon_widget as hw
from horizon_widget.question.facts import DIVERGENCE, LEVEL, LIKELIHOOD
from horizon_widget.question.metric import Metric
from tests.conftest import PROMPT


def first_logit(logits, input_ids):
    return logits[:, 0]


def called(name):
    """A metric function with any name."""

    def metric(logits, input_ids):
        return first_logit(logits, input_ids)

    metric.__name__ = name
    return metric


@pytest.mark.parametrize("name", ["kl", "entropy", "logprob", "contrast", "logprob of ' Paris'", "<lambda>", "\ud800"])
def test_a_function_is_shown_as_a_function_whatever_its_name(model, name):
    widget = hw.HorizonWidget(model, PROMPT, metric=called(name), baseline="zero")
    shown = name.encode("utf-8", "backslashreplace").decode()
    assert widget.query["words"] == LEVEL
    assert not widget.query["divergence"]
    assert (widget.query["metric"], widget.query["unit"]) == (f"function {shown}", "")
    assert widget.asked["metric"] == ["function", shown]
    assert json.dumps(widget.get_state(None)).encode()
    widget.close()


@pytest.mark.parametrize("function", [called(""), functools.partial(first_logit)])
def test_a_function_without_a_name_is_a_function(model, function):
    widget = hw.HorizonWidget(model, PROMPT, metric=function, baseline="zero")
    assert widget.query["metric"] == widget.query["short_metric"] == "function"
    assert widget.asked["metric"] == ["function", "function"]
    assert "function" in repr(widget.map)
    widget.close()


@pytest.mark.parametrize(
    ("metric", "words", "short"),
    [
        ("logprob", LIKELIHOOD, "log p"),
        (("logprob", "a"), LEVEL, "logprob of 'a'"),
        ("logit", LEVEL, "logit"),
        (("contrast", "a", "b"), LEVEL, "contrast 'a' - 'b'"),
        ("entropy", LEVEL, "entropy"),
        ("kl", DIVERGENCE, "kl"),
        (Metric("kl", label="how far it moves"), DIVERGENCE, "kl"),
    ],
)
def test_the_page_gets_words_that_explain_the_values(model, metric, words, short):
    widget = hw.HorizonWidget(model, PROMPT, metric=metric, baseline="zero")
    assert widget.query["words"] == words
    assert widget.query["divergence"] == (words is DIVERGENCE)
    assert widget.query["short_metric"] == short
    assert widget.query["metric"] == str(widget.map.query.metric)
    widget.close()


def test_a_function_named_like_a_metric_stays_a_function(model, tmp_path):
    own = hw.attribute(model, PROMPT, layers=1, metric=called("kl"), baseline="zero", progress=False)
    plain = hw.attribute(model, PROMPT, layers=1, metric=first_logit, baseline="zero", progress=False)
    np.testing.assert_array_equal(own.values, plain.values)
    assert own.dataset.attrs["metric"] == "function kl"
    assert "function kl" in repr(own)
    own.save(tmp_path / "map.nc")
    loaded = hw.HorizonMap.load(tmp_path / "map.nc")
    assert (loaded.query.metric.name, str(loaded.query.metric)) == ("function", "function kl")
    with pytest.raises(hw.QueryError, match="metric: kl was a function, and files do not hold functions"):
        hw.attribute(model, PROMPT, metric=loaded.query.metric, progress=False)
    estimate = hw.attribute(model, PROMPT, layers=1, metric=called("kl"), method="gradient", progress=False)
    assert estimate.done.any()

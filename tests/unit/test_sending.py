"""The code that is sent to a host, and its import there."""

from __future__ import annotations

import ast
import json
import linecache
import sys
from pathlib import Path

import numpy as np
import pytest

import horizon_widget as hw
from horizon_widget.compute.findings import Cell
from horizon_widget.compute.preparation import Preparation
from horizon_widget.models import layout
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.question.query import Query
from horizon_widget.remote import sending
from horizon_widget.remote.on_host import bootstrap, tasks
from horizon_widget.remote.packing import pack, unpack
from tests.conftest import tiny_gpt2

HELPER = "def double(x):\n    return 2 * x\n"
ENTRY = "from parcel.helper import double\n\ndef answer(traced, request):\n    return double(request[traced])\n"
SOURCES = {"parcel": "", "parcel.helper": HELPER, "parcel.entry": ENTRY}


def test_the_code_sent_imports_only_packages_of_every_host():
    texts = sending.sources(tasks.__name__)
    assert "horizon_widget.remote.on_host.tasks" in texts
    assert "horizon_widget.remote.on_host.model" in texts
    assert texts["horizon_widget"] == ""
    needed = {line.split()[1].split(".")[0] for text in texts.values() for line in _imports(text)}
    allowed = {"horizon_widget", "nnsight", "numpy", "psutil", "torch", "transformers", "typing_extensions"}
    assert needed - sys.stdlib_module_names <= allowed
    assert sum(map(len, texts.values())) < 250_000


def test_docstrings_and_comments_are_not_sent_and_every_line_keeps_its_number():
    original = Path(tasks.__file__).read_text()
    sent = sending.sources(tasks.__name__)[tasks.__name__]
    assert '"""' not in sent
    assert "#" not in sent
    assert [(node.name, node.lineno) for node in ast.walk(ast.parse(sent)) if isinstance(node, ast.FunctionDef)] == [
        (node.name, node.lineno) for node in ast.walk(ast.parse(original)) if isinstance(node, ast.FunctionDef)
    ]


def test_a_layout_is_sent(byte_tokenizer):
    mine = hw.load_model(tiny_gpt2(), tokenizer=byte_tokenizer).layout
    sent = layout.layout_from(json.loads(json.dumps(layout.sendable(mine))))
    assert (sent.blocks, list(sent.norm), sent.head) == (mine.blocks, list(mine.norm), mine.head)
    for site in layout.PLACES:
        assert sent.place(site).module == mine.place(site).module
        np.testing.assert_array_equal(sent.place(site).heads, mine.place(site).heads)


def _imports(text):
    return [line for line in text.splitlines() if line.startswith(("import ", "from "))]


def test_modules_that_were_sent_are_gone_afterwards():
    assert bootstrap.answer("key", SOURCES, "parcel.entry:answer", {"key": 21}) == {"answer": 42}
    assert not [name for name in sys.modules if name.startswith("parcel")]
    assert not [finder for finder in sys.meta_path if isinstance(finder, bootstrap.SentModules)]


def test_a_module_of_the_same_name_on_the_host_is_set_aside(monkeypatch):
    own = type(sys)("parcel")
    monkeypatch.setitem(sys.modules, "parcel", own)
    assert bootstrap.answer("key", SOURCES, "parcel.entry:answer", {"key": 21}) == {"answer": 42}
    assert sys.modules["parcel"] is own


def test_an_error_comes_back_with_its_lines():
    error = bootstrap.answer("key", SOURCES, "parcel.entry:answer", {})["error"]
    assert (error["type"], error["field"]) == ("KeyError", None)
    assert "return double(request[traced])" in error["traceback"]
    assert "<sent>/parcel/entry.py" in linecache.cache


def test_packed_values_are_unpacked_unchanged():
    query = Query((1, 2, 3, 4), metric=Metric("contrast", (5, 6)), baseline=Baseline("mean", ((1, 2), (3, 4, 5))))
    sent = {"query": query, "cells": [(0, 1)], "known": {3: Preparation("mean", True, 0.5)}, "cell": Cell(1, 2, 3)}
    back = unpack(pack(sent), tasks.IN_REQUESTS)
    assert back == sent
    assert hash(back["query"]) == hash(query)
    rows = unpack(pack({"rows": np.arange(6.0).reshape(2, 3), "one": np.float32(2)}), ())
    np.testing.assert_array_equal(rows["rows"], np.arange(6.0).reshape(2, 3))
    assert rows["one"] == 2


def test_only_expected_dataclasses_are_made():
    with pytest.raises(ValueError, match="'Query' is not expected"):
        unpack(pack(Query((1, 2))), [Cell, Metric, Baseline])

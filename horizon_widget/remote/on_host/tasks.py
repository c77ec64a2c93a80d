"""The functions that requests call on a host. Each takes the traced model and a request, and returns plain values."""

from __future__ import annotations

import itertools
import platform
import sys
import time
from typing import Any

import torch

from horizon_widget.compute.computation import CleanValues
from horizon_widget.compute.findings import Carrier, Cell, Prediction, Steps, Verification
from horizon_widget.compute.gradient import Gradient
from horizon_widget.compute.preparation import Preparation
from horizon_widget.compute.tasks import computation_for, perform
from horizon_widget.models.local_model import LocalModel
from horizon_widget.models.writing import continuation, end_tokens
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.question.query import Query
from horizon_widget.remote.on_host.model import hosted_model
from horizon_widget.remote.packing import pack, unpack

IN_REQUESTS = (Query, Metric, Baseline, Cell, Preparation)
IN_ANSWERS = (CleanValues, Preparation, Prediction, Carrier, Verification)
WRITING_SECONDS = 3.0  # in one request


def perform_task(traced: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Perform a task of one query, from the prompt on.

    Args:
        traced: The nnsight model, inside a session.
        request: ``{name, layout, query, task, arguments, preparations, strategies, batched}``: the model's name,
            where its parts are, the question, and what earlier answers found.

    Returns:
        ``{result, clean, preparations, operations, seconds, strategies, batched, dtype, device}``, packed;
        ``preparations``: only the new ones.
    """
    began = time.perf_counter()
    model = hosted_model(traced, request)
    known = unpack(request["preparations"], IN_REQUESTS)
    model.tried |= dict(request["strategies"])
    options = {} if request["batched"] is None else {"batched": request["batched"]}
    computation = computation_for(model, unpack(request["query"], IN_REQUESTS), **options)
    computation.preparations = dict(known)
    result = _finish(perform(computation, request["task"], unpack(request["arguments"], IN_REQUESTS)))
    new = {layer: found for layer, found in computation.preparations.items() if layer not in known}
    answer = {
        "result": result,
        "clean": computation.clean,
        "preparations": new,
        "operations": computation.operations,
        "strategies": list(model.tried.items()),
        "batched": computation._batched if isinstance(computation, Gradient) else None,
        "seconds": time.perf_counter() - began,
        **_weights(model),
    }
    return {name: pack(value) for name, value in answer.items()}


def _finish(steps: Steps[Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def probe(traced: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Find out what the host is and what it allows.

    Args:
        traced: The nnsight model, inside a session.
        request: ``{name, layout, token_ids, texts}``: a short prompt, and texts to compare the tokenizers with.

    Returns:
        ``{sandboxed, gradients, dtype, device, versions, n_layers, vocab_size, tokens, strategies}``; ``gradients``:
        ``None`` if they work, otherwise why they do not.
    """
    model = hosted_model(traced, request)
    query = Query(tuple(request["token_ids"]), baseline=Baseline("zero"))
    computation_for(model, query).begin()  # tries the strategies, and sees the device
    return {
        "sandboxed": type(model) is not LocalModel,
        "gradients": _why_no_gradients(model, query),
        "versions": {"python": platform.python_version()}
        | {name: str(sys.modules[name].__version__) for name in ("torch", "transformers", "nnsight")},
        "n_layers": model.n_layers,
        "vocab_size": model.vocab_size,
        "tokens": [list(model.tokenizer(text)["input_ids"]) for text in request["texts"]],
        "strategies": list(model.tried.items()),
        **_weights(model),
    }


def _weights(model: LocalModel) -> dict[str, str]:
    return {"dtype": str(model.dtype).removeprefix("torch."), "device": model.device.type}


def _why_no_gradients(model: LocalModel, query: Query) -> str | None:
    try:
        columns = Gradient(model, Query(query.token_ids, method="gradient", baseline=query.baseline)).columns([1])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if bool(torch.from_numpy(columns).abs().max() > 0) else "all are zero"


def continue_text(traced: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Let the model continue a text for some seconds.

    Args:
        traced: The nnsight model, inside a session.
        request: ``{name, layout, token_ids, n_tokens}``.

    Returns:
        ``{tokens, ended}``: the new ones, and whether the text or the context is at its end.
    """
    began, tokens = time.perf_counter(), []
    model = hosted_model(traced, request)
    length = model.context_length
    for token in itertools.islice(continuation(model, request["token_ids"]), request["n_tokens"]):
        tokens.append(token)
        full = length is not None and len(request["token_ids"]) + len(tokens) >= length
        if time.perf_counter() - began > WRITING_SECONDS and not full and token not in end_tokens(model):
            return {"tokens": tokens, "ended": False}
    return {"tokens": tokens, "ended": True}

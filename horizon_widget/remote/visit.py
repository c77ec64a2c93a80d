"""What is called on a host: a task of one query, on the model there."""

from __future__ import annotations

import platform
import sys
import time
from typing import Any

import torch

from horizon_widget.compute.computation import CleanValues, Computation
from horizon_widget.compute.findings import Carrier, Cell, Prediction, Steps, Verification
from horizon_widget.compute.gradient import Gradient
from horizon_widget.compute.preparation import Preparation
from horizon_widget.compute.tasks import computation_for, perform
from horizon_widget.models.local_model import LocalModel
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.question.query import Query
from horizon_widget.remote.hosted import hosted_model
from horizon_widget.remote.values import pack, unpack

ENTRY = f"{__name__}:answer"
ASKED = (Query, Metric, Baseline, Cell, Preparation)
ANSWERED = (CleanValues, Preparation, Prediction, Carrier, Verification)


def answer(traced: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Perform a task from the prompt on, and tell what it taught.

    Args:
        traced: The nnsight model, inside a session.
        request: ``{name, layout, query, task, arguments, preparations, strategies, batched}``: the model's name, what
            is registered of its architecture, and what earlier answers taught.

    Returns:
        ``{result, clean, preparations, operations, seconds, strategies, batched, dtype, device}``, packed;
        ``preparations`` only those that are new.
    """
    began = time.perf_counter()
    model = hosted_model(traced, request)
    known = unpack(request["preparations"], ASKED)
    model.tried |= dict(request["strategies"])
    options = {} if request["batched"] is None else {"batched": request["batched"]}
    computation = computation_for(model, unpack(request["query"], ASKED), **options)
    computation.preparations = dict(known)
    result = _finish(perform(computation, request["task"], unpack(request["arguments"], ASKED)))
    new = {layer: found for layer, found in computation.preparations.items() if layer not in known}
    told = {
        "result": result,
        "clean": computation.clean,
        "preparations": new,
        "operations": computation.operations,
        "strategies": _strategies(model),
        "batched": _batched(computation),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
        "seconds": time.perf_counter() - began,
    }
    return {name: pack(value) for name, value in told.items()}


def _finish(steps: Steps[Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _strategies(model: LocalModel) -> list[Any]:
    """Ways that were tried, and for prompts of which length, as they can be sent."""
    return list(model.tried.items())


def _batched(computation: Computation) -> bool | None:
    """Whether gradients are taken for all targets at once, if that was tried."""
    return computation._batched if isinstance(computation, Gradient) else None


def probe(traced: Any, request: dict[str, Any]) -> dict[str, Any]:
    """What the host is and what it allows.

    Args:
        traced: The nnsight model, inside a session.
        request: ``{name, layout, token_ids, texts}``: a short prompt, and texts to compare the tokenizers with.

    Returns:
        ``{sandboxed, gradients, dtype, device, versions, n_layers, vocab_size, tokens, strategies}``; ``gradients``:
        null if they work, else what was said.
    """
    model = hosted_model(traced, request)
    query = Query(tuple(request["token_ids"]), baseline=Baseline("zero"))
    computation_for(model, query).begin()  # a strategy is tried, and the device seen
    return {
        "sandboxed": type(model) is not LocalModel,
        "gradients": _refused(model, query),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
        "versions": {"python": platform.python_version()}
        | {name: str(sys.modules[name].__version__) for name in ("torch", "transformers", "nnsight")},
        "n_layers": model.n_layers,
        "vocab_size": model.vocab_size,
        "tokens": [list(model.tokenizer(text)["input_ids"]) for text in request["texts"]],
        "strategies": _strategies(model),
    }


def _refused(model: LocalModel, query: Query) -> str | None:
    """Why gradients cannot be had, or ``None``: they are taken of one prediction."""
    try:
        columns = Gradient(model, Query(query.token_ids, method="gradient", baseline=query.baseline)).columns([1])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if bool(torch.from_numpy(columns).abs().max() > 0) else "all are zero"

"""A stand-in for an NDIF host: its model is in this process, without a network."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import torch
from nnsight import TransformersModel

from horizon_widget.errors import CancelledError, HorizonError
from horizon_widget.models import thread
from horizon_widget.remote.faults import Faults
from horizon_widget.remote.remote_model import RemoteModel
from horizon_widget.remote.waiting import Progress


class StandInHost:
    """Answers requests in this process, with the code that is sent to a host.

    Attributes:
        asked: Tasks of the requests so far.
        values: The largest number of values in one answer.
        gate: Each request waits for it; set at first.
        failure: Raised instead of the next answer, if it is set.
        change: Called with each answer before it is sent back.
    """

    name = "stand-in"
    faults = Faults(name, "tiny")

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.values = 0
        self.gate = threading.Event()
        self.gate.set()
        self.failure: HorizonError | None = None
        self.change: Callable[[Any], None] = lambda answer: None

    def ask(self, traced: Any, task: Any, request: dict[str, Any], *, on_progress: Any, cancelled: Any) -> Any:
        self.asked.append(request.get("task") or task.__name__)
        on_progress(Progress("queued", 2))
        while not self.gate.wait(0.01):
            if cancelled.is_set():
                raise CancelledError
        on_progress(Progress("running"))
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        answer = thread.run(lambda: task(traced, _sent(request)))
        self.change(answer)
        self.values = max([self.values, *(tensor.numel() for tensor in _tensors(answer))])
        return _sent(answer)


def _sent(value: Any) -> Any:
    """A value as it arrives; a host has none of this package's classes."""
    _check_plain(value)
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)


def _check_plain(value: Any) -> None:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_plain(item)
    else:
        assert value is None or isinstance(value, (str, int, float, torch.Tensor)), type(value)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _tensors(item)]
    return [value] if isinstance(value, torch.Tensor) else []


def remote_model(hf_model: Any, tokenizer: Any) -> RemoteModel:
    """A model whose host is in this process."""
    traced = TransformersModel(hf_model, tokenizer=tokenizer, task="text-generation")
    return RemoteModel(traced, name="tiny", loaded_as="tiny", host=StandInHost())  # type: ignore[arg-type]

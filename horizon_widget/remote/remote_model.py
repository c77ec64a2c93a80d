"""A model whose weights are on an NDIF host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from horizon_widget.errors import HorizonError, QueryError
from horizon_widget.models.layout import sendable
from horizon_widget.models.model import Model
from horizon_widget.models.thread import ModelThread
from horizon_widget.models.trial import agreement
from horizon_widget.remote.capabilities import TEXTS, Capabilities, read_capabilities
from horizon_widget.remote.executor import RemoteExecutor
from horizon_widget.remote.host import Host
from horizon_widget.remote.on_host import tasks
from horizon_widget.remote.waiting import Progress

if TYPE_CHECKING:
    from horizon_widget.question.query import Query

PROBE_TOKENS = 8


class RemoteModel(Model):
    """A model on an NDIF host. Here are only its configuration, its tokenizer and a tree of modules without weights.

    Args:
        traced: An nnsight model without weights.
        name: As shown.
        loaded_as: The argument of ``load_model``.
        host: Where it is.

    Attributes:
        host: Where it is.
        strategies_tried: The trials of execution strategies that answers reported.
    """

    remote = True

    def __init__(self, traced: Any, *, name: str, loaded_as: str, host: Host) -> None:
        super().__init__(traced, traced._module, name=name, loaded_as=loaded_as)
        self.host = host
        self.thread = ModelThread("remote", under=self.under)
        self.strategies_tried: list[Any] = []
        self._capabilities: Capabilities | None = None
        self._caller = threading.local()  # ``cancelled``: the event of ``under``, on the caller's thread
        self._progress: Progress | None = None
        self._listeners: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"RemoteModel({self.name!r}, {self.n_layers} layers, d_model {self.d_model}, on {self.host.name})"

    def executor(self, query: Query, **options: Any) -> RemoteExecutor:
        """See ``Model``."""
        return RemoteExecutor(self, query, **options)

    def check_ready(self) -> None:
        """See ``Model``: nobody here can change it."""

    @property
    def provenance(self) -> dict[str, str]:
        """See ``Model``; what is not known yet comes with the first values."""
        known = self._capabilities
        if known is None:
            return {"host": self.host.name, "dtype": "", "device": ""}
        versions = {f"host_{name}": version for name, version in known.versions.items()}
        return {"host": self.host.name, "dtype": known.dtype, "device": known.device, **versions}

    # -- requests --------------------------------------------------------------------------------------------------

    def ask(self, task: Callable[[Any, dict[str, Any]], Any], request: dict[str, Any]) -> Any:
        """Have the host perform a task; on this model's thread.

        Args:
            task: One of ``on_host.tasks``.
            request: Plain values. The model's name and layout are added.

        Raises:
            HostError: naming what is wrong with the host or the way there.
            HorizonError: as raised by this package's code on the host.
            CancelledError: if the event of ``under`` is set meanwhile.
        """
        request = {"name": self.name, "layout": sendable(self.layout), **request}
        cancelled = getattr(self._caller, "cancelled", None)
        try:
            return self.host.ask(self._traced, task, request, on_progress=self._set_progress, cancelled=cancelled)
        finally:
            self._set_progress(None)

    @contextmanager
    def under(self, cancelled: threading.Event) -> Iterator[None]:
        """For the duration, requests of this thread end when the event is set; their host may go on computing."""
        before = getattr(self._caller, "cancelled", None)
        self._caller.cancelled = cancelled
        try:
            yield
        finally:
            self._caller.cancelled = before

    @property
    def news(self) -> str | None:
        """In words, how far the current request is; ``None``: there is none."""
        return None if self._progress is None else f"{self._progress} ({self.host.name})"

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a listener whenever ``news`` changes, on the thread of the request.

        Returns:
            A function that unsubscribes it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _set_progress(self, progress: Progress | None) -> None:
        self._progress = progress
        for listener in tuple(self._listeners):
            listener()

    def continuation(self, token_ids: Sequence[int], n_tokens: int) -> Iterator[int]:
        """See ``Model``; each request gives a few tokens."""
        _ = self.capabilities  # which checks that the host has the same model
        ids, left = list(token_ids), n_tokens
        while left > 0:
            found = self.ask(tasks.continue_text, {"token_ids": ids, "n_tokens": left})
            yield from found["tokens"]
            ids += found["tokens"]
            left = 0 if found["ended"] else left - len(found["tokens"])

    # -- what the host allows ------------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of the host, requested once, on this model's thread."""
        if self._capabilities is None:
            self._capabilities = self.thread.run(self._probe)
        return self._capabilities

    def _probe(self) -> Capabilities:
        if self._capabilities is not None:
            return self._capabilities
        token_ids = self.tokenize(TEXTS[0])[:PROBE_TOKENS]
        found = self.ask(tasks.probe, {"token_ids": list(token_ids), "texts": list(TEXTS)})
        capabilities = read_capabilities(found, self, self.host.faults)
        self.strategies_tried = found["strategies"]
        return capabilities

    def forget(self) -> None:
        """Forget the host's capabilities: it has another model now."""
        self._capabilities, self.strategies_tried = None, []

    @property
    def is_sandboxed(self) -> bool:
        """Whether this package's code is known to run apart from the weights."""
        return self._capabilities is not None and self._capabilities.sandboxed

    @property
    def not_offered(self) -> dict[str, str]:
        """See ``Model``; empty before the host was asked."""
        return {} if self._capabilities is None else self._capabilities.not_offered

    def check_offered(self, task: str, method: str) -> None:
        """Refuse what the host does not allow; on this model's thread.

        Raises:
            QueryError: naming the method, and why.
            HorizonError: naming the task, and why.
        """
        refused = self.capabilities.not_offered
        if method in refused:
            raise QueryError("method", f"{method!r} is not offered. {refused[method]}", advice='Use method="ablation".')
        if task in refused:
            raise HorizonError(f"The {task} is not offered. {refused[task]}")

    @property
    def agreement(self) -> float:
        """See ``Model``: between two runs of the same prompt."""
        return agreement(getattr(torch, self.capabilities.dtype, torch.bfloat16))

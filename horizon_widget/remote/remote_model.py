"""A model whose weights are on an NDIF host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from horizon_widget.errors import CancelledError, HorizonError, QueryError
from horizon_widget.models.layout import registered
from horizon_widget.models.model import Model
from horizon_widget.models.thread import ModelThread
from horizon_widget.models.trial import agreement
from horizon_widget.remote import hosted, travel
from horizon_widget.remote.capabilities import TEXTS, Capabilities, read_capabilities
from horizon_widget.remote.faults import Abandoned
from horizon_widget.remote.host import Host
from horizon_widget.remote.news import News

if TYPE_CHECKING:
    from horizon_widget.question.query import Query
    from horizon_widget.remote.executor import RemoteExecutor

PROBE_TOKENS = 8
PROBE = "horizon_widget.remote.visit:probe"


class RemoteModel(Model):
    """A model on an NDIF host: here are only its configuration, its tokenizer and a tree of modules without weights.

    Args:
        traced: An nnsight model without weights.
        name: As shown.
        loaded_as: The argument of ``load_model``.
        host: Where it is.

    Attributes:
        host: Where it is.
        strategies_tried: What answers said of execution strategies.
    """

    remote = True

    def __init__(self, traced: Any, *, name: str, loaded_as: str, host: Host) -> None:
        super().__init__(traced, traced._module, name=name, loaded_as=loaded_as)
        self.host = host
        self.thread = ModelThread("remote", under=self.under)
        self.strategies_tried: list[Any] = []
        self._capabilities: Capabilities | None = None
        self._caller = threading.local()  # has what the caller abandons requests by
        self._news: News | None = None
        self._listeners: list[Callable[[], None]] = []

    def executor(self, query: Query, **options: Any) -> RemoteExecutor:
        """See ``Model``."""
        from horizon_widget.remote.executor import RemoteExecutor

        return RemoteExecutor(self, query, **options)

    def __repr__(self) -> str:
        return f"RemoteModel({self.name!r}, {self.n_layers} layers, d_model {self.d_model}, on {self.host.name})"

    @property
    def provenance(self) -> dict[str, str]:
        """What a map notes of the host; what is not known yet is entered with its first values."""
        known = self._capabilities
        versions = {} if known is None else {f"host_{name}": version for name, version in known.versions.items()}
        there = {"dtype": "", "device": ""} if known is None else {"dtype": known.dtype, "device": known.device}
        return {"host": self.host.name, **there, **versions}

    # -- requests --------------------------------------------------------------------------------------------------

    def ask(self, entry: str, request: dict[str, Any]) -> Any:
        """Ask the host, on this model's thread; the first time, also what it allows.

        Args:
            entry: ``"package.module:function"``, called there.
            request: Plain values; the model's name and what is registered of its architecture are added.

        Raises:
            HostError: naming what is wrong with the host or the way there.
            HorizonError: as raised by our code on the host.
            CancelledError: if the event of ``under`` was set meanwhile.
        """
        _ = self.capabilities
        return self._ask(entry, request)

    def _ask(self, entry: str, request: dict[str, Any]) -> Any:
        layout = registered(str(self.config.model_type))
        for heads in [value[1] for value in (layout or {}).values() if isinstance(value, tuple) and len(value) == 3]:
            if callable(heads):
                travel.bring(heads)
        request = {"name": self.name, "layout": layout, **request}
        abandoned = getattr(self._caller, "abandoned", None)
        try:
            return self.host.ask(self._traced, entry, request, on_news=self._hear, abandoned=abandoned)
        except Abandoned:
            raise CancelledError from None

    @contextmanager
    def under(self, abandoned: threading.Event) -> Iterator[None]:
        """While this lasts, requests of this thread end when the event is set; their host may go on computing."""
        before = getattr(self._caller, "abandoned", None)
        self._caller.abandoned = abandoned
        try:
            yield
        finally:
            self._caller.abandoned = before

    @property
    def news(self) -> str | None:
        """In words, where the request under way is; ``None``: there is none."""
        return None if self._news is None else f"{self._news} ({self.host.name})"

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called whenever ``news`` changes, on the thread of the request; gives what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _hear(self, news: News | None) -> None:
        self._news = news
        for listener in tuple(self._listeners):
            listener()

    # -- what the host allows ------------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """What the host allows; asked once, on this model's thread."""
        if self._capabilities is None:
            self._capabilities = self.thread.run(self._probe)
        return self._capabilities

    def _probe(self) -> Capabilities:
        if self._capabilities is not None:
            return self._capabilities
        token_ids = self.tokenize(TEXTS[0])[:PROBE_TOKENS]
        found = self._ask(PROBE, {"token_ids": list(token_ids), "texts": list(TEXTS)})
        capabilities = read_capabilities(self, found, self.host)
        self.strategies_tried = found["strategies"]
        return capabilities

    def forget(self) -> None:
        """The host has another model now: ask again what it allows."""
        self._capabilities, self.strategies_tried = None, []

    @property
    def is_sandboxed(self) -> bool:
        """Whether our code is known to run apart from the weights."""
        return self._capabilities is not None and self._capabilities.sandboxed

    @property
    def not_offered(self) -> dict[str, str]:
        """What cannot be asked of it there, and why; empty before the host was asked."""
        return {} if self._capabilities is None else self._capabilities.not_offered

    def check_offered(self, task: str, method: str) -> None:
        """Refuse what the host does not allow; on this model's thread.

        Raises:
            QueryError: naming it, and why.
        """
        refused = self.capabilities.not_offered
        if method in refused:
            raise QueryError("method", f"{method!r} cannot be had. {refused[method]}", advice='Use method="ablation".')
        if task in refused:
            raise HorizonError(f"The {task} cannot be had. {refused[task]}")

    @property
    def agreement(self) -> float:
        """Largest difference allowed between two runs of the same prompt, relative to the values' spread."""
        return agreement(getattr(torch, self.capabilities.dtype, torch.bfloat16))

    # -- what is another thing for a model elsewhere ----------------------------------------------------------------

    def check_ready(self) -> None:
        """Nobody here can touch it."""

    def continuation(self, token_ids: Sequence[int], n_tokens: int) -> Iterator[int]:
        """See ``Model``: some tokens a request."""
        ids, left = list(token_ids), n_tokens
        while left > 0:
            found = self.ask(hosted.CONTINUE, {"token_ids": ids, "n_tokens": left})
            yield from found["tokens"]
            ids += found["tokens"]
            left = 0 if found["ended"] else left - len(found["tokens"])

"""What local and remote models share: tokens, sizes, sites, and the executor of queries."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from nnsight import Envoy

from horizon_widget.errors import ModelError, QueryError
from horizon_widget.models.discovery import layout_of, with_columns
from horizon_widget.models.layout import Layout, model_type_of, part_of, registered_layout
from horizon_widget.models.loading import first_line
from horizon_widget.models.places import how_to_register
from horizon_widget.models.prompts import read_prompt, token_id, vocabulary_of
from horizon_widget.models.recording import Recording, record, recorded_ids
from horizon_widget.models.shadow import shadow_of
from horizon_widget.models.sites import Site
from horizon_widget.models.thread import ModelThread
from horizon_widget.models.writing import Writing
from horizon_widget.question.facts import RESIDUAL, SITES
from horizon_widget.question.tokens import Token, Vocabulary, read_tokens

if TYPE_CHECKING:
    from horizon_widget.compute.executor import Executor
    from horizon_widget.question.query import Query


class Model(ABC):
    """A decoder-only language model with its tokenizer. Made by ``load_model``.

    Args:
        traced: An ``nnsight.TransformersModel``.
        hf_model: The transformers model. If remote, a tree of modules without weights.
        name: The name that is shown.
        loaded_as: The argument of ``load_model`` that loads this model again; ``None`` if it was in memory.
        layout: Where its parts are; by default they are found in a forward pass.

    Raises:
        ModelError: if its blocks, final norm or unembedding are not found.

    Attributes:
        thread: The thread of everything that touches the model.
        cache: What other modules keep of their computations with this model. It is freed with the model.
    """

    thread: ModelThread

    def __init__(
        self, traced: Any, hf_model: Any, *, name: str, loaded_as: str | None = None, layout: Layout | None = None
    ) -> None:
        self.hf_model = hf_model
        self.tokenizer = traced.tokenizer
        self.name, self.loaded_as = name, loaded_as
        self.cache: dict[Hashable, Any] = {}
        self._given_layout = layout
        self._enter(traced)

    def _enter(self, traced: Any) -> Recording | None:
        """Find the parts of the model; gives the forward pass in which they were found, ``None`` if they were given."""
        self._traced = traced
        module = traced._module
        self.config, self.model_type = module.config.get_text_config(), model_type_of(module)
        self.vocab_size = int(self.config.vocab_size)
        given, recording = self._given_layout, None
        if given is None and next(module.parameters()).is_meta:  # which not every architecture can run
            given = registered_layout(self.model_type)
        if given is not None:
            self.layout = with_columns(given, self.config)
        else:
            recording = self._record(module)
            self.layout = layout_of(self.name, recording)
        self._check_names()
        self.blocks: list[Any] = list(part_of(traced, self.layout.blocks))
        self.n_layers = len(self.blocks)
        self.d_model = int(self.config.hidden_size)
        self.weights_per_block = sum(parameter.numel() for parameter in self.blocks[0]._module.parameters())
        return recording

    def _check_names(self) -> None:
        """Refuse a model with a module that nnsight cannot reach: its name means something else there."""
        for path in (self.layout.blocks, *self.layout.norms, self.layout.head):
            for name in path.split("."):
                if hasattr(Envoy, name):
                    raise ModelError(
                        f"{self.name} has a module named {name!r} ({path}), which nnsight cannot reach by this name."
                    )

    def _record(self, module: Any) -> Recording:
        """One forward pass over a few tokens.

        Where possible without the user's hooks, which may be made for another prompt.
        """
        device = next(module.parameters()).device
        try:
            return record(shadow_of(module, bare=True) or module, recorded_ids(self.vocab_size, device))
        except Exception as error:
            how = "without its weights, which are on the host" if device.type == "meta" else "on text alone"
            raise ModelError(
                f"{self.name} ({self.model_type}) cannot run a forward pass {how} ({first_line(error)})."
            ) from error

    def __reduce__(self) -> NoReturn:
        again = "the transformers model and its tokenizer" if self.loaded_as is None else repr(self.loaded_as)
        raise ModelError(
            f"{self.name} cannot be copied or pickled: a loaded model belongs to its process and its thread.",
            advice=f"Use the same one, or load it again where it is needed, with hw.load_model and {again}.",
        )

    # -- where it runs -----------------------------------------------------------------------------------------

    remote = False  # whether it runs on another machine

    @abstractmethod
    def executor(self, query: Query, **options: Any) -> Executor:
        """The executor that performs the tasks of a query where the model is.

        Args:
            query: The question.
            **options: See ``compute.executor``. An option that is ``None`` has its default.
        """

    @abstractmethod
    def check_ready(self) -> None:
        """Refuse a model that cannot be used now.

        Raises:
            ModelError: with the reason.
        """

    @property
    @abstractmethod
    def agreement(self) -> float:
        """Largest difference allowed between two computations of the same values, relative to their spread."""

    @property
    @abstractmethod
    def provenance(self) -> dict[str, str]:
        """What a map records about the computation: ``dtype``, ``device`` and more."""

    @abstractmethod
    def continuation(self, token_ids: Sequence[int], n_tokens: int) -> Iterator[int]:
        """The tokens that follow a prompt, one by one, on the model's thread; see ``writing.continuation``.

        Args:
            token_ids: The prompt's token ids.
            n_tokens: Number of tokens that will be asked for.
        """

    @property
    def not_offered(self) -> dict[str, str]:
        """What this model cannot do where it runs, with the reasons: by aspect of a cell, or ``"write_on"``."""
        return {}

    @property
    def news(self) -> str | None:
        """The progress of the request to a remote model's host, in words; ``None`` if there is no request."""
        return None

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a listener whenever ``news`` changes. The returned function ends that."""
        del listener
        return lambda: None

    def under(self, abandoned: threading.Event) -> AbstractContextManager[None]:
        """A context in which the requests of the caller's thread to a remote host end when the event is set."""
        del abandoned
        return nullcontext()

    # -- tokens ------------------------------------------------------------------------------------------------

    @property
    def context_length(self) -> int | None:
        """Longest prompt in tokens, if the model names one."""
        length = getattr(self.config, "max_position_embeddings", None) or 0
        rope = getattr(self.config, "rope_parameters", None) or {}
        grows = isinstance(rope, dict) and rope.get("rope_type") == "dynamic"  # adapts to longer prompts
        return int(length) if length > 0 and not grows else None

    def tokenize(self, prompt: object) -> tuple[int, ...]:
        """Token ids of a prompt: a text, token ids or chat messages.

        Raises:
            QueryError: if it cannot be read, is empty or is longer than the model's context.
        """
        return read_prompt(
            prompt,
            tokenizer=self.tokenizer,
            vocab_size=self.vocab_size,
            context_length=self.context_length,
            name=self.name,
        )

    def token_id(self, token: object) -> int:
        """The id of a token given as its text or id.

        Raises:
            QueryError: if it is not exactly one token of the vocabulary.
        """
        return token_id(token, tokenizer=self.tokenizer, vocabulary=self.vocabulary)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """How each token is shown, and which token a text names."""
        return vocabulary_of(self.tokenizer, self.vocab_size)

    def read_tokens(self, ids: Sequence[int]) -> list[Token]:
        """The tokens of a prompt as they are shown."""
        return read_tokens(ids, self.vocabulary.decode)

    def write_on(self, token_ids: Sequence[int], n_tokens: int) -> tuple[int, ...]:
        """Continue a prompt with the most probable token each time.

        Args:
            token_ids: The prompt's token ids.
            n_tokens: Largest number of new tokens. The text ends earlier with an end-of-text token, which is included.

        Returns:
            The new tokens alone.

        Raises:
            QueryError: if the prompt fills the model's context, or ends with an end-of-text token.
            ModelError: if the model is in training mode or its logits are NaN.
        """
        writing = Writing(self, token_ids, n_tokens)
        while self.thread.run(writing.step):
            pass
        return tuple(writing.written)

    # -- sites -------------------------------------------------------------------------------------------------

    def site(self, name: str, head: int | None = None) -> Site:
        """Where states are read and overwritten.

        Args:
            name: One of ``question.facts.SITES``.
            head: A key-value head; ``None`` for all heads.

        Raises:
            QueryError: if the architecture has no such site or head.
        """
        if name == RESIDUAL:
            return Site(RESIDUAL)
        place = self.layout.place(name)
        if place is None:
            reason = self.layout.lacks.get(name, "its blocks have none, or its place is not known")
            raise QueryError(
                "site",
                f"{name!r} is not in {self.name} ({self.model_type}): {reason}.",
                advice=how_to_register(self.model_type, self.layout, name, self.blocks[0]._module),
            )
        if not SITES[name].by_head:
            return Site(name, place)
        heads = place.columns(self.config)
        if heads is None:
            raise QueryError(
                "site",
                f"the place of {name!r} in {self.model_type} models names no heads.",
                advice=f"Register it with its heads, such as hw.Place({place.module!r}, hw.separate_heads).",
            )
        columns = torch.from_numpy(heads)
        if head is not None and not 0 <= head < len(columns):
            raise QueryError("head", f"{head} is out of range.", advice=f"Use 0 to {len(columns) - 1}.")
        chosen = columns if head is None else columns[head : head + 1]
        return Site(name, place, chosen.flatten(), columns.shape[1])

    @property
    def n_key_value_heads(self) -> int:
        """Number of key-value heads; 0 if there is no attention or its heads are not known."""
        place = self.layout.value
        heads = None if place is None else place.columns(self.config)
        return 0 if heads is None else len(heads)

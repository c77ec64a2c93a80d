"""A decoder-only language model: its tokens, its states, and how to enter it half-way."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, NoReturn, cast

import nnsight
import torch
from torch import Tensor

from horizon_widget.errors import ModelError, QueryError
from horizon_widget.models import thread
from horizon_widget.models.block_call import BlockCall
from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.fingerprint import Fingerprint, fingerprint, global_hooks
from horizon_widget.models.hooks import has_user_hooks
from horizon_widget.models.layout import layout_of
from horizon_widget.models.prompts import read_prompt, token_id, vocabulary_of
from horizon_widget.models.readout import Head
from horizon_widget.models.sites import RESIDUAL, Site
from horizon_widget.models.ways import REPLAY, SUFFIX
from horizon_widget.models.writing import Writing, continuation
from horizon_widget.tokens import Token, Vocabulary, read_tokens


class Model:
    """A decoder-only language model behind nnsight, with its tokenizer. Made by ``load_model``.

    Args:
        traced: An ``nnsight.TransformersModel``, over ``shadow_of(hf_model)`` where that is possible.
        hf_model: The transformers model.
        name: As shown.
        loaded_as: The argument of ``load_model`` that gives this model again; ``None`` where it was in memory.
        trace: Gives ``traced`` anew after ``hf_model`` has changed; ``None``: nobody can change it.

    Raises:
        ModelError: if its blocks, final norm or head are not where decoder-only models have them.

    Attributes:
        thread: Everything that touches it runs there.
        followed: What ``hf_model`` was like when it was last traced anew.
        tried: Which ways to enter it half-way are right, by what was tried, and for prompts of up to how many tokens.
        shortcuts: Ways to enter it half-way that may be tried, fastest first; full passes always work.
    """

    thread = thread.LOCAL
    shortcuts: tuple[str, ...] = (SUFFIX, REPLAY)
    may_cache = True  # keys and values from one pass to the next

    def __init__(
        self,
        traced: Any,
        hf_model: Any,
        *,
        name: str,
        loaded_as: str | None = None,
        trace: Callable[[], Any] | None = None,
    ) -> None:
        self.hf_model = hf_model
        self.tokenizer = traced.tokenizer
        self.name, self.loaded_as = name, loaded_as
        self._trace = trace
        self._process = os.getpid()
        self.kept: dict[Hashable, Any] = {}  # a place for what others compute with this model; goes when it goes
        self.followed: Fingerprint = {} if trace is None else fingerprint(hf_model)
        self._enter(traced)
        self._loaded_sizes = self._sizes

    def _enter(self, traced: Any) -> None:
        """Find the parts of the model."""
        self._traced = traced
        self.config = traced._module.config
        self.layout = layout_of(traced._module, self.name)
        self.blocks: list[Any] = list(self.layout.part(traced, self.layout.blocks))
        if len({id(block._module) for block in self.blocks}) < len(self.blocks):
            raise ModelError(
                f"One block of {self.name} stands at several layers.", advice="Give each layer a block of its own."
            )
        self.head = self._find_head()
        weight = next(self.blocks[0]._module.parameters())
        self.dtype, self.device = weight.dtype, weight.device
        self.n_layers = len(self.blocks)
        self.d_model = int(self.config.hidden_size)
        self.vocab_size = int(self.config.vocab_size)
        self.weights_per_block = sum(parameter.numel() for parameter in self.blocks[0]._module.parameters())
        accepted = inspect.signature(type(traced._module).forward).parameters
        self.keeps_some_logits = "logits_to_keep" in accepted
        self.tried: dict[Hashable, tuple[int, str]] = {}

    def __reduce__(self) -> NoReturn:
        again = "the transformers model and its tokenizer" if self.loaded_as is None else repr(self.loaded_as)
        raise ModelError(
            f"{self.name} cannot be copied or pickled: a loaded model belongs to its process and its thread.",
            advice=f"Use the same one, or load it again where it is needed, with hw.load_model and {again}.",
        )

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.n_layers} layers, d_model {self.d_model}, {self.dtype}, {self.device})"

    @property
    def _sizes(self) -> str:
        return f"{self.n_layers} layers, d_model {self.d_model} and {self.vocab_size} tokens"

    @property
    def remote(self) -> bool:
        """Whether it runs on another machine."""
        return False

    @property
    def news(self) -> str | None:
        """In words, where the request to a remote model's host is; ``None``: there is none."""
        return None

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called whenever ``news`` changes; gives what ends that."""
        del listener
        return lambda: None

    def under(self, abandoned: threading.Event) -> AbstractContextManager[None]:
        """While this lasts, requests of the caller's thread to a remote model's host end when the event is set."""
        del abandoned
        return nullcontext()

    @property
    def provenance(self) -> dict[str, str]:
        """What a map notes of where it was computed, beside the model's dtype and device."""
        return {}

    @property
    def not_offered(self) -> dict[str, str]:
        """What cannot be asked of it where it runs, and why: by aspect of a cell, or ``"write_on"``."""
        return {}

    def _find_head(self) -> Head:
        root, layout = self._traced, self.layout
        paths = (layout.norm,) if isinstance(layout.norm, str) else layout.norm
        norms = [layout.part(root, path) for path in paths if layout.part(root._module, path) is not None]
        unembedding = layout.part(root, layout.head)
        return Head(norms, unembedding, unembedding._module, getattr(self.config, "final_logit_softcapping", None))

    # -- tokens ------------------------------------------------------------------------------------------------

    @property
    def context_length(self) -> int | None:
        """Longest prompt in tokens, if the model names one."""
        length = getattr(self.config, "max_position_embeddings", None)
        return int(length) if length else None

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
        """How each token is shown, and which one a text names."""
        return vocabulary_of(self.tokenizer, self.vocab_size)

    def read_tokens(self, ids: Sequence[int]) -> list[Token]:
        """The text of each token of a prompt."""
        return read_tokens(ids, self.vocabulary.decode)

    def write_on(self, token_ids: Sequence[int], n_tokens: int) -> tuple[int, ...]:
        """What the model writes after a prompt, the most probable token each time.

        Args:
            token_ids: The prompt.
            n_tokens: How many tokens at most; an end-of-text token ends it sooner, and is its last.

        Returns:
            The new tokens alone.

        Raises:
            QueryError: if the prompt fills the model's context, or ends with an end-of-text token.
            ModelError: if the model is in training mode or gives no numbers.
        """
        writing = Writing(self, token_ids, n_tokens)
        while self.thread.run(writing.step):
            pass
        return tuple(writing.written)

    def continuation(self, token_ids: Sequence[int], n_tokens: int) -> Iterator[int]:
        """What follows a prompt, token by token, on the model thread; see ``writing.continuation``."""
        del n_tokens  # where nobody asks for more, none is computed
        return continuation(self, token_ids)

    def next_logits(self, unread: Sequence[int], cache: Any) -> Tensor:
        """Logits of the next token, shape ``(vocab_size,)``, by a forward pass of the transformers model itself.

        Args:
            unread: Tokens that follow those in the cache.
            cache: Keys and values of the tokens before; or ``None``, and ``unread`` is the whole text.
        """
        arguments = {"use_cache": False} if cache is None else {"use_cache": True, "past_key_values": cache}
        keep = {"logits_to_keep": 1} if self.keeps_some_logits else {}
        input_ids = torch.tensor([list(unread)], device=self.device)
        with torch.no_grad():
            logits: Tensor = self.hf_model(input_ids, **arguments, **keep).logits[0, -1]
        return logits

    # -- sites -------------------------------------------------------------------------------------------------

    def site(self, name: str, head: int | None = None) -> Site:
        """Where states are read and overwritten.

        Args:
            name: One of ``query.SITES``.
            head: A key-value head; ``None``: all.

        Raises:
            QueryError: if the architecture has no such site or head.
        """
        if name == RESIDUAL:
            return Site(RESIDUAL)
        place = self.layout.place(name)
        if place is None:
            raise QueryError(
                "site",
                f"{name!r} is not in {self.name} ({self.config.model_type}): its blocks have none, or it is not "
                "known where.",
                advice='Use site="residual".',
            )
        if place.heads is None:
            return Site(name, place)
        try:
            columns = torch.from_numpy(place.heads(self.config))
        except AttributeError as error:  # a layout that was guessed from the names of modules
            raise QueryError(
                "site",
                f"it is not known where {name!r} is in {self.config.model_type} models ({error}).",
                advice="Say where with hw.register_architecture.",
            ) from error
        if head is not None and not 0 <= head < len(columns):
            raise QueryError("head", f"{head} is out of range.", advice=f"Use 0 to {len(columns) - 1}.")
        chosen = columns if head is None else columns[head : head + 1]
        return Site(name, place, chosen.flatten(), columns.shape[1])

    @property
    def n_key_value_heads(self) -> int:
        """Number of key-value heads; 0 where there is no attention or its heads are not known."""
        place = self.layout.value
        if place is None or place.heads is None:
            return 0
        try:
            return len(place.heads(self.config))
        except AttributeError:  # a layout that was guessed from the names of modules
            return 0

    def inside_block(self, layer: int, path: str) -> Any:
        """The envoy of a module inside a block."""
        return self.layout.part(self.blocks[layer], path)

    # -- the clean run -----------------------------------------------------------------------------------------

    def clean_run(self, ids: Sequence[int], site: Site | None = None) -> CleanRun:
        """Trace one forward pass over the prompt and keep what partial forwards need.

        Args:
            ids: The prompt.
            site: Where values are kept; the residual stream by default.

        Raises:
            ModelError: if its states are not finite.
        """
        self.follow()
        site = site or Site(RESIDUAL)
        input_ids = torch.tensor([list(ids)], device=self.device)
        clean = self.capture(input_ids, site)
        self._check_finite(clean)
        return clean

    def capture(self, input_ids: Tensor, site: Site) -> CleanRun:
        """``clean_run`` without its checks, for ``input_ids`` of shape ``(1, T)``."""
        from transformers import DynamicCache

        cache = DynamicCache() if self.layout.place("key") is not None else None
        arguments = {"use_cache": False} if cache is None else {"use_cache": True, "past_key_values": cache}
        calls: list[tuple[Sequence[Any], dict[str, Any]]] = []
        values: list[Tensor] = []
        states: list[Tensor] = []
        with torch.no_grad():
            with self._traced.trace(input_ids, **arguments) as tracer:
                for layer, block in enumerate(self.blocks):
                    args, kwargs = block.inputs
                    calls.append((args, kwargs))
                    states.append(_entering(args, kwargs)[0].clone())  # a block may add to it in place
                    if site.place is not None:
                        values.append(
                            site.read(self.inside_block(layer, site.place.module).output, input_ids.shape[1])[0]
                        )
                states.append(self.traced_states()[0])
                nnsight.save((calls, states, values))
                tracer.stop()  # nobody needs the logits of every position
        captured = [
            BlockCall.capture(block._module, args, kwargs, cache)
            for block, (args, kwargs) in zip(self.blocks, calls, strict=True)
        ]
        cached = cache is not None and all(call.cache_name for call in captured)
        if cached:
            captured = [
                BlockCall(call.arguments, call.cache_name, layer.keys, layer.values)
                for call, layer in zip(captured, cast("Any", cache).layers, strict=True)
            ]
        return CleanRun(input_ids, states, captured, cached, values if site.place is not None else states[:-1])

    def _check_finite(self, clean: CleanRun) -> None:
        for layer, states in enumerate(clean.states):
            finite = torch.isfinite(states).all(dim=-1)
            if not bool(finite.all()):
                position = int((~finite).nonzero()[0])
                raise ModelError(
                    f"The states of {self.name} are not finite from layer {layer}, token {position} on.",
                    advice="Try dtype=torch.float32.",
                )

    def fingerprint(self) -> Fingerprint:
        """What the user's model is like now, as far as that can be told without running it."""
        return {} if self._trace is None else fingerprint(self.hf_model)

    def follow(self) -> None:
        """Do from now on what the user's model does now: it is traced anew if it has changed; on the model thread.

        Raises:
            ModelError: if it is in training mode, or has become another model.
        """
        self.check_eval_mode()
        if self._trace is None or (now := self.fingerprint()) == self.followed:
            return
        before = dict(vars(self))
        try:
            self._enter(self._trace())
            if self._sizes != self._loaded_sizes:
                raise ModelError(
                    f"{self.name} has {self._sizes} now, and had {self._loaded_sizes} when it was loaded.",
                    advice="Load it again with hw.load_model.",
                )
        except BaseException:
            vars(self).update(before)
            raise
        self.followed = now

    def check_eval_mode(self) -> None:
        """Refuse a model whose output changes by chance, or that cannot be run in this process.

        Raises:
            ModelError: if a module of it is in training mode; or if it is on a GPU, and this process was forked from
                the one that loaded it.
        """
        if self.device.type != "cpu" and os.getpid() != self._process:
            raise ModelError(
                f"{self.name} is on {self.device}, which a forked process cannot use after its parent.",
                advice='Start the process by the "spawn" method and load the model there.',
            )
        for name, module in self.hf_model.named_modules():
            if module.training:
                raise ModelError(
                    f"{self.name} is in training mode ({name or 'the whole model'}), so dropout may change its output.",
                    advice="Call model.eval() on it.",
                )

    @property
    def may_hide_hooks(self) -> bool:
        """Whether a user's hooks may run after what a trace reads: a shadow's own run before (``models.shadow``)."""
        traced_itself = self._traced._module is self.hf_model
        return has_user_hooks(self.hf_model) and (traced_itself or bool(global_hooks()))

    # -- traces ------------------------------------------------------------------------------------------------

    def inside_trace(self, clean: CleanRun, work: Callable[[], Tensor]) -> Tensor:
        """Run ``work`` inside an nnsight trace of the prompt, which is stopped before its own forward pass."""
        with torch.no_grad():
            with self._traced.trace(clean.input_ids) as tracer:
                result = nnsight.save(work())
                tracer.stop()
        return cast("Tensor", result)

    def traced(self, input_ids: Tensor, work: Callable[[], Tensor], *, last: int = 0) -> Tensor:
        """Run ``work`` inside an nnsight trace of a forward pass over copies of the prompt, shape ``(batch, T)``.

        Args:
            input_ids: The copies.
            work: Gives what is sent back.
            last: Only the last so many positions' logits are needed; 0 for all. Not every architecture can leave the
                others out.
        """
        keep = {"logits_to_keep": last} if self.keeps_some_logits else {}
        with torch.no_grad():
            with self._traced.trace(input_ids, use_cache=False, **keep):
                result = nnsight.save(work())
        return cast("Tensor", result)

    def traced_logits(self) -> Tensor:
        """Inside ``traced``: the model's own logits of the last positions, shape ``(batch, N, vocab_size)``."""
        logits: Tensor = self._traced.output.logits
        return logits

    def traced_states(self) -> Tensor:
        """Inside ``traced``: what leaves the last block, shape ``(batch, T, d_model)``."""
        output = self.blocks[-1].output
        states: Tensor = output[0] if isinstance(output, tuple) else output
        return states


def _entering(args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    state = args[0] if args else kwargs.get("hidden_states")
    if not isinstance(state, Tensor):
        raise ModelError("The blocks of this model do not take the residual stream as their first argument.")
    return state

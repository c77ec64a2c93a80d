"""A model in this process: its clean runs, and the traces in which its blocks are called."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import nnsight
import torch
from torch import Tensor

from horizon_widget.errors import ModelError
from horizon_widget.models import thread
from horizon_widget.models.block_call import BlockCall
from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.fingerprint import Fingerprint, fingerprint, global_hooks
from horizon_widget.models.hooks import has_user_hooks
from horizon_widget.models.layout import Layout, part_of
from horizon_widget.models.model import Model
from horizon_widget.models.parts import Scaling, find_scaling
from horizon_widget.models.readout import Head
from horizon_widget.models.recording import Recording, has_all_keys, new_cache
from horizon_widget.models.sites import Site, tensor_of
from horizon_widget.models.strategies import REPLAY, SUFFIX
from horizon_widget.models.trial import agreement
from horizon_widget.models.writing import continuation
from horizon_widget.question.facts import RESIDUAL

if TYPE_CHECKING:
    from horizon_widget.compute.executor import Executor
    from horizon_widget.question.query import Query


class LocalModel(Model):
    """A decoder-only language model in this process, traced by nnsight.

    Args:
        traced: An ``nnsight.TransformersModel``, over ``shadow_of(hf_model)`` where that is possible.
        hf_model: The transformers model.
        name: The name that is shown.
        loaded_as, layout: See ``Model``.
        trace: Makes ``traced`` anew after ``hf_model`` has changed; ``None`` if nobody can change it.
        executor: Makes the executor for this model and a query.

    Raises:
        ModelError: as for ``Model``.

    Attributes:
        followed: The fingerprint of ``hf_model`` when it was last traced anew.
        tried: What was tried, see ``trial``: the longest prompt, in tokens, and what was found.
        shortcuts: The execution strategies to try, fastest first. Full passes always work.
    """

    thread = thread.LOCAL
    shortcuts: tuple[str, ...] = (SUFFIX, REPLAY)
    may_cache = True  # whether writing may keep keys and values between passes

    def __init__(
        self,
        traced: Any,
        hf_model: Any,
        *,
        name: str,
        loaded_as: str | None = None,
        trace: Callable[[], Any] | None = None,
        executor: Callable[..., Executor] | None = None,
        layout: Layout | None = None,
    ) -> None:
        self._trace = trace
        self._make_executor = executor
        self._process = os.getpid()
        self.followed: Fingerprint = {} if trace is None else fingerprint(hf_model)
        super().__init__(traced, hf_model, name=name, loaded_as=loaded_as, layout=layout)
        self._loaded_sizes = self._sizes

    def _enter(self, traced: Any) -> Recording | None:
        recording = super()._enter(traced)
        self.head = self._find_head(recording)
        cache = new_cache(traced._module) if recording is None else recording.cache
        self.takes_cache = self.may_cache and cache is not None
        self.device = next(self.blocks[0]._module.parameters()).device
        # Quantised weights are stored as integers, which nothing is computed in.
        self.dtype = next(weight.dtype for weight in traced._module.parameters() if weight.is_floating_point())
        accepted = inspect.signature(type(traced._module).forward).parameters
        self.keeps_some_logits = "logits_to_keep" in accepted
        self.tried: dict[Hashable, tuple[int, Any]] = {}
        return recording

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.n_layers} layers, d_model {self.d_model}, {self.dtype}, {self.device})"

    def executor(self, query: Query, **options: Any) -> Executor:
        """See ``Model``."""
        assert self._make_executor is not None
        return self._make_executor(self, query, **options)

    @property
    def agreement(self) -> float:
        """See ``Model``."""
        return agreement(self.dtype)

    @property
    def provenance(self) -> dict[str, str]:
        """See ``Model``."""
        return {"dtype": str(self.dtype).removeprefix("torch."), "device": self.device.type}

    @property
    def _sizes(self) -> str:
        return f"{self.n_layers} layers, d_model {self.d_model} and {self.vocab_size} tokens"

    def _find_head(self, recording: Recording | None) -> Head:
        root, layout = self._traced, self.layout
        norms = [path for path in layout.norms if part_of(root._module, path) is not None]
        unembedding = part_of(root, layout.head)
        scaling = Scaling(softcap=getattr(self.config, "final_logit_softcapping", None))
        if recording is not None:
            *_, last = recording.calls_in(layout.blocks)
            normed = recording.last_call(norms[-1]) if norms else last
            head = recording.last_call(layout.head)
            scaling = find_scaling(self.config, normed, head, recording.output.logits) or scaling
        return Head([part_of(root, path) for path in norms], unembedding, unembedding._module, scaling)

    # -- writing on --------------------------------------------------------------------------------------------

    def continuation(self, token_ids: Sequence[int], n_tokens: int) -> Iterator[int]:
        """See ``Model``."""
        del n_tokens  # each token is computed when it is asked for
        return continuation(self, token_ids)

    def next_logits(self, unread: Sequence[int], cache: Any) -> Tensor:
        """Logits of the next token, shape ``(vocab_size,)``, by a forward pass of the transformers model itself.

        Args:
            unread: The tokens that follow those in the cache.
            cache: Keys and values of the earlier tokens; ``None`` if ``unread`` is the whole text.
        """
        arguments = {"use_cache": False} if cache is None else {"use_cache": True, "past_key_values": cache}
        keep = {"logits_to_keep": 1} if self.keeps_some_logits else {}
        input_ids = torch.tensor([list(unread)], device=self.device)
        with torch.no_grad():
            logits: Tensor = self.hf_model(input_ids, **arguments, **keep).logits[0, -1]
        return logits

    def inside_block(self, layer: int, path: str) -> Any:
        """The envoy of a module inside a block."""
        return part_of(self.blocks[layer], path)

    # -- the clean run -----------------------------------------------------------------------------------------

    def clean_run(self, ids: Sequence[int], site: Site | None = None) -> CleanRun:
        """Trace one forward pass over the prompt and keep what partial forward passes need.

        Args:
            ids: The prompt's token ids.
            site: The site whose values are kept; the residual stream by default.

        Raises:
            ModelError: if the states are not finite, or as ``follow`` does.
        """
        self.follow()
        site = site or Site(RESIDUAL)
        input_ids = torch.tensor([list(ids)], device=self.device)
        clean = self.capture(input_ids, site)
        self._check_finite(clean)
        return clean

    def capture(self, input_ids: Tensor, site: Site) -> CleanRun:
        """``clean_run`` without its checks, for ``input_ids`` of shape ``(1, T)``."""
        cache = new_cache(self._traced._module) if self.takes_cache else None
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
                tracer.stop()  # the logits are not needed
        captured = [
            BlockCall.capture(block._module, args, kwargs, cache)
            for block, (args, kwargs) in zip(self.blocks, calls, strict=True)
        ]
        layers = [] if cache is None else cache.layers
        cached = len(layers) == self.n_layers and all(
            call.cache_name and has_all_keys(layer, input_ids.shape[1])
            for call, layer in zip(captured, layers, strict=True)
        )
        if cached:
            captured = [
                BlockCall(call.arguments, call.cache_name, layer.keys, layer.values)
                for call, layer in zip(captured, layers, strict=True)
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
        """The fingerprint of the user's model now; empty if nobody can change it."""
        return {} if self._trace is None else fingerprint(self.hf_model)

    def follow(self) -> None:
        """Trace the user's model anew if it has changed; on the model thread.

        Raises:
            ModelError: if it has changed its size, or as ``check_ready`` does.
        """
        self.check_ready()
        if self._trace is None or (now := self.fingerprint()) == self.followed:
            return
        before = dict(vars(self))
        try:
            self._enter(self._trace())
            if self._sizes != self._loaded_sizes:
                raise ModelError(
                    f"{self.name} now has {self._sizes}. It had {self._loaded_sizes} when it was loaded.",
                    advice="Load it again with hw.load_model.",
                )
        except BaseException:
            vars(self).update(before)
            raise
        self.followed = now

    def check_ready(self) -> None:
        """See ``Model``.

        Raises:
            ModelError: if one of its modules is in training mode, or if it is on a GPU and this process was forked from
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
        """Whether hooks of the user may run after a trace has read. A shadow's own hooks run before."""
        traced_itself = self._traced._module is self.hf_model
        return has_user_hooks(self.hf_model) and (traced_itself or bool(global_hooks()))

    # -- traces ------------------------------------------------------------------------------------------------

    def inside_trace(self, clean: CleanRun, work: Callable[[], Tensor]) -> Tensor:
        """Run ``work`` inside an nnsight trace of the prompt that stops before its own forward pass."""
        with torch.no_grad():
            with self._traced.trace(clean.input_ids) as tracer:
                result = nnsight.save(work())
                tracer.stop()
        return cast("Tensor", result)

    def traced(self, input_ids: Tensor, work: Callable[[], Tensor], *, last: int = 0) -> Tensor:
        """Run ``work`` inside an nnsight trace of a forward pass over copies of the prompt, shape ``(batch, T)``.

        Args:
            input_ids: The token ids of the copies.
            work: A function whose result is returned.
            last: How many of the last positions need logits; 0 for all. Some architectures always give all.
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
        """Inside ``traced``: the last block's output, shape ``(batch, T, d_model)``."""
        return tensor_of(self.blocks[-1].output)


def _entering(args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    state = args[0] if args else kwargs.get("hidden_states")
    if not isinstance(state, Tensor):
        raise ModelError("The blocks of this model do not take the residual stream as their first argument.")
    return state

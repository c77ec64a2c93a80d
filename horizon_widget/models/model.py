"""A decoder-only language model: its tokens, its states, and how to enter it half-way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import nnsight
import torch
from torch import Tensor

from horizon_widget.errors import ModelError, QueryError
from horizon_widget.models.block_call import BlockCall, causal_mask
from horizon_widget.tokens import Token, read_tokens

logger = logging.getLogger(__name__)

# One set of names for the parts of every architecture: the model's own, then ours.
RENAME = {
    "transformer": "model",
    "gpt_neox": "model",
    "h": "layers",
    "wte": "embed_tokens",
    "embed_in": "embed_tokens",
    "ln_f": "norm",
    "final_layer_norm": "norm",
    "embed_out": "lm_head",
    "attn": "self_attn",
    "attention": "self_attn",
}
# Largest difference of logits, relative to their spread, between a full forward pass and a partial one that changes
# nothing; beyond it the architecture does something between its blocks that we do not repeat.
AGREEMENT = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 2e-1}


@dataclass(frozen=True)
class CleanRun:
    """What one forward pass over the unchanged prompt leaves behind.

    Attributes:
        input_ids: Shape ``(1, T)``.
        states: ``states[l]`` enters block ``l``, shape ``(T, d_model)``; ``states[L]`` leaves the last block.
        calls: How each block was called, with its keys and values.
    """

    input_ids: Tensor
    states: Sequence[Tensor]
    calls: Sequence[BlockCall]

    @property
    def n_tokens(self) -> int:
        """``T``."""
        return int(self.input_ids.shape[1])


class Model:
    """A decoder-only language model behind nnsight, with its tokenizer. Made by ``load_model``.

    Args:
        traced: An ``nnsight.TransformersModel`` made with ``rename=RENAME``.
        name: As shown.

    Raises:
        ModelError: if its blocks, final norm or head are not where decoder-only models have them.
    """

    def __init__(self, traced: Any, *, name: str) -> None:
        self._traced = traced
        self.tokenizer = traced.tokenizer
        self.name = name
        self.config = traced._module.config
        try:
            self._blocks = list(traced.model.layers)
            self._norm, self._head = traced.model.norm, traced.lm_head
        except (AttributeError, TypeError) as error:
            raise ModelError(
                f"{name} ({type(traced._module).__name__}) is not a decoder-only language model of a known layout.",
                advice="Llama and GPT-2 architectures are known, and others that name their parts like them.",
            ) from error
        weight = next(self._blocks[0]._module.parameters())
        self.dtype, self.device = weight.dtype, weight.device
        self.n_layers = len(self._blocks)
        self.d_model = int(self.config.hidden_size)
        self.vocab_size = int(self.config.vocab_size)
        self.weights_per_block = sum(parameter.numel() for parameter in self._blocks[0]._module.parameters())
        self.kept: dict[Hashable, Any] = {}  # a place for what others compute with this model; goes when it goes
        self._checked = False

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.n_layers} layers, d_model {self.d_model}, {self.dtype}, {self.device})"

    # -- tokens ------------------------------------------------------------------------------------------------

    @property
    def context_length(self) -> int | None:
        """Longest prompt in tokens, if the model names one."""
        length = getattr(self.config, "max_position_embeddings", None)
        return int(length) if length else None

    def tokenize(self, prompt: object) -> tuple[int, ...]:
        """Token ids of a text.

        Raises:
            QueryError: if it is no text, empty, not encodable or longer than the model's context.
        """
        if not isinstance(prompt, str):
            raise QueryError("prompt", f"it is a {type(prompt).__name__}, not a text.", advice="Pass a str.")
        if not prompt:
            raise QueryError("prompt", "it is empty.", advice="Give a text of at least two tokens.")
        for position, character in enumerate(prompt):
            if "\ud800" <= character <= "\udfff":
                raise QueryError(
                    "prompt",
                    f"character {position} is a lone surrogate (U+{ord(character):04X}), which no text can hold.",
                    advice='Clean it with prompt.encode("utf-8", "replace").decode().',
                )
        ids = tuple(int(i) for i in self.tokenizer(prompt)["input_ids"])
        if ids and max(ids) >= self.vocab_size:
            raise QueryError(
                "tokenizer",
                f"it gives token {max(ids)}, and {self.name} knows {self.vocab_size}.",
                advice="Load the model with its own tokenizer.",
            )
        limit = self.context_length
        if limit is not None and len(ids) > limit:
            raise QueryError(
                "prompt", f"it has {len(ids)} tokens, and {self.name} reads at most {limit}.", advice="Shorten it."
            )
        return ids

    def read_tokens(self, ids: Sequence[int]) -> list[Token]:
        """The text of each token."""
        return read_tokens(
            ids,
            lambda part: self.tokenizer.decode(
                list(part), skip_special_tokens=False, clean_up_tokenization_spaces=False
            ),
        )

    # -- the clean run -----------------------------------------------------------------------------------------

    def clean_run(self, ids: Sequence[int]) -> CleanRun:
        """Trace one forward pass over the prompt and keep what partial forwards need.

        Raises:
            ModelError: the first time, if a partial forward that changes nothing does not give the same logits.
        """
        from transformers import DynamicCache

        input_ids = torch.tensor([list(ids)], device=self.device)
        cache = DynamicCache()
        captured: list[tuple[Sequence[Any], dict[str, Any]]] = []
        with torch.no_grad():
            with self._traced.trace(input_ids, use_cache=True, past_key_values=cache):
                captured.extend(block.inputs for block in self._blocks)
                last = nnsight.save(self._norm.input)
                logits = nnsight.save(self._traced.output.logits)
                nnsight.save(captured)
        states = [_state(args, kwargs)[0] for args, kwargs in captured] + [last[0]]
        calls = [
            BlockCall.capture(block._module, args, kwargs, layer.keys, layer.values)
            for block, (args, kwargs), layer in zip(self._blocks, captured, cache.layers, strict=True)
        ]
        clean = CleanRun(input_ids, states, calls)
        self._check_finite(clean)
        if not self._checked:
            self._check_partial_forward(clean, logits[0])
            self._checked = True
        return clean

    def _check_finite(self, clean: CleanRun) -> None:
        for layer, states in enumerate(clean.states):
            finite = torch.isfinite(states).all(dim=-1)
            if not bool(finite.all()):
                position = int((~finite).nonzero()[0])
                raise ModelError(
                    f"The states of {self.name} are not finite from layer {layer}, token {position} on.",
                    advice="Try dtype=torch.float32.",
                )

    def _check_partial_forward(self, clean: CleanRun, logits: Tensor) -> None:
        """Enter the model at its first block and half-way through the prompt, changing nothing."""
        start = clean.n_tokens // 2
        try:
            repeated = self.inside_trace(
                clean,
                lambda: self.unembed(self.partial_forward(clean, clean.states[0][None, start:], 0, start)[0]),
            )
        except Exception as error:
            raise self._cannot_enter(f"{type(error).__name__}: {error}") from error
        spread = logits[start:].float().std()
        difference = float((repeated.float() - logits[start:].float()).abs().max() / spread)
        if not difference <= AGREEMENT.get(self.dtype, AGREEMENT[torch.bfloat16]):
            raise self._cannot_enter(f"logits differ by {difference:.2g} of their spread")

    def _cannot_enter(self, reason: str) -> ModelError:
        return ModelError(
            f"{self.name} ({type(self._traced._module).__name__}) cannot be entered half-way: {reason}.",
            advice="Its attention may not be causal, or its architecture is not offered yet.",
        )

    # -- inside a trace ----------------------------------------------------------------------------------------

    def inside_trace(self, clean: CleanRun, work: Callable[[], Tensor]) -> Tensor:
        """Run ``work`` inside an nnsight trace of the prompt, which is stopped before its own forward pass."""
        with torch.no_grad():
            with self._traced.trace(clean.input_ids) as tracer:
                result = nnsight.save(work())
                tracer.stop()
        return cast("Tensor", result)

    def partial_forward(self, clean: CleanRun, states: Tensor, layer: int, start: int) -> Tensor:
        """Run blocks ``layer .. L-1`` on positions ``start .. T-1`` of a batch of copies of the prompt.

        Args:
            clean: The unchanged prompt's run, whose keys and values stand for positions before ``start``.
            states: What enters block ``layer``, shape ``(batch, T - start, d_model)``.
            layer: The first block.
            start: The first position.

        Returns:
            What leaves the last block, same shape.
        """
        mask = causal_mask(start, clean.n_tokens, self.dtype, self.device)
        for block, call in zip(self._blocks[layer:], clean.calls[layer:], strict=True):
            output = block(states, **call.from_position(start, mask))
            states = output[0] if isinstance(output, tuple) else output
        return states

    def unembed(self, states: Tensor) -> Tensor:
        """Final norm and head: logits of shape ``(..., vocab_size)`` from what leaves the last block."""
        logits: Tensor = self._head(self._norm(states))
        return logits


def _state(args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    state = args[0] if args else kwargs["hidden_states"]
    if not isinstance(state, Tensor):
        raise ModelError("The blocks of this model do not take the residual stream as their first argument.")
    return state

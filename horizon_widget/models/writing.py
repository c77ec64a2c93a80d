"""A model goes on with a prompt, greedily."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from horizon_widget.errors import ModelError, QueryError

if TYPE_CHECKING:
    from horizon_widget.models.model import Model


class Writing:
    """What a model writes after a prompt, token by token. ``step`` runs on the model thread.

    Args:
        model: Which goes on.
        token_ids: The prompt.
        n_tokens: How many tokens at most; an end-of-text token and the model's context end it sooner.

    Attributes:
        n_tokens: As given.
        written: What is written so far.
    """

    def __init__(self, model: Model, token_ids: Sequence[int], n_tokens: int) -> None:
        self.n_tokens = n_tokens
        self.written: list[int] = []
        self._prompt = tuple(token_ids)
        self._following = model.continuation(self._prompt, n_tokens)
        self._stopped = False

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The prompt and what is written so far."""
        return (*self._prompt, *self.written)

    def stop(self) -> None:
        """Write no further; from any thread."""
        self._stopped = True

    def step(self) -> bool:
        """Write one more token, and say whether there is more to come.

        Raises:
            QueryError: if the prompt fills the model's context.
            ModelError: if the model is in training mode or gives no numbers.
        """
        token = None if self._stopped or len(self.written) == self.n_tokens else next(self._following, None)
        if token is None:
            return False
        self.written.append(token)
        return len(self.written) < self.n_tokens


def continuation(model: Model, token_ids: Sequence[int]) -> Iterator[int]:
    """The most probable next token, again and again, up to an end-of-text token (included) or the end of the context.

    Args:
        model: Which goes on.
        token_ids: The prompt.

    Raises:
        QueryError: if the prompt fills the model's context.
        ModelError: if the model is in training mode or gives no numbers.
    """
    model.check_eval_mode()
    room = None if model.context_length is None else model.context_length - len(token_ids)
    if room is not None and room < 1:
        raise QueryError("prompt", f"it fills the {model.context_length} tokens that {model.name} reads.")
    ends = end_tokens(model)
    ids, cache = list(token_ids), _new_cache(model)
    unread = ids
    while room is None or len(ids) < len(token_ids) + room:
        token = _next_token(model, unread if cache is not None else ids, cache)
        yield token
        if token in ends:
            return
        ids.append(token)
        unread = [token]


def _next_token(model: Model, unread: Sequence[int], cache: Any) -> int:
    logits = model.next_logits(unread, cache)
    if bool(torch.isnan(logits).any()):
        raise ModelError(f"{model.name} predicts what is no number.", advice="Try dtype=torch.float32.")
    return int(logits.argmax())


def _new_cache(model: Model) -> Any:
    """A cache of keys and values where the model takes one; else the prompt is read anew for each token."""
    from transformers import DynamicCache

    takes_one = "past_key_values" in inspect.signature(type(model.hf_model).forward).parameters and model.may_cache
    return DynamicCache(config=model.config) if takes_one and model.layout.place("key") is not None else None


def end_tokens(model: Model) -> set[int]:
    """What ends a text, as the model's settings for writing, its configuration or its tokenizer name it."""
    of_writing = getattr(getattr(model.hf_model, "generation_config", None), "eos_token_id", None)
    for named in (of_writing, getattr(model.config, "eos_token_id", None), model.tokenizer.eos_token_id):
        if named is not None:
            return {int(token) for token in (named if isinstance(named, (list, tuple)) else [named])}
    return set()

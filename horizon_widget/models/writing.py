"""Continue a prompt with a model, greedily."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import torch

from horizon_widget.errors import ModelError, QueryError
from horizon_widget.models.prompts import piece_ids

if TYPE_CHECKING:
    from horizon_widget.models.local_model import LocalModel
    from horizon_widget.models.model import Model


class Writing:
    """A model's continuation of a prompt, token by token. ``step`` runs on the model thread.

    Args:
        model: The model that writes.
        token_ids: The prompt's token ids.
        n_tokens: Largest number of new tokens. The text ends earlier with an end-of-text token or the model's context.

    Attributes:
        n_tokens: As given.
        written: The tokens written so far.
    """

    def __init__(self, model: Model, token_ids: Sequence[int], n_tokens: int) -> None:
        self.n_tokens = n_tokens
        self.written: list[int] = []
        self._prompt = tuple(token_ids)
        self._following = model.continuation(self._prompt, n_tokens)
        self._stopped = False

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The prompt and the tokens written so far."""
        return (*self._prompt, *self.written)

    def stop(self) -> None:
        """Write no more tokens; from any thread."""
        self._stopped = True

    def step(self) -> bool:
        """Write one more token. Return whether more may follow.

        Raises:
            QueryError: if the prompt fills the model's context, or ends with an end-of-text token.
            ModelError: if the model is in training mode or its logits are NaN.
        """
        token = None if self._stopped or len(self.written) == self.n_tokens else next(self._following, None)
        if token is None:
            return False
        self.written.append(token)
        return len(self.written) < self.n_tokens


def continuation(model: LocalModel, token_ids: Sequence[int]) -> Iterator[int]:
    """The most probable next token, again and again, up to an end-of-text token (included) or the end of the context.

    Args:
        model: The model that writes.
        token_ids: The prompt's token ids.

    Raises:
        QueryError: if the prompt fills the model's context, or ends with an end-of-text token.
        ModelError: if the model is in training mode or its logits are NaN.
    """
    model.check_ready()
    room = None if model.context_length is None else model.context_length - len(token_ids)
    if room is not None and room < 1:
        raise QueryError("prompt", f"it fills the {model.context_length} tokens that {model.name} reads.")
    ends = end_tokens(model)
    if len(token_ids) > 1 and token_ids[-1] in ends:  # alone, it begins a text in some models
        raise QueryError(
            "prompt",
            f"it already ends with an end-of-text token ({model.tokenizer.decode([token_ids[-1]])!r}), after which "
            "another text would begin.",
            advice="Remove that token to continue the text before it.",
        )
    ids, cache = list(token_ids), _new_cache(model)
    unread = ids
    while room is None or len(ids) < len(token_ids) + room:
        token = _next_token(model, unread if cache is not None else ids, cache)
        yield token
        if token in ends:
            return
        ids.append(token)
        unread = [token]


def _next_token(model: LocalModel, unread: Sequence[int], cache: Any) -> int:
    logits = model.next_logits(unread, cache)
    if bool(torch.isnan(logits).any()):
        raise ModelError(f"{model.name} gives logits that are NaN.", advice="Try dtype=torch.float32.")
    return int(logits.argmax())


def _new_cache(model: LocalModel) -> Any:
    """A cache of keys and values, if the model takes one. Without a cache each token reads the whole text again."""
    from transformers import DynamicCache

    return DynamicCache(config=model.config) if model.takes_cache else None


def without_appended_end(model: Model, text: str, token_ids: Sequence[int]) -> tuple[int, ...]:
    """Token ids of a text without end-of-text tokens that the tokenizer appended, so that a model can continue it.

    Args:
        model: The model that will continue.
        text: The text as the user wrote it. End-of-text tokens in it stay.
        token_ids: What ``model.tokenize`` gives for the text.
    """
    ends = end_tokens(model) | {model.tokenizer.eos_token_id}
    written = _n_trailing(ends, piece_ids(text, model.tokenizer))
    return tuple(token_ids[: len(token_ids) - max(0, _n_trailing(ends, token_ids) - written)])


def _n_trailing(ends: Container[int | None], token_ids: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(ends.__contains__, reversed(token_ids)))


def end_tokens(model: Model) -> set[int]:
    """The tokens that end a text, from the generation settings, the configuration or the tokenizer."""
    generation = getattr(getattr(model.hf_model, "generation_config", None), "eos_token_id", None)
    for named in (generation, getattr(model.config, "eos_token_id", None), model.tokenizer.eos_token_id):
        if named is not None:
            return {int(token) for token in (named if isinstance(named, (list, tuple)) else [named])}
    return set()

"""The question that a map answers, as the user asks it, and how a change makes another of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from horizon_widget.attribution.ask import read_query
from horizon_widget.models.editing import edited
from horizon_widget.models.model import Model
from horizon_widget.models.writing import without_appended_end
from horizon_widget.query import Query
from horizon_widget.tokens import n_shared, text_of


@dataclass(frozen=True)
class Question:
    """What a map is opened with; ``metric`` and ``baseline`` as the user wrote them.

    Attributes:
        prompt: Its text, as shown.
        is_text: Whether the prompt was given as that text; else as tokens, which keep their ids when it is edited.
        written_from: The first token that the model wrote itself.
    """

    query: Query
    prompt: str
    is_text: bool
    metric: Any
    baseline: Any
    layers: list[int] | None
    written_from: int | None = None


def read_question(
    model: Model, prompt: Any, *, metric: Any, baseline: Any, layers: list[int] | None, **fixed: Any
) -> Question:
    """A checked question.

    Args:
        model: Whose states are asked about.
        prompt: As for ``attribute``.
        metric: As for ``attribute``.
        baseline: As for ``attribute``.
        layers: Which are computed in idle time; ``None`` for all.
        **fixed: The other arguments of ``attribute``.

    Raises:
        QueryError: if one cannot be used.
    """
    query = read_query(model, prompt, metric=metric, baseline=baseline, **fixed)
    is_text = isinstance(prompt, str)
    text = prompt if is_text else text_of(model.read_tokens(query.token_ids))
    return Question(query, text, is_text, metric, baseline, layers)


def change_question(
    model: Model, old: Question, changes: dict[str, Any], *, layers: list[int] | None, **fixed: Any
) -> Question:
    """A question with prompt, metric or baseline changed; the rest as for ``read_question``.

    The text of a prompt that was given as tokens is edited: the other tokens keep their ids (``models.editing``). What
    the model wrote counts as written as long as its first token is there.

    Raises:
        QueryError: if one cannot be used.
    """
    ids = old.query.token_ids
    metric, baseline = changes.get("metric", old.metric), changes.get("baseline", old.baseline)
    prompt = changes.get("prompt", old.prompt if old.is_text else ids)
    if isinstance(prompt, str) and not old.is_text:
        prompt = edited(ids, prompt, tokenizer=model.tokenizer, read=model.read_tokens) or prompt
    new = read_question(model, prompt, metric=metric, baseline=baseline, layers=layers, **fixed)
    first = old.written_from
    still_there = first is not None and first < n_shared(ids, new.query.token_ids)
    return replace(new, written_from=first if still_there else None)


def to_be_written_on(model: Model, question: Question) -> tuple[int, ...]:
    """The tokens of a prompt, without an end of text that the tokenizer put behind the user's text."""
    ids = question.query.token_ids
    return without_appended_end(model, question.prompt, ids) if question.is_text else ids

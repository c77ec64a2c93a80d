"""The question that a map answers, as the user asks it, and how a change makes another of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from horizon_widget.errors import QueryError
from horizon_widget.models.editing import edited
from horizon_widget.models.model import Model
from horizon_widget.models.writing import without_appended_end
from horizon_widget.question.query import Query
from horizon_widget.question.reading import read_query
from horizon_widget.question.tokens import n_shared, text_of


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


def describe_asked(model: Model, question: Question) -> dict[str, Any]:
    """The arguments of ``attribute`` that give a question's map, as plain values for the browser.

    ``metric``: its name, and the names of its tokens. ``baseline``: its kind, and the other prompt of a counterfactual;
    ``None`` where only Python can say it. ``token_ids``: ``None`` where the prompt is just its text.
    """
    query, metric = question.query, question.query.metric
    named = [metric.label or metric.name] if metric.is_function else map(model.vocabulary.name, metric.tokens)
    return {
        "metric": [metric.name, *named],
        "baseline": _describe_baseline(question),
        "site": query.site,
        "head": query.head,
        "seed": query.seed,
        "draws": query.draws,
        "token_ids": None if _is_just_text(model, question) else list(query.token_ids),
        "model": model.loaded_as,
        "remote": model.remote,
    }


def _describe_baseline(question: Question) -> list[str] | None:
    given, replaced = question.baseline, question.query.baseline
    if isinstance(given, (tuple, list)) and len(given) == 2 and given[0] == "counterfactual":
        return ["counterfactual", given[1]] if isinstance(given[1], str) else None
    return None if replaced.reference or replaced.layers else [replaced.kind]


def _is_just_text(model: Model, question: Question) -> bool:
    """Whether the prompt's text alone gives the tokens that are asked about."""
    try:
        return model.tokenize(question.prompt) == question.query.token_ids
    except QueryError:
        return False

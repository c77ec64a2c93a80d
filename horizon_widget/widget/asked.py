"""The question of a map as the user wrote it, and changes of it."""

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
from horizon_widget.result import page
from horizon_widget.result.horizon_map import HorizonMap


@dataclass(frozen=True)
class Asked:
    """The question of a map, as the user wrote it.

    Attributes:
        query: The query that the other fields give.
        prompt: Its text, as shown.
        is_text: Whether the prompt was given as that text; else as tokens, which keep their ids when it is edited.
        metric: As the user wrote it.
        baseline: As the user wrote it.
        layers: The layers computed in idle time; ``None`` for all.
        written_from: The first token that the model wrote itself.
    """

    query: Query
    prompt: str
    is_text: bool
    metric: Any
    baseline: Any
    layers: list[int] | None
    written_from: int | None = None

    @classmethod
    def read(
        cls, model: Model, prompt: Any, *, metric: Any, baseline: Any, layers: list[int] | None, **fixed: Any
    ) -> Asked:
        """Check a user's question.

        Args:
            model: The model whose states are asked about.
            prompt: As for ``attribute``.
            metric: As for ``attribute``.
            baseline: As for ``attribute``.
            layers: The layers computed in idle time.
            **fixed: The other arguments of ``attribute``.

        Raises:
            QueryError: if one cannot be used.
        """
        query = read_query(model, prompt, metric=metric, baseline=baseline, **fixed)
        is_text = isinstance(prompt, str)
        text = prompt if is_text else text_of(model.read_tokens(query.token_ids))
        return cls(query, text, is_text, metric, baseline, layers)

    def changed(self, model: Model, changes: dict[str, Any], *, layers: list[int] | None, **fixed: Any) -> Asked:
        """The same with prompt, metric or baseline changed; the rest as for ``read``.

        The text of a prompt that was given as tokens is edited: the other tokens keep their ids (``models.editing``).
        What the model wrote counts as written as long as its first token is there.

        Raises:
            QueryError: if one cannot be used.
        """
        ids = self.query.token_ids
        prompt = changes.get("prompt", self.prompt if self.is_text else ids)
        if isinstance(prompt, str) and not self.is_text:
            prompt = edited(ids, prompt, tokenizer=model.tokenizer, read=model.read_tokens) or prompt
        metric, baseline = changes.get("metric", self.metric), changes.get("baseline", self.baseline)
        new = Asked.read(model, prompt, metric=metric, baseline=baseline, layers=layers, **fixed)
        first = self.written_from
        still_there = first is not None and first < n_shared(ids, new.query.token_ids)
        return replace(new, written_from=first if still_there else None)

    def without_end(self, model: Model) -> tuple[int, ...]:
        """The prompt's tokens, without an end of text that the tokenizer appended to the user's text."""
        ids = self.query.token_ids
        return without_appended_end(model, self.prompt, ids) if self.is_text else ids

    def check_may_grow(self, not_offered: dict[str, str]) -> None:
        """Refuse to let the model write on.

        Args:
            not_offered: The requests that the model refuses, as ``Model.not_offered``.

        Raises:
            QueryError: saying why it cannot.
        """
        if "write_on" in not_offered:
            raise QueryError("n_tokens", not_offered["write_on"])
        if self.query.baseline.kind == "counterfactual":
            raise QueryError(
                "baseline",
                "the counterfactual prompt is as long as this one, which would become longer.",
                advice="Choose another baseline first.",
            )

    def describe(self, model: Model, hmap: HorizonMap) -> page.Asked:
        """The arguments of ``attribute`` that give its map: those of the map, and those that only the user wrote."""
        found, metric, baseline = page.describe_asked(hmap), self.query.metric, self.baseline
        if metric.tokens:
            found["metric"] = [metric.name, *map(model.vocabulary.name, metric.tokens)]
        if isinstance(baseline, (tuple, list)) and baseline[0] == "counterfactual" and isinstance(baseline[1], str):
            found["baseline"] = ["counterfactual", baseline[1]]
        if self._is_just_text(model):
            found["token_ids"] = None
        found["model"], found["remote"] = model.loaded_as, model.remote
        return found

    def _is_just_text(self, model: Model) -> bool:
        """Whether the prompt's text alone gives the tokens that are asked about."""
        try:
            return model.tokenize(self.prompt) == self.query.token_ids
        except QueryError:
            return False

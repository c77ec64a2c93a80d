"""Turn what a user writes into a query."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from horizon_widget.errors import QueryError
from horizon_widget.question.baseline import Baseline, read_baseline
from horizon_widget.question.metric import Metric, read_metric
from horizon_widget.question.query import Query, check_index
from horizon_widget.question.tokens import Vocabulary


@runtime_checkable
class AskedModel(Protocol):
    """The part of ``models.model.Model`` that is needed to read a question about it."""

    n_layers: int

    @property
    def n_key_value_heads(self) -> int:
        """Number of key-value heads."""

    @property
    def vocabulary(self) -> Vocabulary:
        """How its tokens are shown."""

    def check_ready(self) -> None:
        """Refuse a model that cannot be used now."""

    def tokenize(self, prompt: object) -> tuple[int, ...]:
        """Token ids of a prompt; raises ``QueryError``."""

    def token_id(self, token: object) -> int:
        """The id of a token as a user wrote it; raises ``QueryError``."""

    def site(self, name: str, head: int | None = None) -> Any:
        """Where a site is; raises ``QueryError``."""


def read_query(
    model: AskedModel,
    prompt: object,
    *,
    method: str = "ablation",
    metric: object = "logprob",
    baseline: object = "auto",
    site: str = "residual",
    head: object = None,
    seed: int = 0,
    draws: int = 3,
) -> Query:
    """Make a checked query.

    Args:
        model: A model from ``load_model``.
        prompt: A text, token ids, chat messages, or a map, for its tokens.
        method: As in ``Query``.
        metric: As for ``metric.read_metric``.
        baseline: As for ``baseline.read_baseline``.
        site: As in ``Query``.
        head: As in ``Query``.
        seed: As in ``Query``.
        draws: As in ``Query``.

    Raises:
        QueryError: if an argument is wrong, naming it.
        ModelError: if the model is in training mode.
    """
    check_model(model)
    model.check_ready()
    asked_before = query_in(prompt)
    ids = model.tokenize(prompt) if asked_before is None else asked_before.token_ids
    asked: Metric = read_metric(metric, model.token_id, model.vocabulary.name)
    replaced: Baseline = read_baseline(baseline, model.tokenize)
    if replaced.layers and len(replaced.layers) != model.n_layers:
        raise QueryError(
            "baseline",
            f"it is from a model with {len(replaced.layers)} layers, and this one has {model.n_layers}.",
            advice="Use the baseline of a map of the same model.",
        )
    number = None if head is None else check_index("head", head, max(1, model.n_key_value_heads))
    query = Query(
        tuple(ids), method=method, metric=asked, baseline=replaced, site=site, head=number, seed=seed, draws=draws
    )
    model.site(site, number)  # refuses a site that the architecture lacks
    return query


def query_of(model: AskedModel, prompt: object, arguments: dict[str, Any]) -> Query:
    """Make a query as ``read_query`` does. If the prompt is a map, its query gives the defaults."""
    query = query_in(prompt)
    if query is not None:
        given: dict[str, Any] = {
            "metric": query.metric,
            "baseline": getattr(prompt, "baseline", query.baseline),
            "site": query.site,
            "head": query.head,
            "seed": query.seed,
            "draws": query.draws,
        }
        return read_query(model, prompt, **(given | arguments))
    return read_query(model, prompt, **arguments)


def query_in(prompt: object) -> Query | None:
    """The query of a map that is given as a prompt; ``None`` if it is not a map."""
    query = getattr(prompt, "query", None)
    return query if isinstance(query, Query) else None


def check_model(model: object) -> None:
    """Refuse an object that was not made by ``load_model``.

    Raises:
        QueryError: naming the type of the object.
    """
    if not isinstance(model, AskedModel):
        raise QueryError("model", f"a {type(model).__name__} is not a loaded model.", advice="Use hw.load_model(…).")


def read_positions(field: str, value: Any, query: Query) -> tuple[int, ...] | None:
    """Read sources or targets as a user gives them: ``None``, one, or several. Returns them sorted.

    Raises:
        QueryError: if one is out of range.
    """
    if value is None:
        return None
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not items:
        raise QueryError(field, "it is empty.", advice="Name at least one, or leave it out for all of them.")
    if field == "targets":
        if any(item == 0 for item in items):
            raise QueryError(field, "nothing predicts the first token.", advice="Targets begin at 1.")
        return tuple(sorted({check_index(field, item, query.n_targets + 1) for item in items}))
    return tuple(sorted({check_index(field, item, query.n_tokens) for item in items}))

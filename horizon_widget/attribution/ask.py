"""From what a user writes to a query, and from a query to the engine that answers it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any
from weakref import WeakValueDictionary

from horizon_widget.attribution.ablation_engine import AblationEngine
from horizon_widget.attribution.engine import Engine
from horizon_widget.attribution.gradient_engine import GradientEngine
from horizon_widget.baseline import Baseline, read_baseline
from horizon_widget.errors import QueryError
from horizon_widget.forks import Lock
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.metric import Metric, read_metric
from horizon_widget.models.model import Model
from horizon_widget.query import Query, check_index

ENGINES_KEPT = 4


def read_query(
    model: Model,
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
    """A checked query.

    Args:
        model: From ``load_model``.
        prompt: A text, token ids, chat messages, or a map, whose tokens are taken.
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
    model.check_eval_mode()
    ids = prompt.query.token_ids if isinstance(prompt, HorizonMap) else model.tokenize(prompt)
    asked: Metric = read_metric(metric, model.token_id, model.vocabulary.name)
    replaced: Baseline = read_baseline(baseline, model.tokenize)
    if replaced.layers and len(replaced.layers) != model.n_layers:
        raise QueryError(
            "baseline",
            f"it is of a model with {len(replaced.layers)} layers, and this one has {model.n_layers}.",
            advice="Use the baseline of a map of the same model.",
        )
    number = None if head is None else check_index("head", head, max(1, model.n_key_value_heads))
    query = Query(
        tuple(ids), method=method, metric=asked, baseline=replaced, site=site, head=number, seed=seed, draws=draws
    )
    model.site(site, number)  # refuses what the architecture has not
    return query


def query_of(model: Model, prompt: object, arguments: dict[str, Any]) -> Query:
    """A map's own query where the prompt is a map and nothing else is said, else ``read_query``."""
    if isinstance(prompt, HorizonMap):
        check_model(model)
        query = prompt.query
        given: dict[str, Any] = {
            "metric": query.metric,
            "baseline": prompt.baseline,
            "site": query.site,
            "head": query.head,
            "seed": query.seed,
            "draws": query.draws,
        }
        return read_query(model, prompt, **(given | arguments))
    return read_query(model, prompt, **arguments)


def check_model(model: object) -> None:
    """Refuse what was not made by ``load_model``.

    Raises:
        QueryError: naming what it is instead.
    """
    if not isinstance(model, Model):
        raise QueryError("model", f"a {type(model).__name__} is not a loaded model.", advice="Use hw.load_model(…).")


class Engines:
    """A model's engines, each kept while somebody uses it; the last few also after that."""

    def __init__(self) -> None:
        self._lock = Lock()  # engines are asked for in cells and on the model thread
        self._known: WeakValueDictionary[Hashable, Engine[Any]] = WeakValueDictionary()
        self._recent: dict[Hashable, Engine[Any]] = {}

    def get(self, key: Hashable, make: Callable[[], Engine[Any]]) -> Engine[Any]:
        """The engine of a key, the same for all who ask; a new one if there is none, or the model has changed."""
        known = self._known.get(key)
        outdated = known is not None and known.is_outdated()  # may wait for the model thread
        with self._lock:
            engine = self._known.get(key)
            if engine is None or (outdated and engine is known):
                engine = self._known[key] = make()
            self._recent.pop(key, None)
            self._recent[key] = engine
            while len(self._recent) > ENGINES_KEPT:
                self._recent.pop(next(iter(self._recent)))
        return engine


def engine_for(model: Model, query: Query, *, memory_limit: int | None = None) -> Engine[Any]:
    """The model's engine for this query: a repeated question goes on where it was, unless the model has changed."""
    engines: Engines = model.kept.setdefault("engines", Engines())
    kind: type[Engine[Any]] = AblationEngine if query.is_exact else GradientEngine
    return engines.get((query, memory_limit), lambda: kind(model, query, memory_limit=memory_limit))


def exact_engine_for(model: Model, query: Query, *, memory_limit: int | None = None) -> AblationEngine:
    """``engine_for`` a query whose method is exact.

    Raises:
        QueryError: if it is not.
    """
    engine = engine_for(model, query, memory_limit=memory_limit)
    if not isinstance(engine, AblationEngine):
        raise QueryError("method", f"{query.method!r} is an estimate.", advice='This needs method="ablation".')
    return engine


def read_positions(field: str, value: Any, query: Query) -> tuple[int, ...] | None:
    """Sources or targets as a user gives them: ``None``, one, or several; sorted.

    Raises:
        QueryError: if one is out of range.
    """
    if value is None:
        return None
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not items:
        raise QueryError(field, "none is named.", advice="Name at least one, or leave it out for all of them.")
    if field == "targets":
        if any(item == 0 for item in items):
            raise QueryError(field, "nothing predicts the first token.", advice="Targets begin at 1.")
        return tuple(sorted({check_index(field, item, query.n_targets + 1) for item in items}))
    return tuple(sorted({check_index(field, item, query.n_tokens) for item in items}))

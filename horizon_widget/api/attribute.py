"""``attribute``: a map in one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

from horizon_widget.errors import Picklable
from horizon_widget.models.model import Model
from horizon_widget.question.query import check_layers
from horizon_widget.question.reading import read_positions, read_query
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.schedule.engine import compute, engine_for
from horizon_widget.schedule.plan import Interest, bisecting


class AttributionInterrupted(Picklable, KeyboardInterrupt):
    """``attribute`` was stopped. ``map`` has the finished rows, and the same call continues from there."""

    def __init__(self, horizon_map: HorizonMap) -> None:
        super().__init__(f"Stopped. Finished rows are kept: the same call continues from there ({horizon_map!r}).")
        self.map = horizon_map


def attribute(
    model: Model,
    prompt: Any,
    *,
    layers: Any = None,
    sources: Any = None,
    targets: Any = None,
    method: str = "ablation",
    metric: Any = "logprob",
    baseline: Any = "auto",
    site: str = "residual",
    head: int | None = None,
    seed: int = 0,
    draws: int = 3,
    memory_limit: int | None = None,
    progress: bool = True,
) -> HorizonMap:
    """Compute the influence of each state on each later prediction: ``A[layer, source, target]``.

    Args:
        model: A model from ``load_model``.
        prompt: A text, token ids, chat messages (dicts with ``role`` and ``content``), or a map, for its tokens.
        layers: The layers to compute: one, several, or ``None`` for all. Negative numbers count from the last.
        sources: The positions ``i`` to compute: one, several, or ``None`` for all.
        targets: The targets ``t`` to compute: one, several, or ``None`` for all.
        method: ``"ablation"``: ``A = m[j](h) - m[j](h with h[layer, source] := b)``, exact. Estimates: ``"gradient"``,
            ``<dm[j]/dh, h - b>``, and ``"energy"``, ``|dm[j]/dh| |h - b|``, an upper bound of its magnitude.
        metric: ``m[j]``: ``"logprob"`` (of the actual next token, in nats), ``"logit"``, ``"centred_logit"``,
            ``"entropy"``, ``"kl"``; ``("logprob", " Paris")`` for a token named; ``("contrast", " Paris", " Rome")``;
            or a function of ``(logits (T, V), input_ids (T,))`` that returns ``(T,)``. A token is named by its text as
            the map and ``predictions`` show it, or by its id.
        baseline: ``b``: ``"mean"``, ``"zero"``, ``"resample"``; ``("mean", texts)`` or ``("resample", texts)`` for a
            reference corpus; ``("counterfactual", other_prompt)``; another map's ``.baseline``; ``"auto"``: the mean,
            but ``"zero"`` for two tokens and ``"resample"`` at layers where the mean itself disturbs every prediction
            (the map says which).
        site: ``"residual"``: the state that enters a block; ``"attention_output"``, ``"mlp_output"``: what the block
            writes; ``"key"``, ``"value"``: what its attention exports.
        head: A key-value head; ``None`` for all of them together.
        seed: Seeds the draws of ``"resample"``.
        draws: Number of draws of ``"resample"``.
        memory_limit: Bytes that may be used; by default a quarter of the free memory of the model's device.
        progress: Whether to show a progress bar.

    Returns:
        The map. It is a copy that does not change later, with NaN for cells that were not asked for.

    Raises:
        QueryError: if an argument is wrong, naming it.
        ModelError: if the model's blocks cannot be called, or its values are not finite.
        HostError: if the host of a remote model does not answer. Rows that it has sent are kept for the next call.
        AttributionInterrupted: when stopped, with the finished rows. It is a ``KeyboardInterrupt``.
    """
    query = read_query(
        model, prompt, method=method, metric=metric, baseline=baseline, site=site, head=head, seed=seed, draws=draws
    )
    chosen = set(check_layers(layers, model.n_layers))
    order = [layer for layer in bisecting(model.n_layers) if layer in chosen]
    interest = Interest(
        layer=order[0],
        layers=order,
        sources=read_positions("sources", sources, query),
        targets=read_positions("targets", targets, query),
        patient=True,
    )
    engine = engine_for(model, query, memory_limit=memory_limit)
    total = max(engine.missing(interest), 1.0)
    bar_format = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}"

    def show(part: Any) -> None:
        bar.set_description_str(engine.label(part, interest))

    with tqdm(total=total, disable=not progress, bar_format=bar_format) as bar, _showing_news(model, bar):
        try:
            for _ in compute(engine, interest, begin=show):
                bar.update(total - engine.missing(interest) - bar.n)
        except KeyboardInterrupt:
            raise AttributionInterrupted(_only(engine.map, interest)) from None
        bar.update(total - bar.n)
    return _only(engine.map, interest)


@contextmanager
def _showing_news(model: Model, bar: Any) -> Iterator[None]:
    """Show the progress of requests to a remote model's host on a bar."""
    end = model.listen(lambda: bar.set_postfix_str(model.news or ""))
    try:
        yield
    finally:
        end()


def _only(horizon_map: HorizonMap, interest: Interest) -> HorizonMap:
    """A copy with the cells that were asked for. The engine's map may have more."""
    return horizon_map.snapshot(interest.layers, sources=interest.sources, targets=interest.targets)

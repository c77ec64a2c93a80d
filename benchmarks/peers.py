"""The same numbers by straightforward code and by Captum, with plain transformers models."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import captum.attr
import torch

import horizon_widget as hw
from benchmarks.engine import N_TOKENS, forget
from benchmarks.rows import Row
from horizon_widget.models import thread
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.query import Query
from horizon_widget.schedule.engine import Engine, compute
from horizon_widget.schedule.plan import Interest

LAYER = 15
BATCH = 8


def measure(model: hw.Model, prompt: str) -> list[Row]:
    """All rows about other implementations; runs on the model thread."""
    return thread.run(lambda: _measure(model, model.tokenize(prompt)[:N_TOKENS]))


def _measure(model: hw.Model, ids: tuple[int, ...]) -> list[Row]:
    hf_model, input_ids = model.hf_model, torch.tensor([ids])
    exact = Engine(model, Query(ids, baseline=Baseline("mean")))
    gradient = Engine(model, Query(ids, baseline=Baseline("zero"), method="gradient"))

    def our_map() -> None:
        forget(exact)
        list(compute(exact, Interest(LAYER, layers=[LAYER], patient=True)))

    def our_tensor() -> None:
        forget(gradient)
        list(compute(gradient, Interest(0, layers=range(model.n_layers))))

    exact.ask("prepare", layers=[LAYER])
    executor: Any = exact.executor
    mean = executor.computation.replacements.mean(LAYER)
    our_tensor()
    every = others(hf_model, input_ids, mean)
    return [_beside(name, our_tensor if "gradient" in name else our_map, theirs) for name, theirs in every.items()]


def others(hf_model: Any, input_ids: torch.Tensor, mean: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """Other implementations of the same computation."""
    return {
        f"exact map of layer {LAYER} by full forward passes with a hook, one for each source": lambda: hooks(
            hf_model, input_ids, mean, 1
        ),
        f"the same in batches of {BATCH}": lambda: hooks(hf_model, input_ids, mean, BATCH),
        f"the same by Captum's FeatureAblation, {BATCH} at once": lambda: feature_ablation(hf_model, input_ids, mean),
        "gradient tensor by one backward pass for each target": lambda: backward_passes(hf_model, input_ids),
        "gradient tensor by Captum's LayerGradientXActivation, list of layers": lambda: layer_gradients(
            hf_model, input_ids
        ),
    }


def _beside(name: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> Row:
    """Their time, and its ratio to ours, taken before and after it."""

    def seconds(work: Callable[[], Any]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    ours()
    before = seconds(ours)
    took = seconds(theirs)
    around = (before + seconds(ours)) / 2
    return Row(name, took, took / around, "ours")


def logprobs(logits: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
    """Log p of each next token, shape (batch, T-1)."""
    following = input_ids[:, 1:].expand(len(logits), -1)
    return torch.log_softmax(logits[:, :-1], -1).gather(-1, following[..., None])[..., 0]


def hooks(hf_model: Any, input_ids: torch.Tensor, mean: torch.Tensor, batch: int) -> None:
    """Full forward passes; one hook overwrites one state in each copy."""
    for first in range(0, input_ids.shape[1] - 1, batch):
        sources = torch.arange(first, min(first + batch, input_ids.shape[1] - 1))

        def overwrite(_module: Any, args: Any, kwargs: Any, sources: torch.Tensor = sources) -> Any:
            states = args[0].clone()
            states[torch.arange(len(sources)), sources] = mean
            return (states, *args[1:]), kwargs

        handle = hf_model.model.layers[LAYER].register_forward_pre_hook(overwrite, with_kwargs=True)
        try:
            with torch.no_grad():
                logits = hf_model(input_ids.expand(len(sources), -1), use_cache=False).logits
                for one in logits:  # one copy at a time, as a careful user would to keep memory low
                    logprobs(one[None], input_ids)
        finally:
            handle.remove()


def feature_ablation(hf_model: Any, input_ids: torch.Tensor, mean: torch.Tensor) -> None:
    """Captum over the states as inputs, each position a feature; one full forward pass for each."""
    block = hf_model.model.layers[LAYER]
    with torch.no_grad():
        states: list[torch.Tensor] = []
        handle = block.register_forward_pre_hook(lambda _m, args, _k: states.append(args[0]), with_kwargs=True)
        hf_model(input_ids, use_cache=False)
        handle.remove()

        def forward(replaced: torch.Tensor) -> torch.Tensor:
            handle = block.register_forward_pre_hook(lambda _m, args, k: ((replaced, *args[1:]), k), with_kwargs=True)
            try:
                logits = hf_model(input_ids.expand(len(replaced), -1), use_cache=False).logits
            finally:
                handle.remove()
            return logprobs(logits, input_ids).sum(-1)

        mask = torch.arange(input_ids.shape[1])[None, :, None].expand_as(states[0])
        baseline = mean.expand_as(states[0])
        captum.attr.FeatureAblation(forward).attribute(
            states[0], baselines=baseline, feature_mask=mask, perturbations_per_eval=BATCH
        )


def backward_passes(hf_model: Any, input_ids: torch.Tensor) -> None:
    """One graph, one backward pass for each target, to the states entering each block."""
    states: list[torch.Tensor] = []

    def keep(_module: Any, args: Any, kwargs: Any) -> Any:
        state = args[0] if states else args[0].detach().requires_grad_()
        states.append(state)
        return (state, *args[1:]), kwargs

    handles = [block.register_forward_pre_hook(keep, with_kwargs=True) for block in hf_model.model.layers]
    try:
        with torch.enable_grad():
            values = logprobs(hf_model(input_ids, use_cache=False).logits, input_ids)[0]
    finally:
        for handle in handles:
            handle.remove()
    for value in values:
        gradients = torch.autograd.grad(value, states, retain_graph=True)
        for gradient, state in zip(gradients, states, strict=True):
            (gradient * state).sum(-1)


def layer_gradients(hf_model: Any, input_ids: torch.Tensor) -> None:
    """Captum, all layers at once, one call for each target."""
    layers = list(hf_model.model.layers)

    def forward(ids: torch.Tensor, column: int) -> torch.Tensor:
        return logprobs(hf_model(ids, use_cache=False).logits, input_ids)[:, column]

    attributing = captum.attr.LayerGradientXActivation(forward, layers)
    for column in range(input_ids.shape[1] - 1):
        attributing.attribute(input_ids, additional_forward_args=(column,), attribute_to_layer_input=True)

"""Execution strategies: ways to run the rest of a model from overwritten states. All give the same values.

``suffix`` repeats the blocks' captured calls on later positions only, with the clean keys and values of earlier ones.
``replay`` repeats the blocks' captured calls on the whole prompt, for blocks whose calls cannot be cut.
``through`` runs full forward passes, reads the last block's output, and calls norm and head for the predictions that
are needed. It is for sandboxes, which copy all that is read.
``full`` runs full forward passes up to the model's own logits.

``suffix`` and ``replay`` run inside a trace that stops before its own forward pass. The others are that forward pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from horizon_widget.errors import ModelError
from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.edits import Edits, LayerEdits
from horizon_widget.models.readout import FromLogits, FromStates, Readout
from horizon_widget.models.sites import Site, tensor_of
from horizon_widget.question.facts import RESIDUAL

if TYPE_CHECKING:
    from horizon_widget.models.local_model import LocalModel

SUFFIX, REPLAY, THROUGH, FULL = "suffix", "replay", "through", "full"
STRATEGIES = (SUFFIX, REPLAY, THROUGH, FULL)
ABLATION, DIRECT = "ablation", "direct"  # what strategies are used for: without and with ``Held``


class Strategy(Protocol):
    """Runs the rest of a model, inside a trace."""

    def __call__(
        self, model: LocalModel, clean: CleanRun, site: Site, edits: Edits, stop: int, held: Held | None
    ) -> Readout:
        """Predictions of each copy at positions from the first edit on.

        Args:
            model: The model whose blocks are run.
            clean: Its run over the unchanged prompt.
            site: Where states are overwritten.
            edits: The states to overwrite.
            stop: The first position that is not needed.
            held: What is held at its clean states, if anything.
        """


class Held:
    """Hold every position of a copy at its clean states, except the copy's source and reader.

    Args:
        sources: The source of each copy, shape ``(batch,)``.
        readers: The one later position of each copy that may react, shape ``(batch,)``. ``suffix`` needs none: there
            each position reacts as if it were the only one.
    """

    def __init__(self, sources: Tensor, readers: Tensor | None = None) -> None:
        self.sources, self.readers = sources, readers

    def hold(self, states: Tensor, clean: Tensor) -> Tensor:
        """Put clean states, shape ``(T, d_model)``, at the positions that are held."""
        assert self.readers is not None
        position = torch.arange(states.shape[1], device=states.device)
        batch = len(states)
        free = (position == self.sources[:batch, None].to(states.device)) | (
            position == self.readers[:batch, None].to(states.device)
        )
        return torch.where(free[..., None], states, clean.to(states.device))


def suffix(model: LocalModel, clean: CleanRun, site: Site, edits: Edits, stop: int, held: Held | None) -> Readout:
    """See ``Strategy``."""
    start = edits.first_position
    entered = 0
    states: Tensor | None = None
    for layer in range(edits.first_layer, model.n_layers):
        states, entered = _add_copies(clean, edits, layer, start, stop, states, entered)
        call = clean.calls[layer]
        arguments = call.span(start, stop) if held is None else call.direct(start, stop, held.sources[:entered])
        states = _run_block(model, layer, site, edits.at(layer), states, start, arguments)
    assert states is not None
    return FromStates(model.head, states, start)


def replay(model: LocalModel, clean: CleanRun, site: Site, edits: Edits, stop: int, held: Held | None) -> Readout:
    """See ``Strategy``."""
    del stop  # whole prompts are run
    entered = 0
    states: Tensor | None = None
    for layer in range(edits.first_layer, model.n_layers):
        if held is not None and states is not None:
            states = held.hold(states, clean.states[layer])
        states, entered = _add_copies(clean, edits, layer, 0, clean.n_tokens, states, entered)
        states = _run_block(model, layer, site, edits.at(layer), states, 0, clean.calls[layer].whole())
    assert states is not None
    return FromStates(model.head, states)


def full(model: LocalModel, clean: CleanRun, site: Site, edits: Edits, stop: int, held: Held | None) -> Readout:
    """See ``Strategy``; runs inside a trace of as many copies of the prompt."""
    del stop
    _overwrite(model, clean, site, edits, held)
    logits = model.traced_logits()
    return FromLogits(logits, clean.n_tokens - logits.shape[1])


def through(model: LocalModel, clean: CleanRun, site: Site, edits: Edits, stop: int, held: Held | None) -> Readout:
    """See ``Strategy``; runs inside a trace of as many copies of the prompt."""
    del stop
    _overwrite(model, clean, site, edits, held)
    return FromStates(model.head, model.traced_states())


def _overwrite(model: LocalModel, clean: CleanRun, site: Site, edits: Edits, held: Held | None) -> None:
    """Overwrite states during a traced forward pass."""
    for layer in range(edits.first_layer, model.n_layers):
        here = edits.at(layer)
        residual_edits = here if site.place is None else None
        if residual_edits is not None or (held is not None and layer > edits.first_layer):
            states = model.blocks[layer].input
            if held is not None and layer > edits.first_layer:
                states = held.hold(states, clean.states[layer])
            if residual_edits is not None:
                states = site.write(states, residual_edits, 0, clean.n_tokens)
            model.blocks[layer].input = states
        if here is not None and site.place is not None:
            envoy = model.inside_block(layer, site.place.module)
            envoy.output = site.write(envoy.output, here, 0, clean.n_tokens)


def run(
    model: LocalModel,
    clean: CleanRun,
    site: Site,
    edits: Edits,
    score: Any,
    *,
    strategy: str,
    first: int | None = None,
    stop: int | None = None,
    held: Held | None = None,
) -> Tensor:
    """Run the rest of the model inside a trace and score its predictions there, so that only scores come back.

    Args:
        model: The model whose blocks are run.
        clean: Its run over the unchanged prompt.
        site: Where states are overwritten.
        edits: The states to overwrite.
        score: ``(Readout) -> Tensor``, called inside the trace.
        strategy: One of ``STRATEGIES``.
        first: The first position whose prediction is needed; by default that of the first edit.
        stop: The first position that is not needed; by default all are needed.
        held: What is held at its clean states, if anything.

    Returns:
        The result of ``score``.
    """
    first = edits.first_position if first is None else first
    stop = clean.n_tokens if stop is None else stop
    chosen: Strategy = {SUFFIX: suffix, REPLAY: replay, THROUGH: through, FULL: full}[strategy]
    if strategy in (THROUGH, FULL):
        copies = clean.input_ids.expand(edits.n_copies, -1)
        last = 1 if strategy == THROUGH else clean.n_tokens - first
        return model.traced(copies, lambda: score(chosen(model, clean, site, edits, stop, held)), last=last)
    return model.inside_trace(clean, lambda: score(chosen(model, clean, site, edits, stop, held)))


def exported(model: LocalModel, clean: CleanRun, edits: Edits, site: Site) -> Tensor:
    """Values of a site at a position whose residual stream is overwritten, by a full forward pass.

    Args:
        model: The model whose blocks are run.
        clean: Its run over the unchanged prompt.
        edits: One state of the residual stream.
        site: A site inside the blocks.

    Returns:
        The values from the overwritten layer on, shape ``(n_layers - first layer, width)``.
    """
    residual, here = Site(RESIDUAL), edits.at(edits.first_layer)
    assert here is not None
    assert site.place is not None
    path = site.place.module

    def work() -> Tensor:
        first = model.blocks[edits.first_layer]
        first.input = residual.write(first.input, here, 0, clean.n_tokens)
        outputs = [model.inside_block(layer, path).output for layer in range(edits.first_layer, model.n_layers)]
        return torch.stack([site.read(output, clean.n_tokens)[0, edits.first_position].cpu() for output in outputs])

    return model.traced(clean.input_ids, work, last=1)


def _add_copies(
    clean: CleanRun, edits: Edits, layer: int, start: int, stop: int, states: Tensor | None, entered: int
) -> tuple[Tensor, int]:
    """Add the copies that are first changed at this layer. Before it they equal the clean run."""
    n = edits.n_entered(layer)
    if n == entered:
        assert states is not None
        return states, entered
    fresh = clean.states[layer][None, start:stop].expand(n - entered, -1, -1)
    return (fresh.clone() if states is None else torch.cat([states, fresh.to(states.device)])), n


def _run_block(
    model: LocalModel, layer: int, site: Site, edits: LayerEdits | None, states: Tensor, start: int, arguments: Any
) -> Tensor:
    if edits is not None and site.place is None:
        states = site.write(states, edits, start, states.shape[1])
    with site.overwriting(model.blocks[layer]._module, edits, start, states.shape[1]):
        return tensor_of(model.blocks[layer](states, **arguments))


def check_known(strategy: str) -> str:
    """Refuse an unknown execution strategy.

    Raises:
        ModelError: if it is not in ``STRATEGIES``.
    """
    if strategy not in STRATEGIES:
        raise ModelError(f"There is no strategy {strategy!r}.", advice=f"Choose from: {', '.join(STRATEGIES)}.")
    return strategy

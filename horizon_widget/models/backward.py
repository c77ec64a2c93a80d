"""Gradients of some predictions with respect to every state, from the last block to the first.

All execution strategies give the same values. ``suffix`` calls each block again on the positions needed, ``replay`` on
all of them. Both make one block's graph, use it for all predictions and drop it before the next. ``full`` keeps the
graph of a whole forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.readout import FromLogits, Head, Readout
from horizon_widget.models.sites import Site, tensor_of
from horizon_widget.models.strategies import FULL, SUFFIX

if TYPE_CHECKING:
    from horizon_widget.models.local_model import LocalModel

Score = Callable[[Readout, Tensor, Tensor], Tensor]  # (predictions, copy (N,), position (N,)) -> (N,)
Use = Callable[[int, Tensor], Tensor]  # (layer, gradients (B, S, width)) -> what to keep


class AtOwnPosition:
    """Reads the prediction of each copy from its one state and ignores positions; see ``readout.Readout``.

    Args:
        head: The model's final norm and unembedding.
        states: The last block's output, one state for each copy, shape ``(B, d_model)``.
    """

    def __init__(self, head: Head, states: Tensor) -> None:
        self._readout = FromLogits(head.logits(states)[:, None])

    def logits(self, copy: Tensor, position: Tensor) -> Tensor:
        """See ``Readout``."""
        return self._readout.logits(copy, torch.zeros_like(position))

    def token_logits(self, copy: Tensor, position: Tensor, token_ids: Tensor) -> Tensor:
        """See ``Readout``."""
        return self._readout.token_logits(copy, torch.zeros_like(position), token_ids)

    def log_normaliser(self, copy: Tensor, position: Tensor) -> Tensor:
        """See ``Readout``."""
        return self._readout.log_normaliser(copy, torch.zeros_like(position))


def gradients(
    model: LocalModel,
    clean: CleanRun,
    site: Site,
    positions: list[int],
    score: Score,
    use: Use,
    *,
    strategy: str,
    batched: bool,
) -> Tensor:
    """Gradients of the metric at several prediction positions with respect to a site's values at every layer.

    Args:
        model: The model whose blocks are run.
        clean: Its run over the unchanged prompt.
        site: The site of the values.
        positions: The prediction positions ``j``, ascending, ``B`` of them.
        score: The metric, differentiable.
        use: Called with each layer's gradients, shape ``(B, S, width)``, with ``S`` greater than the last position.
            Only what it returns is kept.
        strategy: The execution strategy, one of ``strategies.STRATEGIES``.
        batched: Whether all predictions go backward through a block at once.

    Returns:
        The results of ``use``, stacked over layers ``0 .. L-1``.
    """

    def work() -> Tensor:
        with torch.enable_grad():
            if strategy == FULL:
                by_layer = dict(_through_graph(model, clean, site, positions, score, use))
            else:
                by_layer = dict(_block_by_block(model, clean, site, positions, score, use, strategy, batched))
        return torch.stack([by_layer[layer].cpu() for layer in range(model.n_layers)])

    if strategy == FULL:
        return model.traced(clean.input_ids, work)
    return model.inside_trace(clean, work)


def _block_by_block(
    model: LocalModel,
    clean: CleanRun,
    site: Site,
    positions: list[int],
    score: Score,
    use: Use,
    strategy: str,
    batched: bool,
) -> Iterator[tuple[int, Tensor]]:
    stop = positions[-1] + 1 if strategy == SUFFIX else clean.n_tokens
    at = torch.tensor(positions, device=clean.states[-1].device)
    copies = torch.arange(len(positions), device=at.device)
    last = clean.states[-1][at].detach().requires_grad_()
    (at_top,) = torch.autograd.grad(score(AtOwnPosition(model.head, last), copies, at).sum(), last)
    above = at_top.new_zeros(len(positions), stop, at_top.shape[-1])
    above[copies, at] = at_top
    for layer in reversed(range(model.n_layers)):
        call = clean.calls[layer]
        arguments = call.span(0, stop) if strategy == SUFFIX else call.whole()
        entering = clean.states[layer][None, :stop].detach().requires_grad_()
        with _catching(model, layer, site) as caught:
            # A block may add to its input in place.
            output = tensor_of(model.blocks[layer](entering.clone(), **arguments))
        inputs = [entering, *caught]
        backward = _all_at_once if batched else _one_by_one
        above, *inside = backward(output, inputs, above.to(output.device)[:, None])
        above = above[:, 0]
        yield layer, use(layer, site.read_each(inside[0], stop) if inside else above)


def _all_at_once(output: Tensor, inputs: list[Tensor], cotangents: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output, inputs, cotangents, is_grads_batched=True)


def _one_by_one(output: Tensor, inputs: list[Tensor], cotangents: Tensor) -> tuple[Tensor, ...]:
    each = [torch.autograd.grad(output, inputs, cotangent, retain_graph=True) for cotangent in cotangents]
    return tuple(torch.stack(of_input) for of_input in zip(*each, strict=True))


@contextmanager
def _catching(model: LocalModel, layer: int, site: Site) -> Iterator[list[Tensor]]:
    """Collect the tensor that holds a site's values when the block is called, as part of the call's graph."""
    caught: list[Tensor] = []
    if site.place is None:
        yield caught
        return

    def catch(_module: Any, _args: Any, output: Any) -> Any:
        caught.append(tensor_of(output))
        return _fresh(output)

    handle = model.blocks[layer]._module.get_submodule(site.place.module).register_forward_hook(catch)
    try:
        yield caught
    finally:
        handle.remove()


def _through_graph(
    model: LocalModel, clean: CleanRun, site: Site, positions: list[int], score: Score, use: Use
) -> Iterator[tuple[int, Tensor]]:
    held: list[Tensor] = []
    for layer, block in enumerate(model.blocks):
        entering = block.input.detach().requires_grad_() if layer == 0 else block.input
        block.input = entering.clone()
        if site.place is not None:
            envoy = model.inside_block(layer, site.place.module)
            output = envoy.output
            envoy.output = _fresh(output)
        held.append(entering if site.place is None else tensor_of(output))
    readout = FromLogits(model.traced_logits())
    at = torch.tensor(positions, device=held[0].device)
    scores = score(readout, torch.zeros_like(at), at)
    each = [torch.autograd.grad(one, held, retain_graph=True) for one in scores]
    for layer, of_layer in enumerate(zip(*each, strict=True)):
        values = torch.stack(of_layer)
        yield layer, use(layer, values[:, 0] if site.place is None else site.read_each(values, clean.n_tokens))


def _fresh(output: Any) -> Any:
    """A copy that the model continues with, since later modules may add to it in place."""
    return type(output)((output[0].clone(), *output[1:])) if isinstance(output, (tuple, list)) else output.clone()

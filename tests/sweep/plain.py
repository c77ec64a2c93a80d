"""A transformers model with plain forward hooks: what each value of the package is compared with.

Nothing here is the package's own. The blocks are found by watching which modules one forward pass calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

Change = Callable[[Tensor], Tensor]


class Parts:
    """Where a model has its blocks, what is called between the last block and the head, and the head.

    Attributes:
        blocks, norms, head: Dotted paths.
        calls: The block of each call in one forward pass, in order.
    """

    def __init__(self, hf_model: Any) -> None:
        names = {module: name for name, module in hf_model.named_modules()}
        called = _calls(hf_model)
        position = {id(module): at for at, module in reversed(list(enumerate(called)))}
        lists = []
        for name, module in hf_model.named_modules():
            if isinstance(module, torch.nn.ModuleList):
                order = [position[id(entry)] for entry in module if id(entry) in position]
                if len(order) > 1 and order == sorted(order):
                    lists.append((name, module))
        # experts are lists inside the blocks
        self.blocks, self.modules = min(lists, key=lambda found: (found[0].count("."), -len(found[1])))
        own = {id(block): layer for layer, block in enumerate(self.modules)}
        self.calls = [own[id(module)] for module in called if id(module) in own]
        head = hf_model.get_output_embeddings()
        self.head = names[head]
        inside = {id(module) for block in self.modules for module in block.modules()}
        last = max(at for at, module in enumerate(called) if id(module) in inside)
        after = [names[module] for module in called[last + 1 :]]
        after = after[: after.index(self.head)]
        self.norms = tuple(path for path in after if not any(path.startswith(f"{outer}.") for outer in after))


def _calls(hf_model: Any) -> list[Any]:
    """The modules that one forward pass calls, in order."""
    called: list[Any] = []
    handles = [
        module.register_forward_pre_hook(lambda module, _args: called.append(module)) for module in hf_model.modules()
    ]
    try:
        logits(hf_model, range(1, 13))
    finally:
        for handle in handles:
            handle.remove()
    return called


def logits(hf_model: Any, ids: Sequence[int]) -> Tensor:
    """Logits of one forward pass, shape ``(T, V)``, float64."""
    return hf_model(torch.tensor([list(ids)]), use_cache=False).logits[0].double()


@contextmanager
def entering(block: Any, change: Change) -> Iterator[None]:
    """While this lasts, what enters a block, shape ``(1, T, ...)``, is changed; at its first call of a pass."""

    def before(_module: Any, args: Any, kwargs: Any) -> Any:
        if args:
            return (change(args[0].clone()), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"].clone())}

    handle = block.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def leaving(module: Any, source: int, n_tokens: int) -> Iterator[None]:
    """While this lasts, what a module puts out at one position is zero."""

    def after(_module: Any, _args: Any, output: Any) -> Any:
        tensor = output[0] if isinstance(output, tuple) else output
        changed = tensor.clone()
        (axis,) = [axis for axis in range(changed.dim() - 1) if changed.shape[axis] == n_tokens]
        changed.select(axis, source).zero_()
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def at_position(source: int, state: Tensor | float) -> Change:
    """Put a state at one position."""

    def change(states: Tensor) -> Tensor:
        states[:, source] = state
        return states

    return change


def states_entering(hf_model: Any, blocks: Any, ids: Sequence[int]) -> list[Tensor]:
    """What enters each block at its first call, each of shape ``(T, d_model)``."""
    seen: dict[int, Tensor] = {}
    with ExitStack() as stack:
        for layer, block in enumerate(blocks):

            def note(states: Tensor, layer: int = layer) -> Tensor:
                seen.setdefault(layer, states[0].clone())
                return states

            stack.enter_context(entering(block, note))
        logits(hf_model, ids)
    return [seen[layer] for layer in range(len(blocks))]


def logprobs(of: Tensor, ids: Sequence[int]) -> Tensor:
    """Log-probability of each next token, shape ``(T - 1,)``."""
    log_p = torch.log_softmax(of, dim=-1)
    return log_p[torch.arange(len(ids) - 1), torch.tensor(list(ids)[1:])]


def effect(clean: Tensor, ablated: Tensor, ids: Sequence[int], metric: str = "logprob") -> Tensor:
    """Influence on each prediction: the log-probability that is lost, or the divergence from the clean prediction."""
    if metric == "logprob":
        return logprobs(clean, ids) - logprobs(ablated, ids)
    log_p, log_q = torch.log_softmax(clean, dim=-1), torch.log_softmax(ablated, dim=-1)
    return torch.where(log_p > -torch.inf, log_p.exp() * (log_p - log_q), 0.0).sum(dim=-1)


def ablated_row(
    hf_model: Any, blocks: Any, ids: Sequence[int], layer: int, source: int, state: Tensor | float = 0.0, **options: Any
) -> Tensor:
    """Influence of one state of the residual stream on every prediction."""
    clean = logits(hf_model, ids)
    with entering(blocks[layer], at_position(source, state)):
        return effect(clean, logits(hf_model, ids), ids, **options)


def direct_row(hf_model: Any, blocks: Any, ids: Sequence[int], layer: int, source: int) -> Tensor:
    """As ``ablated_row``; every position but the source and the one that predicts is held at its clean states."""
    clean, held = logits(hf_model, ids), states_entering(hf_model, blocks, ids)
    row = torch.zeros(len(ids) - 1, dtype=torch.float64)
    for reader in range(source, len(row)):
        with ExitStack() as stack:
            stack.enter_context(entering(blocks[layer], at_position(source, 0.0)))
            for later in range(layer + 1, len(blocks)):
                stack.enter_context(entering(blocks[later], _held_but_at(held[later], (source, reader))))
            row[reader] = effect(clean, logits(hf_model, ids), ids)[reader]
    return row


def _held_but_at(clean: Tensor, free: Sequence[int]) -> Change:
    return lambda states: clean[None].index_copy(1, torch.tensor(free), states[:, free])


def gradient_column(hf_model: Any, blocks: Any, ids: Sequence[int], target: int) -> Tensor:
    """Gradient times state of one log-probability, by what enters each block; shape ``(L, T)``."""
    states = states_entering(hf_model, blocks, ids)
    nothings = [torch.zeros_like(state, requires_grad=True) for state in states]
    with ExitStack() as stack, torch.enable_grad():
        for block, nothing in zip(blocks, nothings, strict=True):
            stack.enter_context(entering(block, lambda states, nothing=nothing: states + nothing))
        gradients = torch.autograd.grad(logprobs(logits(hf_model, ids), ids)[target - 1], nothings)
    return torch.stack([(a * b).sum(dim=-1) for a, b in zip(gradients, states, strict=True)])


@contextmanager
def attention_reads_zeros(hf_model: Any, layer: int, source: int, site: str) -> Iterator[list[int]]:
    """While this lasts, attention of a layer gets a key or value of zeros for one position, by transformers' interface.

    Yields:
        The layers whose attention was called so; without the layer where a model has an attention of its own.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    called: list[int] = []
    own = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def attend(module: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
        called.append(module.layer_idx)
        if module.layer_idx == layer:
            changed = (key if site == "key" else value).clone()
            changed[:, :, source] = 0.0
            key, value = (changed, value) if site == "key" else (key, changed)
        return own(module, query, key, value, *args, **kwargs)

    ALL_ATTENTION_FUNCTIONS["sdpa"] = attend
    try:
        yield called
    finally:
        ALL_ATTENTION_FUNCTIONS["sdpa"] = own


def is_causal(hf_model: Any, ids: Sequence[int]) -> bool:
    """Whether the predictions before the last token stay when it changes."""
    ids = list(ids)
    before = logits(hf_model, ids)[:-1]
    after = logits(hf_model, [*ids[:-1], ids[-1] + 1])[:-1]
    return torch.allclose(before, after, atol=1e-4)

"""Watch one forward pass of a transformers model: which modules are called, in which order, on which tensors."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# Of the recorded prompts. Keys are recognised by their values at the first token of each copy, so few copies are not
# enough. All prompts are shorter than any window.
N_COPIES, N_TOKENS = 7, 5


@dataclass
class Call:
    """One call of a module.

    Attributes:
        path: The module's dotted path from the model.
        module: The module.
        args, kwargs: Its arguments.
        began: When the call began, as a number that grows with each beginning and end of a call.
        ended: When it ended.
        output: What it returned.
        entered, left: Copies of ``entering`` and ``leaving`` from when the call began and ended. A model may write into
            the tensors themselves later.
    """

    path: str
    module: torch.nn.Module
    args: Sequence[Any] = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)
    began: int
    ended: int = -1
    output: Any = field(default=None, repr=False)
    entered: Tensor | None = field(default=None, repr=False)
    left: Tensor | None = field(default=None, repr=False)

    @property
    def entering(self) -> Tensor | None:
        """The first argument that is a tensor."""
        return next((value for value in (*self.args, *self.kwargs.values()) if isinstance(value, Tensor)), None)

    @property
    def leaving(self) -> Tensor | None:
        """The tensor that it returned, or the first of several values."""
        output = self.output[0] if isinstance(self.output, (tuple, list)) and self.output else self.output
        return output if isinstance(output, Tensor) else None


@dataclass(frozen=True)
class Recording:
    """One forward pass.

    Attributes:
        hf_model: The model that ran.
        calls: Every call of a module, in the order in which they began.
        output: What the model returned.
        cache: The cache of keys and values that it filled; ``None`` if it takes none.
    """

    hf_model: Any = field(repr=False)
    calls: Sequence[Call] = field(repr=False)
    output: Any = field(repr=False)
    cache: Any = field(default=None, repr=False)

    def calls_in(self, path: str) -> list[Call]:
        """The calls of the modules in a list."""
        return [call for call in self.calls if call.path.rpartition(".")[0] == path]

    def last_call(self, path: str) -> Call:
        """The last call of the module at a path.

        Raises:
            LookupError: if it was not called.
        """
        for call in reversed(self.calls):
            if call.path == path:
                return call
        raise LookupError(f"{path} was not called")


def record(hf_model: torch.nn.Module, input_ids: Tensor) -> Recording:
    """Run a forward pass, with a cache if the model works with one.

    Args:
        hf_model: The transformers model, or its tree of modules without weights.
        input_ids: Shape ``(batch, T)``.
    """
    with contextlib.suppress(Exception):  # it has a kind of cache of its own
        cache = new_cache(hf_model)
        if cache is not None:
            return Recording(hf_model, *_record(hf_model, input_ids, use_cache=True, past_key_values=cache), cache)
    return Recording(hf_model, *_record(hf_model, input_ids, use_cache=False))


def _record(hf_model: torch.nn.Module, input_ids: Tensor, **arguments: Any) -> tuple[list[Call], Any]:
    calls: list[Call] = []
    device = input_ids.device.type
    casts = torch.amp.is_autocast_available(device)
    with torch.no_grad(), torch.autocast(device, enabled=False) if casts else nullcontext():
        with _recording(hf_model, calls):
            return calls, hf_model(input_ids, **arguments)


def new_cache(hf_model: torch.nn.Module) -> Any:
    """An empty cache of the keys and values of all positions; ``None`` if the model's forward pass takes none."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    if "past_key_values" not in inspect.signature(type(hf_model).forward).parameters:
        return None
    config: Any = hf_model.config
    cache = DynamicCache(config=config.get_text_config())
    cache.layers = [
        DynamicLayer() if isinstance(layer, DynamicSlidingWindowLayer) else layer for layer in cache.layers
    ]  # a sliding window forgets
    return cache


def has_all_keys(layer: Any, n_tokens: int) -> bool:
    """Whether one layer of a cache holds the keys and values of all positions."""
    pair = [getattr(layer, name, None) for name in ("keys", "values")]
    return all(isinstance(tensor, Tensor) and tensor.dim() == 4 and tensor.shape[-2] == n_tokens for tensor in pair)


def recorded_ids(vocab_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Token ids to record, shape ``(N_COPIES, N_TOKENS)``.

    No token is in two copies, and none is special in a usual vocabulary. Each copy ends with its first token again.
    What differs there at the first layer does so by its position.
    """
    n_ids = N_COPIES * N_TOKENS
    step = max(1, vocab_size // (n_ids + 1))
    ids = torch.arange(1, n_ids + 1, device=device).view(N_COPIES, N_TOKENS) * step % vocab_size
    ids[:, -1] = ids[:, 0]
    return ids


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


@contextmanager
def _recording(hf_model: torch.nn.Module, calls: list[Call]) -> Iterator[None]:
    now = itertools.count()
    running: list[Call] = []
    own = threading.get_ident()  # the modules may be the user's own, who may call them meanwhile

    def begin(path: str) -> Any:
        def hook(module: torch.nn.Module, args: Any, kwargs: Any) -> None:
            if threading.get_ident() != own:
                return
            call = Call(path, module, args, kwargs, next(now))
            call.entered = _copy(call.entering)
            running.append(call)
            calls.append(call)

        return hook

    def end(_module: Any, _args: Any, output: Any) -> None:
        if threading.get_ident() != own:
            return
        call = running.pop()
        call.ended, call.output = next(now), output
        call.left = _copy(call.leaving)

    handles = []
    for path, module in hf_model.named_modules():
        handles.append(module.register_forward_pre_hook(begin(path), with_kwargs=True))
        handles.append(module.register_forward_hook(end))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two tensors are one, or views of one. This needs no values, so it works without weights, too."""
    if one is None or other is None or one.numel() != other.numel():
        return False
    return one is other or one.untyped_storage()._cdata == other.untyped_storage()._cdata

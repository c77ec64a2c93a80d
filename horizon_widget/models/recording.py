"""Watch one forward pass of a transformers model: which modules are called, in which order, on which tensors."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

TEXT = "The quick brown fox jumps over a lazy dog while five wizards mix every potion for King Zach, 1 to 9."
N_COPIES, N_TOKENS = 3, 5  # of the recorded prompts; no two axes of a tensor should have the same length


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
    """

    path: str
    module: torch.nn.Module
    args: Sequence[Any] = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)
    began: int
    ended: int = -1
    output: Any = field(default=None, repr=False)

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
    cache = new_cache(hf_model)
    if cache is not None:
        try:
            return Recording(hf_model, *_record(hf_model, input_ids, use_cache=True, past_key_values=cache), cache)
        except Exception as error:  # it has a kind of cache of its own
            logger.info("no cache: %s: %s", type(error).__name__, error)
    return Recording(hf_model, *_record(hf_model, input_ids, use_cache=False))


def _record(hf_model: torch.nn.Module, input_ids: Tensor, **arguments: Any) -> tuple[list[Call], Any]:
    calls: list[Call] = []
    with torch.no_grad(), _recording(hf_model, calls):
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


def prompts_for(tokenizer: Any, device: torch.device | str) -> Tensor:
    """Ordinary tokens to record, each prompt beginning with another one, shape ``(N_COPIES, N_TOKENS)``."""
    found = list(dict.fromkeys(tokenizer(TEXT, add_special_tokens=False)["input_ids"]))
    ids = [found[at % len(found)] for at in range(N_COPIES * N_TOKENS)]
    return torch.tensor(ids, device=device).view(N_COPIES, N_TOKENS)


@contextmanager
def _recording(hf_model: torch.nn.Module, calls: list[Call]) -> Iterator[None]:
    now = iter(range(1 << 62))
    running: list[Call] = []

    def begin(path: str) -> Any:
        def hook(module: torch.nn.Module, args: Any, kwargs: Any) -> None:
            running.append(Call(path, module, args, kwargs, next(now)))
            calls.append(running[-1])

        return hook

    def end(_module: Any, _args: Any, output: Any) -> None:
        call = running.pop()
        call.ended, call.output = next(now), output

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

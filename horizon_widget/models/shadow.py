"""A second tree of a model's modules over the same weights, for this package's own use.

nnsight puts a controller on every module it traces, and one module cannot be in two traces at once. Traced through a
tree of its own, a user's model stays as it was: their hooks, their forward passes and their own nnsight traces, in
another cell or thread, never meet ours.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
NNSIGHT = ("forward", "__nnsight__")  # what it puts on a module


def shadow_of(module: torch.nn.Module) -> torch.nn.Module | None:
    """The same tree of modules over the very same parameters and buffers.

    Returns:
        ``None`` where a module's ``forward`` was replaced by a function that knows the module itself (accelerate does
        so to spread a model over devices): a copy would run the original.
    """
    if any(_has_own_forward(part) for part in module.modules()):
        return None
    shadow = _copy(module, {})
    follow_hooks(module, shadow)
    return shadow


def follow_hooks(module: torch.nn.Module, shadow: torch.nn.Module) -> None:
    """Give a shadow the hooks that its module has now."""
    if module is shadow:
        return
    for original, copied in zip(module.modules(), shadow.modules(), strict=True):
        for name in HOOKS:
            hooks = getattr(original, name)
            if hooks or getattr(copied, name):
                setattr(copied, name, OrderedDict(hooks))


def same_tree(module: torch.nn.Module, shadow: torch.nn.Module) -> bool:
    """Whether a shadow still has the modules of its original: none was replaced, added or removed."""
    if module is shadow:
        return True
    pairs = zip(module.named_modules(), shadow.named_modules(), strict=False)
    same_weights = all(
        name == other and original._parameters is copied._parameters for (name, original), (other, copied) in pairs
    )
    return same_weights and sum(1 for _ in module.modules()) == sum(1 for _ in shadow.modules())


def _has_own_forward(module: torch.nn.Module) -> bool:
    forward = module.__dict__.get("forward")
    return forward is not None and not type(forward).__module__.startswith("nnsight")


def _copy(module: torch.nn.Module, copies: dict[int, torch.nn.Module]) -> torch.nn.Module:
    if id(module) in copies:
        return copies[id(module)]
    copied = type(module).__new__(type(module))
    copies[id(module)] = copied
    state: dict[str, Any] = {name: value for name, value in module.__dict__.items() if name not in NNSIGHT}
    state |= {name: OrderedDict() for name in HOOKS}
    state["_modules"] = {
        name: None if child is None else _copy(child, copies) for name, child in module._modules.items()
    }
    copied.__dict__.update(state)
    return copied

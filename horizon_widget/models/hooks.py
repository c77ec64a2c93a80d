"""Whose code runs when a model runs: the framework's own, or also what its user has put there."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch

from horizon_widget.models.fingerprint import global_hooks
from horizon_widget.models.shadow import own_forward

# Functions of these packages belong to how a model runs; any other is the user's.
FRAMEWORKS = ("accelerate", "nnsight", "transformers", "torch")


def has_user_hooks(module: torch.nn.Module) -> bool:
    """Whether somebody hooked into a module: calls on a part of the prompt might then mean another thing.

    A ``forward`` that somebody put in the place of a module's own counts too.
    """
    return any(not _is_of_framework(hook) for hook in _hooks(module)) or any(
        _is_user_s_forward(part) for part in module.modules()
    )


def _hooks(module: torch.nn.Module) -> list[Any]:
    hooks = global_hooks()
    for part in module.modules():
        hooks += [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
    return hooks


def _is_user_s_forward(module: torch.nn.Module) -> bool:
    forward = own_forward(module)
    if forward is None or "_hf_hook" in module.__dict__:
        return False
    function = forward.__func__ if isinstance(forward, MethodType) else forward
    # Not ``__module__``, which functools.wraps copies from what is wrapped. nnsight's own stands for the user's.
    written_in = getattr(function, "__globals__", {}).get("__name__", "")
    return written_in.partition(".")[0] not in FRAMEWORKS or written_in.startswith("nnsight.")


def _is_of_framework(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).partition(".")[0] in FRAMEWORKS

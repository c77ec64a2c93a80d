"""Tell the user's hooks and ``forward`` functions from those of frameworks."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch

from horizon_widget.models.fingerprint import global_hooks
from horizon_widget.models.shadow import own_forward

# Functions of these packages are part of how a model runs. All others are the user's.
FRAMEWORKS = ("accelerate", "nnsight", "transformers", "torch")


def has_user_hooks(module: torch.nn.Module) -> bool:
    """Whether the user has added a hook or replaced a ``forward`` anywhere in a module.

    Such code may do something else when it is called on a part of the prompt.
    """
    return any(not _is_of_framework(hook) for hook in _hooks(module)) or any(
        _has_user_forward(part) for part in module.modules()
    )


def _hooks(module: torch.nn.Module) -> list[Any]:
    hooks = global_hooks()
    for part in module.modules():
        hooks += [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
    return hooks


def _has_user_forward(module: torch.nn.Module) -> bool:
    forward = own_forward(module)
    if forward is None or "_hf_hook" in module.__dict__:
        return False
    function = forward.__func__ if isinstance(forward, MethodType) else forward
    # functools.wraps copies ``__module__``, so this reads the globals. nnsight's functions here wrap the user's.
    written_in = getattr(function, "__globals__", {}).get("__name__", "")
    return written_in.partition(".")[0] not in FRAMEWORKS or written_in.startswith("nnsight.")


def _is_of_framework(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).partition(".")[0] in FRAMEWORKS

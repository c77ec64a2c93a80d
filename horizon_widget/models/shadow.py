"""The shadow of a model: a second tree of its modules over the same weights, for the traces of this package.

nnsight puts a controller on every module it traces, and one module cannot be in two traces at once. Tracing the shadow
leaves the model itself unchanged. The user's hooks, forward passes and nnsight traces, in any cell or thread, never
meet ours. A shadow does not follow later changes; ``fingerprint`` tells when to make another.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import Any, cast

import torch

# Attributes that nnsight sets, or that run the original module's code.
NOT_COPIED = ("forward", "__nnsight__", "_compiled_call_impl")

HOOKS = ("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks")


def shadow_of(module: torch.nn.Module, *, bare: bool = False) -> torch.nn.Module | None:
    """Copy a tree of modules with its hooks, over the same parameters and buffers.

    Args:
        module: The root.
        bare: Whether to leave out all hooks, and to run the ``forward`` of each module's class.

    Returns:
        The copy; ``None`` if the ``forward`` of a module was replaced by something that is not a method of the module,
        since a copy would run the original. accelerate does so to spread a model over devices.
    """
    parts = list(module.modules())
    forwards = [None if bare else own_forward(part) for part in parts]
    if any("_hf_hook" in part.__dict__ or _has_slots(part) for part in parts) or any(
        forward is not None and not _is_method_of(forward, part) for forward, part in zip(forwards, parts, strict=True)
    ):
        return None
    copies = {id(part): type(part).__new__(type(part)) for part in parts}
    containers: dict[int, Any] = {}
    for part, forward in zip(parts, forwards, strict=True):
        copied = copies[id(part)]
        state = {
            name: _copy(value, copies, containers) for name, value in part.__dict__.items() if name not in NOT_COPIED
        }
        state["_parameters"] = part._parameters  # the same dictionary, so that a replaced parameter is seen at once
        copied.__dict__.update(state)
        if bare:
            copied.__dict__.update({name: OrderedDict() for name in HOOKS})
            continue
        copied._forward_pre_hooks = OrderedDict(
            (key, _called_with(part, hook)) for key, hook in part._forward_pre_hooks.items()
        )
        body = None if forward is None else cast("MethodType", forward).__func__
        if part._forward_hooks:
            body = _hooked(body or type(part).forward, part, copied)
        if body is not None:
            copied.__dict__["forward"] = MethodType(body, copied)
    return copies[id(module)]


def _called_with(module: torch.nn.Module, hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook of a module's copy that is called with the module, since hooks may know modules by identity."""
    return lambda _copy, *args: hook(module, *args)


def _hooked(body: Callable[..., Any], module: torch.nn.Module, copied: torch.nn.Module) -> Callable[..., Any]:
    """A ``forward`` that runs a module's hooks at its end. They are removed from the module's copy.

    nnsight reads and writes what ``forward`` returns. It does not see hooks that torch calls afterwards.
    """
    hooks, with_kwargs = OrderedDict(module._forward_hooks), dict(module._forward_hooks_with_kwargs)
    for name in HOOKS[:3]:
        setattr(copied, name, OrderedDict())

    @functools.wraps(body)
    def forward(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        output = body(self, *args, **kwargs)
        for key, hook in hooks.items():
            changed = hook(module, args, kwargs, output) if key in with_kwargs else hook(module, args, output)
            output = output if changed is None else changed
        return output

    return forward


def has_lost_forward(module: torch.nn.Module) -> bool:
    """Whether tracing would drop the user's ``forward``. nnsight runs the class's if accelerate has a hook."""
    forward, hooked = module.__dict__.get("forward"), module.__dict__.get("_old_forward")
    if "_hf_hook" not in module.__dict__ or forward is None:
        return False
    wrapper = getattr(forward, "func", type(forward))  # accelerate's wrapper is a partial, nnsight's an object
    of_framework = wrapper.__module__.partition(".")[0] in ("accelerate", "nnsight")
    return not (of_framework and isinstance(hooked, MethodType) and hooked.__func__ is type(module).forward)


def own_forward(module: torch.nn.Module) -> Callable[..., Any] | None:
    """The function that a module runs instead of its class's ``forward``; ``None`` if it runs the class's.

    A module that the user has traced has a controller of nnsight. This looks through it, at the function that it runs.
    """
    forward: Callable[..., Any] | None = module.__dict__.get("forward")
    if forward is None or type(forward).__module__.partition(".")[0] != "nnsight":
        return forward
    body: Callable[..., Any] = module.__dict__["__nnsight__"].original  # a function of the module and its arguments
    if body is type(module).forward:
        return None
    return body if body.__module__.partition(".")[0] == "nnsight" else MethodType(body, module)


def _has_slots(module: torch.nn.Module) -> bool:
    return any(vars(kind).get("__slots__") for kind in type(module).__mro__)


def _is_method_of(function: object, module: torch.nn.Module) -> bool:
    return isinstance(function, MethodType) and function.__self__ is module


def _copy(value: Any, copies: dict[int, torch.nn.Module], containers: dict[int, Any]) -> Any:
    """An attribute for a module's copy. Modules and methods of the tree become those of the copy.

    Plain containers are copied once each, so that our passes do not write into the user's. All else is shared.
    """
    if isinstance(value, MethodType):
        owner = copies.get(id(value.__self__))
        return value if owner is None else MethodType(value.__func__, owner)
    if isinstance(value, torch.nn.Module):
        return copies.get(id(value), value)
    if type(value) not in (dict, OrderedDict, list, set):
        return value
    if id(value) not in containers:
        new = containers[id(value)] = type(value)()
        if isinstance(value, dict):
            new.update((key, _copy(item, copies, containers)) for key, item in value.items())
        elif isinstance(value, list):
            new.extend(_copy(item, copies, containers) for item in value)
        else:
            new.update(value)
    return containers[id(value)]

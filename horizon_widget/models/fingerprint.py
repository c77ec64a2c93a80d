"""Notice changes to a model without running it: a fingerprint of what its forward pass reads."""

from __future__ import annotations

from types import MethodType, ModuleType
from typing import Any

import torch
from torch.nn.modules import module as torch_module

from horizon_widget.models.shadow import NOT_COPIED, own_forward

Fingerprint = dict[str, tuple[Any, ...]]  # what was read of each module, by its path

_PLAIN = (type(None), bool, int, str, bytes, torch.dtype, torch.device, torch.Size)
_TORCHS_OWN = frozenset(vars(torch.nn.Module())) - {"training"} | {*NOT_COPIED}
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")
_LONGEST, _DEEPEST = 10_000, 20  # limits of the containers that are read
_IDENTITY_ONLY = ("torch", "nnsight", "accelerate")  # objects of these packages change while a model runs


def fingerprint(module: torch.nn.Module) -> Fingerprint:
    """The fingerprint of a model now. It differs from an earlier one if a forward pass reads something else.

    It covers modules, hooks, ``forward`` methods, attributes (in plain containers and objects too), and parameters that
    were replaced or changed in place. It does not cover writes through ``parameter.data``, nor what a hook or a
    function keeps to itself.
    """
    values = _Values()
    found: Fingerprint = {
        path: (
            _Same(type(part)),
            _Same(type(part).forward),
            values.of(own_forward(part)),
            tuple(tuple(map(_Same, list(getattr(part, name).values()))) for name in _HOOKS),
            tuple((name, values.of(tensor)) for name, tensor in [*part._parameters.items(), *part._buffers.items()]),
            tuple((name, values.of(value)) for name, value in list(part.__dict__.items()) if name not in _TORCHS_OWN),
        )
        for path, part in module.named_modules(remove_duplicate=False)
    }
    found["torch"] = (tuple(map(_Same, global_hooks())),)
    return found


def global_hooks() -> list[Any]:
    """Hooks that torch calls for every module."""
    return [hook for name in _GLOBAL_HOOKS for hook in list(getattr(torch_module, name).values())]


def first_difference(one: Fingerprint, other: Fingerprint) -> str:
    """The path of the first module in which two fingerprints differ; empty for the whole model."""
    return next((path for path in {**other, **one} if one.get(path) != other.get(path)), "")


class _Same:
    """Compares an object by identity. Keeps the object, so that no new one gets its ``id``."""

    __slots__ = ("of",)

    def __init__(self, of: Any) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.of is self.of

    def __hash__(self) -> int:
        return id(self.of)


class _Values:
    """Turns attributes into values that can be compared. Reads each object once.

    Keeps the objects that it has read, so that no new one gets the same ``id``.
    """

    def __init__(self) -> None:
        self._read: dict[int, tuple[object, Any]] = {}
        self._depth = 0

    def of(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return kind, value
        if kind in (float, complex):
            return repr(value)  # as text, NaN equals itself
        if isinstance(value, torch.Tensor):
            return _tensor(value)
        if isinstance(value, MethodType):
            return _Same(value.__self__), _Same(value.__func__)
        if id(value) not in self._read:
            self._read[id(value)] = value, _Same(value)  # for an object that contains itself
            self._depth += 1
            self._read[id(value)] = value, _Same(value) if self._depth > _DEEPEST else self._of_object(value)
            self._depth -= 1
        return self._read[id(value)][1]

    def _of_object(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, (dict, list, tuple, set, frozenset)):
            if len(value) > _LONGEST:
                return _Same(value), len(value)
            if isinstance(value, dict):
                return kind, tuple((self.of(key), self.of(item)) for key, item in list(value.items()))
            read = map(self.of, list(value))  # copied at once, since another thread may change it
            return kind, frozenset(read) if isinstance(value, (set, frozenset)) else tuple(read)
        opaque = callable(value) or isinstance(value, (torch.nn.Module, ModuleType))
        if opaque or not hasattr(value, "__dict__") or kind.__module__.partition(".")[0] in _IDENTITY_ONLY:
            return _Same(value)
        return _Same(value), tuple((name, self.of(item)) for name, item in list(vars(value).items()))


def _tensor(value: torch.Tensor) -> Any:
    try:
        return value.data_ptr(), value._version, value.shape, value.dtype, value.device
    except RuntimeError:  # the tensor has no storage of its own, or was made in inference mode
        return _Same(value)

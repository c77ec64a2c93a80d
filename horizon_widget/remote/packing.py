"""Plain values for the way to a host and back, so that neither side needs the other's classes or versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch

KIND = "of"  # the entry of a packed dataclass that has its name


def pack(value: Any) -> Any:
    """Turn dataclasses into dictionaries and arrays into tensors; leave other values as they are."""
    if is_dataclass(value) and not isinstance(value, type):
        packed = {field.name: pack(getattr(value, field.name)) for field in fields(value)}
        return {KIND: type(value).__name__, **packed}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: pack(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(pack(item) for item in value)
    return value


def unpack(packed: Any, kinds: Iterable[type]) -> Any:
    """Reverse ``pack``.

    Args:
        packed: From ``pack``, of this version of the package.
        kinds: The dataclasses that may be in it.

    Raises:
        ValueError: if another is in it.
    """
    by_name = {kind.__name__: kind for kind in kinds}

    def one(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.numpy()
        if isinstance(value, (list, tuple)):
            return type(value)(one(item) for item in value)
        if not isinstance(value, dict):
            return value
        items = {key: one(item) for key, item in value.items() if key != KIND}
        if KIND not in value:
            return items
        if value[KIND] not in by_name:
            raise ValueError(f"{value[KIND]!r} is not expected here")
        return by_name[value[KIND]](**items)

    return one(packed)

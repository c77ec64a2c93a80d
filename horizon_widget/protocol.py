"""Messages between kernel and browser. The same description stands in ``js/src/protocol.ts``; see ARCHITECTURE.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PROTOCOL_VERSION = 1

LITTLE_ENDIAN_FLOAT32 = np.dtype("<f4")
Message = tuple[dict[str, Any], list[memoryview]]


class ProtocolError(ValueError):
    """A message that does not fit the description."""


@dataclass(frozen=True)
class Hello:
    """A view opened: send all there is."""


@dataclass(frozen=True)
class Cancel:
    """Compute nothing more."""


@dataclass(frozen=True)
class Resume:
    """Go on."""


def read(content: object) -> Hello | Cancel | Resume:
    """Check a message from the browser.

    Raises:
        ProtocolError: saying what does not fit.
    """
    if not isinstance(content, dict):
        raise ProtocolError(f"a message must be an object, not {type(content).__name__}")
    kind = content.get("type")
    if kind == "hello":
        version = content.get("protocol_version")
        if version != PROTOCOL_VERSION or isinstance(version, bool):
            raise ProtocolError(f"protocol_version {version!r} is not {PROTOCOL_VERSION}: reload the page")
        return Hello()
    if kind == "cancel":
        return Cancel()
    if kind == "resume":
        return Resume()
    raise ProtocolError(f"unknown type {str(kind)[:40]!r}")


def welcome(map_id: int) -> Message:
    """The answer to ``hello``, before the values."""
    return {"type": "welcome", "protocol_version": PROTOCOL_VERSION, "map_id": map_id}, []


def rejected(reason: str) -> Message:
    """The answer to a message that could not be read."""
    return {"type": "rejected", "reason": reason}, []


def values(
    map_id: int,
    layer: int,
    sources: Sequence[int],
    influence: npt.NDArray[np.floating],
    statistics: npt.NDArray[np.floating],
) -> Message:
    """Finished rows.

    Args:
        map_id: The map they belong to.
        layer: Their layer.
        sources: Their positions.
        influence: Shape ``(len(sources), n_targets)``.
        statistics: Shape ``(n_statistics, len(sources))``; NaN where there is no value.
    """
    content = {
        "type": "values",
        "map_id": map_id,
        "layer": layer,
        "sources": [int(source) for source in sources],
        "n_targets": int(influence.shape[1]),
    }
    return content, [_buffer(influence), _buffer(statistics)]


def _buffer(array: npt.NDArray[np.floating]) -> memoryview:
    return np.ascontiguousarray(array, dtype=LITTLE_ENDIAN_FLOAT32).data.cast("B")

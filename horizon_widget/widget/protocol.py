"""Messages between kernel and browser. The same description stands in ``js/src/kernel``; see ARCHITECTURE.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from horizon_widget.errors import sendable

PROTOCOL_VERSION = 2

ASPECTS = ("predictions", "direct", "baseline_sensitivity", "carriers", "verification")

LONGEST_TEXT = 1_000_000
LONGEST_LIST = 10_000
MOST_WRITTEN = 1_000
GREATEST = 2**53 - 1  # the browser's numbers are exact up to here

LITTLE_ENDIAN_FLOAT32 = np.dtype("<f4")
Message = tuple[dict[str, Any], list[memoryview]]
T = TypeVar("T")


class ProtocolError(ValueError):
    """A message that does not fit the description."""


# -- to the kernel -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """A view opened: send all there is."""


@dataclass(frozen=True)
class Ping:
    """Is the kernel there?"""

    number: int


@dataclass(frozen=True)
class Cancel:
    """Compute nothing more."""


@dataclass(frozen=True)
class Resume:
    """Go on."""


@dataclass(frozen=True)
class Open:
    """Open another map.

    Attributes:
        prompt: The text.
        metric: A name, and the tokens it names.
        baseline: A kind, and the prompt of ``"counterfactual"``; ``None``: as it is.
        layers: Those computed in idle time; ``None``: all.
        n_tokens: How many the model shall write on when it is open; 0: none.
    """

    prompt: str
    metric: tuple[str, ...]
    baseline: tuple[str, ...] | None
    layers: tuple[int, ...] | None
    n_tokens: int


@dataclass(frozen=True)
class WriteOn:
    """Let the model write on, so many tokens at most."""

    n_tokens: int


@dataclass(frozen=True)
class Inspect:
    """Find out more about one cell; ``aspects`` are some of ``ASPECTS``."""

    layer: int
    source: int
    target: int
    aspects: tuple[str, ...]


FromBrowser = Hello | Ping | Cancel | Resume | Open | WriteOn | Inspect


def read(content: object) -> FromBrowser:
    """Check a message from the browser.

    Raises:
        ProtocolError: saying what does not fit.
    """
    if not isinstance(content, dict):
        raise ProtocolError(f"a message should be an object, not {type(content).__name__}")
    kind = content.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise ProtocolError(f"there is no message of type {_show(kind)}")
    return reader(content)


def _read_hello(content: Mapping[str, Any]) -> Hello:
    version = content.get("protocol_version")
    if version != PROTOCOL_VERSION or isinstance(version, (bool, float)):
        raise ProtocolError(f"protocol_version {_show(version)} is not {PROTOCOL_VERSION}: reload the page")
    return Hello()


def _read_open(content: Mapping[str, Any]) -> Open:
    return Open(
        prompt=_text("prompt", content.get("prompt")),
        metric=_some("metric", content.get("metric"), _text),
        baseline=_optional("baseline", content.get("baseline"), _texts),
        layers=_optional("layers", content.get("layers"), _counts),
        n_tokens=_count("n_tokens", content.get("n_tokens"), most=MOST_WRITTEN),
    )


def _read_inspect(content: Mapping[str, Any]) -> Inspect:
    layer, source, target = (_count(name, content.get(name)) for name in ("layer", "source", "target"))
    return Inspect(layer, source, target, _some("aspects", content.get("aspects"), _aspect))


_READERS: dict[str, Callable[[Mapping[str, Any]], FromBrowser]] = {
    "hello": _read_hello,
    "ping": lambda content: Ping(_count("number", content.get("number"))),
    "cancel": lambda content: Cancel(),
    "resume": lambda content: Resume(),
    "open": _read_open,
    "write_on": lambda content: WriteOn(_count("n_tokens", content.get("n_tokens"), least=1, most=MOST_WRITTEN)),
    "inspect": _read_inspect,
}


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ProtocolError(f"{name} should be text, got {_show(value)}")
    if len(value) > LONGEST_TEXT:
        raise ProtocolError(f"{name} should have at most {LONGEST_TEXT} characters, got {len(value)}")
    return value


def _count(name: str, value: object, *, least: int = 0, most: int = GREATEST) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProtocolError(f"{name} should be a whole number, got {_show(value)}")
    if not least <= value <= most:
        raise ProtocolError(f"{name} should be {least} to {most}, got {_show(value)}")
    return value


def _aspect(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in ASPECTS:
        raise ProtocolError(f"{name} should be one of {', '.join(ASPECTS)}, got {_show(value)}")
    return value


def _some(name: str, value: object, check: Callable[[str, object], T]) -> tuple[T, ...]:
    if not isinstance(value, list):
        raise ProtocolError(f"{name} should be a list, got {_show(value)}")
    if not 1 <= len(value) <= LONGEST_LIST:
        raise ProtocolError(f"{name} should have 1 to {LONGEST_LIST} entries, got {len(value)}")
    return tuple(check(f"{name}[{index}]", item) for index, item in enumerate(value))


def _texts(name: str, value: object) -> tuple[str, ...]:
    return _some(name, value, _text)


def _counts(name: str, value: object) -> tuple[int, ...]:
    return _some(name, value, _count)


def _optional(name: str, value: object, check: Callable[[str, object], T]) -> T | None:
    return None if value is None else check(name, value)


def _show(value: object) -> str:
    """A value in short; nothing of it is walked through that may be large or deep."""
    if value is None:
        return "nothing"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if isinstance(value, str):
        return repr(value[:40])
    return repr(value) if isinstance(value, (bool, int, float)) else f"a {type(value).__name__}"


# -- to the browser ----------------------------------------------------------------------------------------------------


def welcome(map_id: int) -> Message:
    """The answer to ``hello``, before the values."""
    return {"type": "welcome", "protocol_version": PROTOCOL_VERSION, "map_id": map_id}, []


def pong(number: int) -> Message:
    """The answer to ``ping``."""
    return {"type": "pong", "number": number}, []


def rejected(reason: str) -> Message:
    """The answer to a message that could not be read."""
    return {"type": "rejected", "reason": reason}, []


def failed(field: str | None, problem: Mapping[str, str]) -> Message:
    """Something that was asked for could not be done.

    Args:
        field: Which field or trait is wrong, if one is.
        problem: ``{title, advice, detail}``.
    """
    named = None if field is None else sendable(field)
    return {"type": "failed", "field": named, "problem": dict(problem)}, []


def finding(
    map_id: int, cell: tuple[int, int, int], aspect: str, found: Any, problem: Mapping[str, str] | None
) -> Message:
    """The answer to one aspect of ``inspect``.

    Args:
        map_id: The map that was asked about.
        cell: Layer, source and target.
        aspect: Which.
        found: What was found, as plain lists and dicts; ``None`` where it failed.
        problem: ``{title, advice, detail}`` where it failed.
    """
    layer, source, target = cell
    content = {"type": "finding", "map_id": map_id, "layer": layer, "source": source, "target": target}
    return content | {"aspect": aspect, "found": found, "problem": None if problem is None else dict(problem)}, []


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

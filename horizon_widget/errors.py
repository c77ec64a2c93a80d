"""Errors that say what is wrong and what the reader can do."""

from __future__ import annotations

import copyreg
import traceback
from typing import Any

ASK_AGAIN = "Finished values are of the model as it was. Resume begins a new map; in Python, ask again."
LONGEST_DETAIL = 100_000  # characters, from the end; a traceback of endless recursion is long


class Picklable(BaseException):
    """An exception that keeps its text and attributes in another process, whatever its constructor takes.

    Python would call the constructor with the text alone. If that fails, a ``multiprocessing.Pool`` waits for ever.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """For ``pickle`` and ``copy``: make the exception without its constructor, then set its attributes."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class HorizonError(Picklable, Exception):
    """Base of all errors raised by this package.

    Args:
        message: What is wrong, naming the argument or object concerned.
        advice: What the reader can do about it; may be empty.

    Attributes:
        detail: Details for a closer look, such as a traceback from another machine; may be empty.
        outdates_map: Whether the map cannot be continued and must be begun anew.
    """

    outdates_map = False

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(f"{message} {advice}".strip())
        self.message = message
        self.advice = advice
        self.detail = ""


class QueryError(HorizonError, ValueError):
    """A question that cannot be asked.

    Args:
        field: The name of the argument that is wrong, such as ``"prompt"``.
        message: What is wrong with it.
        advice: What to do instead.
    """

    def __init__(self, field: str, message: str, *, advice: str = "") -> None:
        super().__init__(f"{field}: {message}", advice=advice)
        self.field = field


class ModelError(HorizonError):
    """A model that cannot be loaded, or whose states cannot be reached."""


class OutdatedError(ModelError):
    """A model that has changed since a map of it was begun. The finished rows are of the model as it was."""

    outdates_map = True


class HostError(HorizonError):
    """A request that an NDIF host did not answer.

    Args:
        kind: The kind of fault, such as ``"unreachable"``; a key of ``remote.faults.KINDS``.
        message: What is wrong.
        advice: What to do about it.
        detail: What the host or a library reports, such as the traceback on the host. Never contains the API key.
        may_repeat: Whether the same request may be answered a little later.
    """

    def __init__(
        self, kind: str, message: str, *, advice: str = "", detail: str = "", may_repeat: bool = False
    ) -> None:
        super().__init__(message, advice=advice)
        self.kind = kind
        self.detail = detail
        self.may_repeat = may_repeat
        self.outdates_map = kind == "model changed"


class CancelledError(HorizonError):
    """A request that was cancelled because nobody waits for it."""

    def __init__(self) -> None:
        super().__init__("The request was cancelled.", advice="Its host may still be at work on it.")


class MapFileError(HorizonError):
    """A map file that cannot be written or read."""


def describe(error: BaseException) -> dict[str, str]:
    """An exception as the widget shows it: title and advice in plain words, and details to copy."""
    return {name: sendable(text) for name, text in _in_words(error).items()}


def sendable(text: str) -> str:
    """A text that can be sent: lone surrogates are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _in_words(error: BaseException) -> dict[str, str]:
    detail = getattr(error, "detail", "") or "".join(traceback.format_exception(error))
    detail = detail[-LONGEST_DETAIL:]
    if isinstance(error, HorizonError):
        return {"title": error.message, "advice": error.advice, "detail": detail}
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        advice = "Use a shorter prompt or a smaller model; computed values are kept."
        return {"title": "There is not enough memory.", "advice": advice, "detail": detail}
    title = f"The computation failed: {type(error).__name__}: {error}"
    return {"title": title[:400], "advice": "Computed values are kept; Resume tries again.", "detail": detail}

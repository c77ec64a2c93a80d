"""Errors that say what is wrong and what to do."""

from __future__ import annotations

import copyreg
import traceback
from typing import Any

ASK_AGAIN = "Finished values are of the model as it was. Resume begins a new map; in Python, ask again."
LONGEST_DETAIL = 100_000  # characters; a traceback of endless recursion is long, and its end says most


class Picklable(BaseException):
    """An exception that keeps its text and attributes in another process, whatever its constructor takes.

    Python would call the constructor with the text alone; where that fails, a ``multiprocessing.Pool`` waits for ever.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """For ``pickle`` and ``copy``: made without its constructor, then given its attributes."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class HorizonError(Picklable, Exception):
    """Base of all errors raised by this package.

    Args:
        message: What is wrong, naming the field or thing concerned.
        advice: What the reader can do about it; may be empty.

    Attributes:
        detail: What somebody who looks into it wants to see, such as a traceback from another machine; may be empty.
        outdates_map: Whether the map that was computed can only be begun anew.
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
    """A model that has changed since a map of it was begun; the finished rows are of the model as it was."""

    outdates_map = True


class HostError(HorizonError):
    """A request that an NDIF host did not answer.

    Args:
        kind: What kind of fault it is, such as ``"unreachable"``: a key of ``remote.faults.KINDS``.
        message: What is wrong.
        advice: What to do about it.
        detail: What the host or a library said of it, such as the traceback on the host. Without the API key.
        may_repeat: Whether the same request may well be answered a little later.
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
    """A request that nobody waits for any more."""

    def __init__(self) -> None:
        super().__init__("The request was cancelled.", advice="Its host may still be at work on it.")


class MapFileError(HorizonError):
    """A file that cannot be written, or is no map."""


def describe(error: BaseException) -> dict[str, str]:
    """An exception as the widget shows it: in plain words, with the details for copying."""
    return {name: sendable(text) for name, text in _in_words(error).items()}


def sendable(text: str) -> str:
    """A text with lone surrogates, which cannot be sent, spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _in_words(error: BaseException) -> dict[str, str]:
    detail = getattr(error, "detail", "") or "".join(traceback.format_exception(error))
    detail = detail[-LONGEST_DETAIL:]
    if isinstance(error, HorizonError):
        return {"title": error.message, "advice": error.advice, "detail": detail}
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        advice = "Use a shorter prompt or a smaller model; what is computed is kept."
        return {"title": "There is not enough memory.", "advice": advice, "detail": detail}
    title = f"The computation failed: {type(error).__name__}: {error}"
    return {"title": title[:400], "advice": "What is computed is kept; Resume tries again.", "detail": detail}

"""Errors that say what is wrong and what to do."""

from __future__ import annotations


class HorizonError(Exception):
    """Base of all errors raised by this package.

    Args:
        message: What is wrong, naming the field or thing concerned.
        advice: What the reader can do about it; may be empty.
    """

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(f"{message} {advice}".strip())
        self.message = message
        self.advice = advice


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


class MapFileError(HorizonError):
    """A file that cannot be written, or is no map."""

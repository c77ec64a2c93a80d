"""One thing that was looked at, and how it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from horizon_widget.errors import describe
from horizon_widget.remote.faults import LATER

OK = "ok"
DIFFERS = "differs"
MISSING = "not available"
UNKNOWN = "unknown"
WRONG = "wrong"
STATES = (OK, DIFFERS, MISSING, UNKNOWN, WRONG)
"""Of these only ``WRONG`` is an error: what is not available may not be needed."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        area: What it belongs to: ``"package"``, ``"devices"``, ``"cache"``, ``"host"`` or ``"model"``.
        name: What was looked at.
        state: One of ``STATES``.
        said: How it was found; may have several lines.
        advice: What to do about it; may be empty.
        values: The same for programs, plain values only.
    """

    area: str
    name: str
    state: str
    said: str
    advice: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def cleaned(self, clean: Callable[[str], str]) -> Finding:
        """With every text in it passed through ``clean``."""

        def through(value: Any) -> Any:
            if isinstance(value, str):
                return clean(value)
            if isinstance(value, dict):
                return {through(key): through(item) for key, item in value.items()}
            return [through(item) for item in value] if isinstance(value, (list, tuple)) else value

        return replace(self, said=clean(self.said), advice=clean(self.advice), values=through(self.values))


def of_error(area: str, name: str, error: BaseException, state: str = WRONG, **values: Any) -> Finding:
    """What is said of an error that was met while looking."""
    told = describe(error)
    advice = told["advice"].replace(LATER, "").strip()  # there is no map to go on with
    return Finding(area, name, state, told["title"], advice, {**values, "error": type(error).__name__})


def unless_it_fails(area: str, name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What ``look`` finds; an error in it that nobody foresaw is one more finding, and the rest is looked at."""
    try:
        yield from look()
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        advice = "This was not foreseen: please report it, with this whole output."
        yield Finding(area, name, WRONG, said, advice, {"error": type(error).__name__})

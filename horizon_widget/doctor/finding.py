"""One line of the report: what was checked, and the result."""

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
"""Only ``WRONG`` is an error: something that is not available may not be needed."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        area: ``"package"``, ``"devices"``, ``"cache"``, ``"host"`` or ``"model"``.
        name: What was checked.
        state: One of ``STATES``.
        said: The result in words; may have several lines.
        advice: What to do about it; may be empty.
        values: The result for programs, plain values only.
    """

    area: str
    name: str
    state: str
    said: str
    advice: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def cleaned(self, clean: Callable[[str], str]) -> Finding:
        """The same with ``clean`` applied to every text."""

        def through(value: Any) -> Any:
            if isinstance(value, str):
                return clean(value)
            if isinstance(value, dict):
                return {through(key): through(item) for key, item in value.items()}
            return [through(item) for item in value] if isinstance(value, (list, tuple)) else value

        return replace(self, said=clean(self.said), advice=clean(self.advice), values=through(self.values))


def of_error(area: str, name: str, error: BaseException, state: str = WRONG, **values: Any) -> Finding:
    """The finding about an error that a check raised."""
    told = describe(error)
    advice = told["advice"].replace(LATER, "").strip()  # there is no map to resume
    return Finding(area, name, state, told["title"], advice, {**values, "error": type(error).__name__})


def unless_it_fails(area: str, name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a check. An unexpected error in it is one more finding, so that the other checks still run."""
    try:
        yield from check()
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        advice = "This is unexpected: please report it, with the whole output."
        yield Finding(area, name, WRONG, said, advice, {"error": type(error).__name__})

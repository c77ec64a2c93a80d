"""Short names of what is computed, for progress bars and for the status of a widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from horizon_widget.question.tokens import Token

if TYPE_CHECKING:
    from horizon_widget.schedule.plan import Interest

LONGEST_TOKEN = 20  # characters


def row_of(source: int, tokens: Sequence[Token]) -> str:
    """A source's influence on all targets, such as ``"row of ' key'"``."""
    return f"row of {_quoted(tokens[source].text)}"


def column_of(target: int, tokens: Sequence[Token]) -> str:
    """The influence of all sources on a target, such as ``"column of ' key'"``."""
    return f"column of {_quoted(tokens[target].text) if target < len(tokens) else 'what follows the prompt'}"


def several(name: str, numbers: Sequence[int]) -> str:
    """Ascending numbers, such as ``"layer 3"`` or ``"layers 3 to 7"``."""
    first, last, n = numbers[0], numbers[-1], len(numbers)
    if n == 1:
        return f"{name} {first}"
    if n == 2:
        return f"{name}s {first} and {last}"
    return f"{name}s {first} to {last}" if last - first == n - 1 else f"{n} {name}s from {first} to {last}"


def only_line(interest: Interest, tokens: Sequence[Token]) -> str | None:
    """The row or column, if only one is asked for."""
    if interest.sources is not None and len(interest.sources) == 1:
        return row_of(interest.sources[0], tokens)
    if interest.targets is not None and len(interest.targets) == 1:
        return column_of(interest.targets[0], tokens)
    return None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= LONGEST_TOKEN else text[: LONGEST_TOKEN - 1] + "…")

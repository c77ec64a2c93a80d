"""The messages of a controller to its listener."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from horizon_widget.compute.findings import Cell


@dataclass(frozen=True)
class Status:
    """The state of a controller.

    Attributes:
        state: ``"computing"`` while something that the reader asked for is computed, else ``"ready"`` or ``"error"``.
        task: What is computed, in words.
        done: The finished share of the task, 0 to 1.
        seconds_left: An estimate; ``None`` before the first part.
        filling: What happens to the rest of the map in idle time: ``"idle"`` (nobody looks), ``"running"``,
            ``"waiting"`` (the user's own cells run), ``"behind"`` (a widget that was used later is filled first),
            ``"writing"`` (the model writes on, and then another map opens), ``"on request"`` (the host of a remote
            model is shared: not before ``resume``), ``"stopped"`` or ``"complete"``.
        error: ``{title, advice, detail}`` or ``None``.
        host: How far the request to a remote model's host is, in words; ``None`` without a request.
    """

    state: str
    task: str
    done: float
    seconds_left: float | None
    filling: str
    error: dict[str, str] | None = None
    host: str | None = None


class Listener(Protocol):
    """Hears of everything a controller does, on the model thread or on the thread that cancels."""

    def on_rows(self, layer: int, sources: tuple[int, ...]) -> None:
        """The map has new rows."""

    def on_status(self, status: Status) -> None:
        """The status has changed."""

    def on_finding(self, cell: Cell, aspect: str, found: Any, problem: dict[str, str] | None) -> None:
        """One aspect of a cell was looked into: ``found`` is that of ``jobs.Inspection``, or there is a problem."""

    def on_written(self, token_ids: tuple[int, ...]) -> None:
        """The model has written on: the tokens of the prompt and of the continuation."""

    def on_failed(self, field: str | None, problem: dict[str, str]) -> None:
        """A request other than for values failed."""

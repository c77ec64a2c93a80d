"""What a controller tells, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from horizon_widget.compute.findings import Cell


@dataclass(frozen=True)
class Status:
    """What the reader is told.

    Attributes:
        state: ``"computing"`` while something asked for is under way, else ``"ready"`` or ``"error"``.
        task: In words, what is computed.
        done: Share of the task that is done, 0 to 1.
        seconds_left: Estimate, or ``None`` where nothing is known yet.
        filling: What happens to the rest of the map in idle time: ``"idle"`` (nobody looks), ``"running"``,
            ``"waiting"`` (the user's own cells run), ``"behind"`` (another widget, used later, is filled first),
            ``"writing"`` (the model writes on; then another map is opened), ``"on request"`` (a remote model's host is
            shared: not before ``resume``), ``"stopped"`` or ``"complete"``.
        error: ``{title, advice, detail}`` or ``None``.
        host: In words, where the request to the host of a remote model is; ``None``: none is under way.
    """

    state: str
    task: str
    done: float
    seconds_left: float | None
    filling: str
    error: dict[str, str] | None = None
    host: str | None = None


class Listener(Protocol):
    """Told of everything the controller does; called on the model thread, or by who cancels."""

    def on_rows(self, layer: int, sources: tuple[int, ...]) -> None:
        """Rows are new in the map."""

    def on_status(self, status: Status) -> None:
        """What is being done has changed."""

    def on_finding(self, cell: Cell, aspect: str, found: Any, problem: dict[str, str] | None) -> None:
        """One aspect of a cell was looked into; ``found`` as ``attribution.cell.Inspection`` has it, or a problem."""

    def on_written(self, token_ids: tuple[int, ...]) -> None:
        """The model has written on: the prompt and what follows."""

    def on_failed(self, field: str | None, problem: dict[str, str]) -> None:
        """Something that was asked for, other than values, could not be done."""

"""One map of a widget: its question, its controller, and its messages to the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from horizon_widget.compute.findings import Cell
from horizon_widget.models.model import Model
from horizon_widget.result import page
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.schedule.controller import Controller
from horizon_widget.schedule.listener import Status
from horizon_widget.widget import protocol, trait_lock
from horizon_widget.widget.asked import Asked

if TYPE_CHECKING:
    from horizon_widget.widget.opening import OpeningWidget


class Session:
    """A map that a widget shows, or is about to show. It is asked for, then built, then shown.

    Its controller tells it what is new (it is the controller's ``Listener``); the page hears of that while it is shown.

    Args:
        widget: The widget that shows it.
        asked: Its question, as the user wrote it.
        publish: Sends some of ``state.MapTraits`` to the page.
        n_tokens: Number of tokens to write as soon as it is shown.

    Attributes:
        cancelled: The reader has stopped it before it is shown.
        map_id: For the page; 0 before it is shown.
        controller: The controller that computes it, once it is built; starts when it is shown.
        described: The traits that say what it is, once it is built.
    """

    controller: Controller
    described: dict[str, Any]

    def __init__(
        self, widget: OpeningWidget, asked: Asked, publish: Callable[[Mapping[str, Any]], None], n_tokens: int = 0
    ) -> None:
        self._widget = widget
        self.asked = asked
        self.publish = publish
        self.n_tokens = n_tokens
        self.cancelled = False
        self.map_id = 0

    def build(self, model: Model, layer: int) -> Session:
        """Make all that is needed to show it; may wait for the model thread.

        Raises:
            HorizonError: if that is impossible.
        """
        asked = self.asked
        self.controller = Controller(model, asked.query, layer=layer, layers=asked.layers, listener=self)
        self.described = page.describe(self.map) | {
            "asked": asked.describe(model, self.map),
            "written_from": asked.written_from,
            "not_offered": self.controller.not_offered,
        }
        return self

    @property
    def map(self) -> HorizonMap:
        """The map, being filled."""
        return self.controller.map

    @property
    def is_shown(self) -> bool:
        """Whether it is on the screen."""
        return self in self._widget._sessions.values()

    def inspect(self, cell: Cell, aspects: Sequence[str]) -> None:
        """Look into a cell. Aspects that the model's host refuses are answered at once, with the reason."""
        reasons = self.controller.not_offered
        self.controller.inspect(cell, [aspect for aspect in aspects if aspect not in reasons])
        for aspect in aspects:
            if aspect in reasons:
                self.on_finding(cell, aspect, None, {"title": reasons[aspect], "advice": "", "detail": ""})

    # -- to the page; see ``Listener`` -----------------------------------------------------------------------------

    def send_all_rows(self) -> None:
        """Send the rows computed so far."""
        for rows in page.all_rows(self.map):
            self._widget._post(protocol.values(self.map_id, *rows))

    def on_rows(self, layer: int, sources: tuple[int, ...]) -> None:
        """See ``Listener``."""
        self._tell(lambda: self._widget._post(protocol.values(self.map_id, *page.rows(self.map, layer, sources))))

    def on_status(self, status: Status) -> None:
        """See ``Listener``."""
        news = page.describe_progress(self.map) | {
            "not_offered": self.controller.not_offered,  # known once the host has been asked
            "error": status.error,
            "progress": _progress(status),
            "state": status.state,
        }

        self._tell(lambda: self.publish(news), key=(self, "status"))

    def on_finding(self, cell: Cell, aspect: str, found: Any, problem: dict[str, str] | None) -> None:
        """See ``Listener``."""
        place = (cell.layer, cell.source, cell.target)
        self._tell(lambda: self._widget._post(protocol.finding(self.map_id, place, aspect, found, problem)))

    def on_written(self, token_ids: tuple[int, ...]) -> None:
        """See ``Listener``: a map of the prompt and what was written is opened."""
        if self.is_shown:
            self._widget._attempt(lambda: self._go_on_with(self._widget._written(self.asked, token_ids)))

    def _go_on_with(self, new: Session) -> None:
        # A cancellation while the model wrote stays in force.
        self._tell(lambda: self._widget._show(new, continues=True, stopped=self.controller.stopped))

    def on_failed(self, field: str | None, problem: dict[str, str]) -> None:
        """See ``Listener``."""
        self._tell(lambda: self._widget._post(protocol.failed(field, problem)))

    def _tell(self, act: Callable[[], None], *, key: object = None) -> None:
        def tell() -> None:
            if self.is_shown:
                self._widget._attempt(act)

        trait_lock.when_free(tell, key=key)


def _progress(status: Status) -> dict[str, Any]:
    seconds = status.seconds_left
    return {
        "task": status.task,
        "done": round(status.done, 4),
        "seconds_left": None if seconds is None else round(seconds, 1),
        "filling": status.filling,
        "host": status.host,
    }

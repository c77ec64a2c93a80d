"""What a widget's map is asked with, and how another one is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import traitlets

from horizon_widget.compute.findings import Cell
from horizon_widget.errors import QueryError, describe
from horizon_widget.models import thread
from horizon_widget.models.model import Model
from horizon_widget.question.tokens import n_shared
from horizon_widget.result import page
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.schedule.controller import Controller
from horizon_widget.schedule.listener import Status
from horizon_widget.schedule.state import LookedAt
from horizon_widget.widget import protocol, turns
from horizon_widget.widget.asking import Question, change_question, describe_asked, read_question, to_be_written_on
from horizon_widget.widget.traits import Checked, WidgetTraits, check_wanted_layers

QUESTION = ("prompt", "metric", "baseline", "layers")
POSITIONS = ("selected_source", "selected_target", "selected_offset")


@dataclass(frozen=True)
class Opened:
    """A map that a widget shows, or is about to show.

    Attributes:
        question: What it is of.
        controller: What computes it; begins when it is shown.
        listener: What passes its news on.
        shown: The traits that say what it is.
    """

    question: Question
    controller: Controller
    listener: _Listener
    shown: dict[str, Any]


@dataclass
class _Wish:
    """What the browser asked for last, from its message until it is on the screen; changed by whose turn it is."""

    question: Question
    n_tokens: int = 0  # to be written when it is open
    cancelled: bool = False


class Asked(Checked):
    """A trait of the question. To set it is to ask: it changes when the new map is open, or an error is raised."""

    def __init__(self, default: Any, *, help: str) -> None:  # noqa: A002
        super().__init__(lambda _widget, _name, value: value, default, help=help)

    def set(self, obj: Any, value: Any) -> None:
        """Called by traitlets, whoever sets it."""
        if value is not getattr(obj, self.name or ""):
            obj._ask(**{self.name or "": value})

    def show(self, obj: Any, value: Any) -> None:
        """Set it to what has been asked."""
        super().set(obj, value)


class AskingWidget(WidgetTraits):
    """The traits that say what is asked, and the map that they open.

    Args:
        model: Whose states are asked about.
        prompt, metric, baseline, site, head, seed, draws: As for ``attribute``.
        layers: Which are computed in idle time; ``None`` for all.
        **traits: For ipywidgets.

    Raises:
        QueryError: if one cannot be used.
    """

    prompt = Asked("", help="The text; setting it, to a text, token ids or messages, opens a new map.").tag(sync=True)
    metric = Asked("logprob", help="As for attribute; setting it opens a new map.")
    baseline = Asked("auto", help="As for attribute; setting it opens a new map.")
    layers = Asked(None, help="The layers computed in idle time, None for all; setting it opens a new map.").tag(
        sync=True
    )

    # These are changed by whose turn it is (``turns``), and may be read by any thread.
    _opened: Opened | None = None
    _wish: _Wish | None = None
    _n_opened = 0
    _closed = False
    _viewed = False  # somebody looks at it
    _cells_running = False

    def __init__(
        self,
        model: Model,
        prompt: Any,
        *,
        metric: Any,
        baseline: Any,
        layers: Any,
        site: str,
        head: int | None,
        seed: int,
        draws: int,
        **traits: Any,
    ) -> None:
        self._model = model
        self._fixed: dict[str, Any] = {"site": site, "head": head, "seed": seed, "draws": draws}
        question = read_question(model, prompt, metric=metric, baseline=baseline, layers=None, **self._fixed)
        try:
            super().__init__(**traits)
            self.set_trait("model_name", model.name)
            self.set_trait("n_layers", model.n_layers)
            self.set_trait("offered", page.describe_offer())
            self.selected_layer = model.n_layers // 2
            wanted = check_wanted_layers(self, "layers", layers)
            first = self._build(replace(question, layers=wanted))
            with turns.held():
                self._show(first)
        except BaseException:
            self.close()  # ipywidgets would keep what nobody has
            raise

    # -- the question ------------------------------------------------------------------------------------------

    @property
    def _now(self) -> Opened:
        assert self._opened is not None
        return self._opened

    @property
    def _running(self) -> Controller:
        return self._now.controller

    def _question_with(self, old: Question, **changes: Any) -> Question:
        """A question with some of ``QUESTION`` changed.

        Raises:
            QueryError: if one cannot be used.
        """
        layers = check_wanted_layers(self, "layers", changes.get("layers", old.layers))
        return change_question(self._model, old, changes, layers=layers, **self._fixed)

    def _ask(self, **changed: Any) -> None:
        """Open the map of the question with one of ``QUESTION`` changed, or anew; called in a cell or an observer.

        Raises:
            HorizonError: if it cannot be opened; the old map stays.
        """
        for name, value in changed.items():
            if isinstance(value, str) and value == getattr(self, name):
                return  # a prompt's text also where it was given as tokens
        while True:
            with turns.held():
                before, older = self._now, self._wish
            question = self._question_with(before.question, **changed)
            if "layers" in changed and question.layers == before.question.layers:
                return
            new = self._build(question)
            with turns.held():
                if self._opened is not before:  # another map was opened meanwhile
                    continue
                if self._wish is older:
                    self._wish = None  # what the browser asked after this one began is newer, and comes
                self._show(new)
                return

    # -- a new map ---------------------------------------------------------------------------------------------

    def _build(self, question: Question) -> Opened:
        """All that a map needs to be shown; may wait for the model thread.

        Raises:
            HorizonError: if it cannot be opened.
        """
        listener = _Listener(self)
        controller = Controller(
            self._model, question.query, layer=self.selected_layer, layers=question.layers, listener=listener
        )
        listener.map = hmap = controller.map
        shown = page.describe(hmap) | {
            "asked": describe_asked(self._model, question),
            "written_from": question.written_from,
            "not_offered": controller.not_offered,
        }
        return Opened(question, controller, listener, shown)

    def _show(self, new: Opened, *, goes_on: bool = False, stopped: Mapping[str, bool] = {}) -> None:
        """Put a map in the place of the one on the screen; for whose turn it is, and quick.

        Args:
            new: From ``_build``.
            goes_on: Whether its prompt goes on with the old one's: then the selection stays.
            stopped: As for ``Controller.start``.
        """
        old, self._opened = self._opened, new
        self._n_opened += 1
        new.listener.map_id = self._n_opened
        before = () if old is None else old.question.query.token_ids
        after = new.question.query.token_ids
        shared = n_shared(before, after) if goes_on or before == after else 0
        if old is not None:
            old.controller.close()
        # Observers are told when all is set, so that one of them may open yet another map.
        with self._quietly(), self.hold_sync(), self.hold_trait_notifications():
            self.set_trait("map_id", new.listener.map_id)
            for name, value in new.shown.items():
                self.set_trait(name, value)
            for name in QUESTION:
                self.traits()[name].show(self, getattr(new.question, name))
            self._clear_selection(len(after) + 1 if shared == len(before) else shared)
            if self._closed:
                new.controller.close()
            new.controller.start(self._looked_at(), viewed=self._viewed, cells_running=self._cells_running, **stopped)

    def _clear_selection(self, n_kept: int) -> None:
        """Keep of it what fits and lies in the first so many positions."""
        for name in POSITIONS:
            last = len(self.tokens) - 1 if name == "selected_source" else self.n_targets
            value = getattr(self, name)
            if value is not None and value > min(last, n_kept - 1):
                self.set_trait(name, None)
        self.pinned_sources = [source for source in self.pinned_sources if source < n_kept]

    # -- asked by the browser ----------------------------------------------------------------------------------

    def _open_soon(self, question: Question, n_tokens: int) -> None:
        """Open a map without waiting for the model thread, which may have a part under way; for whose turn it is.

        An older wish that is not fulfilled yet is given up, with what was to be written then.

        Raises:
            QueryError: if the model is to write on, and cannot.
        """
        if n_tokens:
            self._check_may_grow(question)
        self._wish = wish = _Wish(question, n_tokens)
        thread.submit(partial(self._prepare, wish))

    def _prepare(self, wish: _Wish) -> None:
        """On the model thread."""
        if self._wish is not wish:
            return
        try:
            new = self._build(wish.question)
        except Exception as error:
            turns.when_free(partial(self._give_up, wish, error))
        else:
            turns.when_free(partial(self._attempt, partial(self._fulfil, wish, new)))

    def _fulfil(self, wish: _Wish, new: Opened) -> None:
        if self._wish is not wish:
            return
        self._wish = None
        self._show(new, stopped={"cancelled": wish.cancelled, "stopped": wish.cancelled})
        if wish.n_tokens:
            self._running.write_on(wish.n_tokens, to_be_written_on(self._model, wish.question))

    def _give_up(self, wish: _Wish, error: Exception) -> None:
        if self._wish is wish:
            self._wish = None
            self._post(protocol.failed(getattr(error, "field", None), describe(error)))

    def _write_soon(self, n_tokens: int) -> None:
        """Let the model go on with the prompt, or with the one that is about to be opened; for whose turn it is."""
        wish = self._wish
        question = self._now.question if wish is None else wish.question
        self._check_may_grow(question)
        if wish is None:
            self._running.write_on(n_tokens, to_be_written_on(self._model, question))
        else:
            wish.n_tokens = n_tokens

    def _check_may_grow(self, question: Question) -> None:
        if "write_on" in (reasons := self._running.not_offered):
            raise QueryError("n_tokens", reasons["write_on"])
        if question.query.baseline.kind == "counterfactual":
            raise QueryError(
                "baseline",
                "the counterfactual prompt is as long as this one, which would become longer.",
                advice="Choose another baseline first.",
            )

    def _build_written(self, old: Question, token_ids: Sequence[int]) -> Opened:
        """The map of a prompt and what the model wrote after it."""
        first = len(to_be_written_on(self._model, old)) if old.written_from is None else old.written_from
        return self._build(replace(self._question_with(old, prompt=list(token_ids)), written_from=first))

    # -- selection ---------------------------------------------------------------------------------------------

    @traitlets.observe("direction", "selected_layer", "selected_source", "selected_target")
    def _selection_changed(self, _change: Any) -> None:
        if self._opened is not None and self._running.looked_at != self._looked_at():
            now = self._looked_at()
            self._running.look_at(now.layer, now.source, target=now.target)

    def _looked_at(self) -> LookedAt:
        if self.direction == "column":
            return LookedAt(self.selected_layer, target=self.selected_target)
        return LookedAt(self.selected_layer, self.selected_source)

    # -- to the browser ----------------------------------------------------------------------------------------

    def _send_rows(self, map_id: int, hmap: HorizonMap, layer: int, sources: Sequence[int]) -> None:
        influence = hmap.values.values[layer, list(sources)]
        self._post(protocol.values(map_id, layer, sources, influence, hmap.statistics_of(layer, sources)))


class _Listener:
    """Passes one controller's news on to the browser, until another map is opened."""

    map: HorizonMap
    map_id = 0  # before it is shown

    def __init__(self, widget: AskingWidget) -> None:
        self._widget = widget

    def on_rows(self, layer: int, sources: tuple[int, ...]) -> None:
        self._tell(lambda: self._widget._send_rows(self.map_id, self.map, layer, sources))

    def on_status(self, status: Status) -> None:
        news = page.describe_progress(self.map) | {
            "error": status.error,
            "progress": _progress(status),
            "state": status.state,
        }

        def publish() -> None:
            offered = {"not_offered": self._widget._running.not_offered}  # known once the host has been asked
            for name, value in (offered | news).items():
                self._widget._attempt(partial(self._widget.set_trait, name, value))

        self._tell(publish, key=(self, "status"))

    def on_finding(self, cell: Cell, aspect: str, found: Any, problem: dict[str, str] | None) -> None:
        place = (cell.layer, cell.source, cell.target)
        self._tell(lambda: self._widget._post(protocol.finding(self.map_id, place, aspect, found, problem)))

    def on_written(self, token_ids: tuple[int, ...]) -> None:
        old = self._widget._now
        if old.listener is not self:
            return
        self._widget._attempt(lambda: self._open_written(self._widget._build_written(old.question, token_ids)))

    def _open_written(self, new: Opened) -> None:
        # What was cancelled while it was written stays so.
        self._tell(lambda: self._widget._show(new, goes_on=True, stopped=self._widget._running.stopped))

    def on_failed(self, field: str | None, problem: dict[str, str]) -> None:
        self._tell(lambda: self._widget._post(protocol.failed(field, problem)))

    def _tell(self, act: Callable[[], None], *, key: object = None) -> None:
        def tell() -> None:
            now = self._widget._opened
            if now is not None and now.listener is self:
                self._widget._attempt(act)

        turns.when_free(tell, key=key)


def _progress(status: Status) -> dict[str, Any]:
    seconds = status.seconds_left
    return {
        "task": status.task,
        "done": round(status.done, 4),
        "seconds_left": None if seconds is None else round(seconds, 1),
        "filling": status.filling,
        "host": status.host,
    }

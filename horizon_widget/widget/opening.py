"""The traits that say what is asked, and how a map is opened when they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import traitlets

from horizon_widget.errors import describe
from horizon_widget.models import thread
from horizon_widget.models.model import Model
from horizon_widget.question.tokens import n_shared
from horizon_widget.schedule.controller import Controller
from horizon_widget.schedule.state import LookedAt
from horizon_widget.widget import protocol, trait_lock
from horizon_widget.widget.asked import Asked
from horizon_widget.widget.session import Session
from horizon_widget.widget.traits import Checked, WidgetTraits, check_wanted_layers

ASKED = ("prompt", "metric", "baseline", "layers")
POSITIONS = ("selected_source", "selected_target", "selected_offset")


class AskedTrait(Checked):
    """One of ``ASKED``. Setting it opens a map: it changes when the map is open, or an error is raised."""

    def __init__(self, default: Any, *, help: str) -> None:  # noqa: A002
        super().__init__(lambda _widget, _name, value: value, default, help=help)

    def set(self, obj: Any, value: Any) -> None:
        """Called by traitlets, whoever sets it."""
        if value is not getattr(obj, self.name or ""):
            obj._ask(**{self.name or "": value})

    def show(self, obj: Any, value: Any) -> None:
        """Set it to the value of the shown map."""
        super().set(obj, value)


class OpeningWidget(WidgetTraits):
    """The traits that say what is asked, and the map that they open.

    Args:
        model: The model whose states are asked about.
        prompt, metric, baseline, site, head, seed, draws: As for ``attribute``.
        layers: The layers computed in idle time; ``None`` for all.
        **traits: For ipywidgets.

    Raises:
        QueryError: if one cannot be used.
    """

    prompt = AskedTrait("", help="The text; setting it, to a text, token ids or messages, opens a new map.").tag(
        sync=True
    )
    metric = AskedTrait("logprob", help="As for attribute; setting it opens a new map.")
    baseline = AskedTrait("auto", help="As for attribute; setting it opens a new map.")
    layers = AskedTrait(None, help="The layers computed in idle time, None for all; setting it opens a new map.").tag(
        sync=True
    )

    # These change only while the trait lock is held, and may be read by any thread.
    _sessions: Mapping[str, Session] = {}  # the maps on the screen, by name; replaced and never changed
    _next: Session | None = None  # the page's last request, until it is on the screen
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
        asked = Asked.read(model, prompt, metric=metric, baseline=baseline, layers=None, **self._fixed)
        try:
            super().__init__(**traits)
            self.set_trait("n_layers", model.n_layers)
            self.selected_layer = model.n_layers // 2
            first = self._build(replace(asked, layers=check_wanted_layers(self, layers)))
            with trait_lock.held():
                self._show(first)
        except BaseException:
            self.close()  # ipywidgets would keep it
            raise

    @property
    def _shown(self) -> Session:
        return self._sessions["main"]

    @property
    def _running(self) -> Controller:
        return self._shown.controller

    # -- asked in Python -------------------------------------------------------------------------------------------

    def _asked_with(self, old: Asked, **changes: Any) -> Asked:
        """The same with some of ``ASKED`` changed.

        Raises:
            QueryError: if one cannot be used.
        """
        layers = check_wanted_layers(self, changes.get("layers", old.layers))
        return old.changed(self._model, changes, layers=layers, **self._fixed)

    def _ask(self, **changed: Any) -> None:
        """Open the map with one of ``ASKED`` changed, or anew; called in a cell or an observer.

        Raises:
            HorizonError: if it cannot be opened; the old map stays.
        """
        for name, value in changed.items():
            if isinstance(value, str) and value == getattr(
                self, name
            ):  # a prompt's text also where it was given as tokens
                self._stay()
                return
        while True:
            with trait_lock.held():
                before, older = self._shown, self._next
            asked = self._asked_with(before.asked, **changed)
            if "layers" in changed and asked.layers == before.asked.layers:
                self._stay()
                return
            new = self._build(asked)
            with trait_lock.held():
                if self._shown is before:  # else another map was opened meanwhile
                    if self._next is older:
                        self._next = None  # a later request of the page is newer, and follows
                    self._show(new)
                    return

    def _stay(self) -> None:
        """The shown map is asked for again, so earlier requests of the page are dropped."""
        with trait_lock.held():
            self._next = None

    # -- a new map -------------------------------------------------------------------------------------------------

    def _build(self, asked: Asked) -> Session:
        return Session(self, asked, self._set_traits).build(self._model, self.selected_layer)

    def _written(self, old: Asked, token_ids: Sequence[int]) -> Session:
        """The map of a prompt and what the model wrote after it, built."""
        first = len(old.without_end(self._model)) if old.written_from is None else old.written_from
        return self._build(replace(self._asked_with(old, prompt=list(token_ids)), written_from=first))

    def _show(self, new: Session, *, continues: bool = False, stopped: Mapping[str, bool] | None = None) -> None:
        """Put a map in the place of the one on the screen; while the trait lock is held, and quick.

        Args:
            new: The new session, built.
            continues: Whether its prompt continues the old one, so that the selection stays.
            stopped: What the reader has stopped, as for ``Controller.start``.
        """
        old = self._sessions.get("main")
        self._sessions = {**self._sessions, "main": new}
        self._n_opened += 1
        new.map_id = self._n_opened
        before = () if old is None else old.asked.query.token_ids
        after = new.asked.query.token_ids
        shared = n_shared(before, after) if continues or before == after else 0
        if old is not None:
            old.controller.close()
        # Observers are told when all is set, so that one of them may open yet another map.
        with self._quietly(), self.hold_sync(), self.hold_trait_notifications():
            new.publish({"map_id": new.map_id, **new.described})
            for name in ASKED:
                self.traits()[name].show(self, getattr(new.asked, name))
            self._clear_selection(len(after) + 1 if shared == len(before) else shared)
            if self._closed:
                new.controller.close()
            new.controller.start(
                self._looked_at(), viewed=self._viewed, cells_running=self._cells_running, **(stopped or {})
            )

    def _set_traits(self, news: Mapping[str, Any]) -> None:
        for name, value in news.items():
            self._attempt(partial(self.set_trait, name, value))

    def _clear_selection(self, n_kept: int) -> None:
        """Keep the parts that fit and lie in the first so many positions."""
        for name in POSITIONS:
            last = len(self.tokens) - 1 if name == "selected_source" else self.n_targets
            value = getattr(self, name)
            if value is not None and value > min(last, n_kept - 1):
                self.set_trait(name, None)
        self.pinned_sources = [source for source in self.pinned_sources if source < n_kept]

    # -- asked by the page; while the trait lock is held -----------------------------------------------------------

    def _open_soon(self, asked: Asked, n_tokens: int = 0) -> None:
        """Open a map without waiting for the model thread, which may have a part under way.

        Earlier requests of the page that are not shown yet are dropped.

        Raises:
            QueryError: if the model is to write on, and cannot.
        """
        if n_tokens:
            asked.check_may_grow(self._running.not_offered)
        self._next = new = Session(self, asked, self._set_traits, n_tokens)
        thread.submit(partial(self._build_next, new))

    def _build_next(self, new: Session) -> None:
        """On the model thread."""
        if self._next is not new:
            return
        try:
            new.build(self._model, self.selected_layer)
        except Exception as error:
            trait_lock.when_free(partial(self._give_up, new, error))
        else:
            trait_lock.when_free(partial(self._attempt, partial(self._show_next, new)))

    def _show_next(self, new: Session) -> None:
        if self._next is not new:
            return
        self._next = None
        self._show(new, stopped={"cancelled": new.cancelled, "stopped": new.cancelled})
        if new.n_tokens and self._shown is new:  # an observer may have opened another map
            self._running.write_on(new.n_tokens, new.asked.without_end(self._model))

    def _give_up(self, new: Session, error: Exception) -> None:
        if self._next is new:
            self._next = None
            self._post(protocol.failed(getattr(error, "field", None), describe(error)))

    def _write_soon(self, n_tokens: int) -> None:
        """Let the model continue the prompt, or the one that is about to be shown."""
        session = self._next or self._shown
        session.asked.check_may_grow(self._running.not_offered)
        if session is self._next:
            session.n_tokens = n_tokens
        else:
            self._running.write_on(n_tokens, session.asked.without_end(self._model))

    # -- selection -------------------------------------------------------------------------------------------------

    @traitlets.observe("direction", "selected_layer", "selected_source", "selected_target")
    def _selection_changed(self, _change: Any) -> None:
        now = self._looked_at()
        for session in self._sessions.values():
            if session.controller.looked_at != now:
                session.controller.look_at(now.layer, now.source, target=now.target)

    def _looked_at(self) -> LookedAt:
        if self.direction == "column":
            return LookedAt(self.selected_layer, target=self.selected_target)
        return LookedAt(self.selected_layer, self.selected_source)

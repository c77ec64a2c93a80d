"""``HorizonWidget``: the methods that users call, the messages of the page, and the notebook's cells."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Any, NoReturn

from horizon_widget.compute.findings import Cell
from horizon_widget.errors import HorizonError, QueryError, describe
from horizon_widget.models.model import Model
from horizon_widget.question.tokens import text_of
from horizon_widget.result.horizon_map import HorizonMap
from horizon_widget.widget import protocol, trait_lock
from horizon_widget.widget.opening import OpeningWidget
from horizon_widget.widget.traits import CONTROLS

logger = logging.getLogger(__name__)

BUNDLE = Path(__file__).parents[1] / "static" / "widget.js"


class HorizonWidget(OpeningWidget):
    """A prompt as clickable tokens: click one to see which later predictions its state is used for.

    Synced traits say what is looked at, and both sides write them: ``selected_layer``, ``selected_source``,
    ``selected_target``, ``selected_offset``, ``pinned_sources``, ``direction``, ``statistic``, ``fixed_scale``,
    ``show_words``, ``show_arcs``, ``include_sinks``, ``profile_as_share``, ``least_offset``, ``find``. Set one and the
    picture follows; observe one to hear of clicks. ``prompt``, ``metric``, ``baseline`` and ``layers`` say what is
    asked: setting one opens a new map. A value that cannot be used raises ``QueryError``, and the old map stays. Each
    trait has a description: ``widget.traits()["fixed_scale"].help``.

    Args:
        model: From ``load_model``.
        prompt: A text of at least two tokens, token ids, or chat messages; the trait ``prompt`` then has the text.
        metric, baseline, site, head, seed, draws: As for ``attribute``.
        layers: The layers that are computed in idle time; all by default. A clicked token is computed at every layer.
        **traits: Values of the traits that say what is looked at.

    Raises:
        QueryError: if the prompt or another argument cannot be used; the message says why.
    """

    # anywidget watches the file of a widget that is made from a path. Only work on the front end needs that.
    _esm = BUNDLE if os.environ.get("ANYWIDGET_HMR") == "1" else BUNDLE.read_text(encoding="utf-8")

    def __init__(
        self,
        model: Model,
        prompt: Any,
        *,
        metric: Any = "logprob",
        baseline: Any = "auto",
        layers: Any = None,
        site: str = "residual",
        head: int | None = None,
        seed: int = 0,
        draws: int = 3,
        **traits: Any,
    ) -> None:
        self._has_own_layout = "layout" not in traits
        looked_at = {name: traits.pop(name) for name in [*CONTROLS] if name in traits}
        super().__init__(
            model,
            prompt,
            metric=metric,
            baseline=baseline,
            layers=layers,
            site=site,
            head=head,
            seed=seed,
            draws=draws,
            **traits,
        )
        try:
            for name, value in looked_at.items():
                setattr(self, name, value)
        except BaseException:
            self.close()
            raise
        self.on_msg(self._receive)
        self._watch_cells(register=True)

    # -- for the user ------------------------------------------------------------------------------------------

    @property
    def map(self) -> HorizonMap:
        """A copy of the map on the screen, as far as it is computed."""
        return self._running.map.snapshot()

    def wait(self, layers: str = "selected", *, timeout: float | None = None) -> HorizonMap:
        """Block until the picture is complete, or somebody cancels it.

        If another map is opened meanwhile, this waits for that one.

        Args:
            layers: ``"selected"``: the layer on the screen and the selected token at every layer; ``"all"``: all of
                ``layers``.
            timeout: In seconds.

        Returns:
            The map.

        Raises:
            TimeoutError: if it takes longer.
            HorizonError: if the computation failed; the message says why.
        """
        if layers not in ("selected", "all"):
            raise QueryError("layers", f"{layers!r} cannot be waited for.", advice='Use "selected" or "all".')
        ends = None if timeout is None else time.monotonic() + timeout
        while True:
            session = self._shown
            left = None if ends is None else max(0.0, ends - time.monotonic())
            try:
                status = session.controller.wait(whole_map=layers == "all", timeout=left)
            except TimeoutError:
                raise TimeoutError(f"The map is not ready after {timeout} seconds.") from None
            if session.controller is self._running:
                break
        if status.error is not None:
            raise HorizonError(status.error["title"], advice=status.error["advice"])
        return session.controller.map.snapshot()

    def write_on(self, n_tokens: Any = 20) -> str:
        """Let the model continue the prompt, and open the map of prompt and continuation.

        The most probable token is taken each time. An end-of-text token that the tokenizer has appended is left
        out: the model continues your own text. Metric, baseline and selection stay; ``written_from`` says where the
        model's own text begins. If another map is opened meanwhile, that one stays.

        Args:
            n_tokens: How many tokens at most, 1 to 1000; an end-of-text token ends it sooner.

        Returns:
            The text that it wrote.

        Raises:
            QueryError: if the prompt cannot become longer: it fills the model's context, or ends with an end-of-text
                token, or a counterfactual prompt of the same length belongs to it, or the model's host does not let it
                write.
        """
        if isinstance(n_tokens, bool) or not isinstance(n_tokens, int) or not 1 <= n_tokens <= protocol.MOST_WRITTEN:
            raise QueryError("n_tokens", f"{n_tokens!r} is not a whole number of 1 to {protocol.MOST_WRITTEN}.")
        with trait_lock.held():
            before, older = self._shown, self._next
        before.asked.check_may_grow(self._running.not_offered)
        prompt = before.asked.without_end(self._model)
        new = self._written(before.asked, (*prompt, *self._model.write_on(prompt, n_tokens)))
        with trait_lock.held():
            if self._shown is before and self._next is older:
                self._next = None
                self._show(new, continues=True)
        return text_of(new.map.tokens[len(prompt) :])

    def cancel(self) -> None:
        """Stop computing; computed values are kept."""
        with trait_lock.held():
            if self._next is not None:  # it is shown anyway, without computing
                self._next.cancelled, self._next.n_tokens = True, 0
            for session in self._sessions.values():
                session.controller.cancel()

    def resume(self) -> None:
        """Continue after ``cancel`` or an error; with a new map if the model has changed since this one was begun."""
        with trait_lock.held():
            outdated = self._next is None and self._running.is_outdated
            if not outdated:
                self._go_on()
        if outdated:
            self._ask()

    def _go_on(self) -> None:
        if self._next is not None:
            self._next.cancelled = False
        for session in self._sessions.values():
            session.controller.resume()

    def close(self) -> None:
        """Stop computing and remove the widget."""
        if self._closed:  # ipywidgets closes again, wherever Python happens to collect it
            return
        with trait_lock.held():
            self._closed = True
            self._next = None
            for session in self._sessions.values():
                session.controller.close()
        self._watch_cells(register=False)
        super().close()
        if self._has_own_layout:
            self.layout.close()  # a widget of its own, which ipywidgets would keep

    def __reduce__(self) -> NoReturn:
        raise HorizonError(
            "A widget cannot be copied or pickled: it belongs to its page and its model.",
            advice="Copy its map, widget.map, or make another widget: hw.HorizonWidget(model, …).",
        )

    def __copy__(self) -> NoReturn:
        self.__reduce__()

    def __deepcopy__(self, _memo: Any) -> NoReturn:
        self.__reduce__()

    def __repr__(self) -> str:
        return f"HorizonWidget({self.model_name!r}, {len(self.tokens)} tokens, layer {self.selected_layer})"

    # -- messages; any thread ----------------------------------------------------------------------------------

    def _receive(self, _widget: Any, content: object, _buffers: object) -> None:
        """Act on a message of the page. This never raises, since nobody would see it."""
        try:
            message = protocol.read(content)
            if isinstance(message, protocol.Ping):
                self._post(protocol.pong(message.number))  # without the lock
            else:
                with trait_lock.held():
                    self._answer(message)
        except protocol.ProtocolError as error:
            self._post(protocol.rejected(str(error)))
        except Exception as error:
            logger.debug("a message could not be answered", exc_info=True)
            self._post(protocol.failed(getattr(error, "field", None), describe(error)))

    def _answer(self, message: protocol.FromBrowser) -> None:
        if isinstance(message, protocol.Hello):
            self._send_everything()
        elif isinstance(message, protocol.Cancel):
            self.cancel()
        elif isinstance(message, protocol.Resume):
            if self._next is None and self._running.is_outdated:
                self._open_soon(self._shown.asked)
            else:
                self._go_on()
        elif isinstance(message, protocol.Open):
            self._open_asked(message)
        elif isinstance(message, protocol.WriteOn):
            self._write_soon(message.n_tokens)
        elif isinstance(message, protocol.Inspect):
            for session in self._sessions.values():
                if session.map_id == message.map_id:  # else the page has not heard yet of a newer map
                    session.inspect(Cell(message.layer, message.source, message.target), message.aspects)

    def _open_asked(self, message: protocol.Open) -> None:
        """Open the map that the page asks for. Unchanged arguments stay as the user wrote them."""
        changes: dict[str, Any] = {"layers": message.layers}
        if message.prompt != self.prompt:
            changes["prompt"] = message.prompt
        for name in ("metric", "baseline"):
            asked = getattr(message, name)
            if asked is not None and list(asked) != self.asked[name]:
                changes[name] = asked[0] if len(asked) == 1 else asked
        self._open_soon(self._asked_with(self._shown.asked, **changes), message.n_tokens)

    def _send_everything(self) -> None:
        self._post(protocol.welcome())
        self._viewed = True
        for session in self._sessions.values():
            session.send_all_rows()
            session.controller.allow_filling()

    # -- the notebook ------------------------------------------------------------------------------------------

    def _watch_cells(self, *, register: bool) -> None:
        """Filling the map in idle time waits while the user's own cells run."""
        try:
            from IPython import get_ipython
        except ImportError:
            return
        shell = get_ipython()
        events = getattr(shell, "events", None)
        if events is None:
            return
        act = events.register if register else events.unregister
        for event, callback in (("pre_run_cell", self._cell_begins), ("post_run_cell", self._cell_ends)):
            with contextlib.suppress(ValueError):
                act(event, callback)
        if register:
            self._cell_begins()  # the cell that makes this widget

    def _cell_begins(self, *_: Any) -> None:
        self._set_cells_running(True)

    def _cell_ends(self, *_: Any) -> None:
        self._set_cells_running(False)

    def _set_cells_running(self, running: bool) -> None:
        with trait_lock.held():
            self._cells_running = running
            for session in self._sessions.values():
                session.controller.cells_running(running)

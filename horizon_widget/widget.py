"""``HorizonWidget``: traits and messages between a ``Controller`` and the browser."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from horizon_widget import protocol
from horizon_widget.attribution.ask import read_query
from horizon_widget.controller import Controller, Status
from horizon_widget.errors import HorizonError, QueryError
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.models.model import Model
from horizon_widget.query import Query, check_index
from horizon_widget.statistics import STATISTICS

logger = logging.getLogger(__name__)

POSITIONS = ("selected_source", "selected_target")
BUNDLE = Path(__file__).parent / "static" / "widget.js"


class HorizonWidget(anywidget.AnyWidget):
    """A prompt as clickable tokens: click one to see which later predictions its state is used for.

    The selection is in synced traits: set ``selected_source``, ``selected_layer`` or ``selected_target`` and the
    picture follows; observe them and a click is seen from Python.

    Args:
        model: From ``load_model``.
        prompt: A text of at least two tokens; or token ids, or chat messages, whose text then stands in ``prompt``.
        metric, baseline, site, head, seed, draws: As for ``attribute``.

    Raises:
        QueryError: if the prompt or another argument cannot be used; the message says why.
    """

    _esm = BUNDLE

    protocol_version = traitlets.Int(protocol.PROTOCOL_VERSION, read_only=True).tag(sync=True)
    map_id = traitlets.Int(0, read_only=True).tag(sync=True)
    model_name = traitlets.Unicode(read_only=True).tag(sync=True)
    tokens = traitlets.List(traitlets.Dict(), read_only=True).tag(sync=True)
    n_layers = traitlets.Int(read_only=True).tag(sync=True)
    query = traitlets.Dict(read_only=True).tag(sync=True)
    window = traitlets.Int(None, allow_none=True, read_only=True).tag(sync=True)
    statistics = traitlets.List(traitlets.Dict(), read_only=True).tag(sync=True)
    layers = traitlets.List(traitlets.Dict(), read_only=True).tag(sync=True)
    state = traitlets.Enum(["empty", "computing", "ready", "error"], "empty", read_only=True).tag(sync=True)
    progress = traitlets.Dict(read_only=True).tag(sync=True)
    error = traitlets.Dict(None, allow_none=True, read_only=True).tag(sync=True)

    prompt = traitlets.Unicode(help="The text; setting it opens a new map.")
    statistic = traitlets.Enum(
        [s.name for s in STATISTICS], STATISTICS[0].name, help="What tokens are coloured by."
    ).tag(sync=True)
    selected_layer = traitlets.Int(0, help="The layer on the screen.").tag(sync=True)
    selected_source = traitlets.Int(None, allow_none=True, help="Position of the token asked about.").tag(sync=True)
    selected_target = traitlets.Int(None, allow_none=True, help="Position of the predicted token.").tag(sync=True)

    _controller: Controller | None = None
    _given: Query | None = None
    _cells_running = False
    _context = contextvars.Context()

    def __init__(
        self,
        model: Model,
        prompt: Any,
        *,
        metric: Any = "logprob",
        baseline: Any = "auto",
        site: str = "residual",
        head: int | None = None,
        seed: int = 0,
        draws: int = 3,
        **traits: Any,
    ) -> None:
        self._model = model
        self._asked = {
            "metric": metric,
            "baseline": baseline,
            "site": site,
            "head": head,
            "seed": seed,
            "draws": draws,
        }
        self._viewed = False
        self._context = contextvars.copy_context()
        self._news: dict[str, Any] = {}
        self._news_lock, self._traits_lock = threading.Lock(), threading.RLock()
        self._next_query = self._query(prompt)
        selection = {name: traits.pop(name) for name in ("selected_layer", *POSITIONS) if name in traits}
        super().__init__(**traits)
        self.selected_layer = model.n_layers // 2
        self.set_trait("model_name", model.name)
        self.set_trait("n_layers", model.n_layers)
        # Read as it was given: the text of token ids may be cut into others.
        self._given = self._next_query
        self.prompt = prompt if isinstance(prompt, str) else self._text_of(self._next_query)
        self._given = None
        if self._controller is None:  # a text that is empty is no change
            self._open(self._next_query)
        for name, value in selection.items():
            setattr(self, name, value)
        self._selection_changed(None)
        self.observe(self._selection_changed, ["selected_layer", *POSITIONS])
        self.on_msg(self._receive)
        self._watch_cells(register=True)

    # -- for the user ------------------------------------------------------------------------------------------

    @property
    def map(self) -> HorizonMap:
        """A copy of the map behind what is on the screen, as far as it is computed."""
        return self._running.map.snapshot()

    def wait(self, layers: str = "selected", *, timeout: float | None = None) -> HorizonMap:
        """Block until the picture is complete, or somebody cancels it.

        Args:
            layers: ``"selected"``: the layer on the screen and the selected token at every layer; ``"all"``: the
                whole map.
            timeout: In seconds.

        Returns:
            The map.

        Raises:
            TimeoutError: if it takes longer.
            HorizonError: if the computation failed; the message says why.
        """
        if layers not in ("selected", "all"):
            raise QueryError("layers", f"{layers!r} cannot be waited for.", advice='Use "selected" or "all".')
        status = self._running.wait(whole_map=layers == "all", timeout=timeout)
        if status.error is not None:
            raise HorizonError(status.error["title"], advice=status.error["advice"])
        return self.map

    def cancel(self) -> None:
        """Stop computing; what is computed is kept."""
        self._running.cancel()

    def resume(self) -> None:
        """Go on after ``cancel`` or an error."""
        self._running.resume()

    def close(self) -> None:
        """Stop computing and remove the widget."""
        if self._controller is not None:
            self._controller.close()
            self._watch_cells(register=False)
        super().close()

    def __repr__(self) -> str:
        return f"HorizonWidget({self.model_name!r}, {len(self.tokens)} tokens, layer {self.selected_layer})"

    # -- a new map ---------------------------------------------------------------------------------------------

    @property
    def _running(self) -> Controller:
        assert self._controller is not None
        return self._controller

    def _query(self, prompt: object) -> Query:
        return read_query(self._model, prompt, **self._asked)

    def _text_of(self, query: Query) -> str:
        tokens = self._model.read_tokens(query.token_ids)
        return "".join(token.text for token in tokens if token.piece is None or token.piece[0] == 1)

    @traitlets.validate("prompt")
    def _check_prompt(self, proposal: Any) -> str:
        # An error leaves the old map as it is.
        self._next_query = self._given or self._query(proposal["value"])
        return str(proposal["value"])

    @traitlets.observe("prompt")
    def _prompt_changed(self, _change: Any) -> None:
        self._open(self._next_query)

    def _open(self, query: Query) -> None:
        listener = _Listener(self, self.map_id + 1)
        controller = Controller(self._model, query, layer=self.selected_layer, listener=listener)
        listener.map = hmap = controller.map
        if self._controller is not None:
            self._controller.close()
        with self.hold_sync():
            self._controller = controller
            self.set_trait("map_id", listener.map_id)
            self.selected_source = self.selected_target = None
            self.set_trait("tokens", [{"text": token.text, "piece": token.piece} for token in hmap.tokens])
            self.set_trait("query", _describe_query(hmap))
            self.set_trait("window", hmap.window)
            self.set_trait("statistics", _describe_statistics(hmap.window))
            self.set_trait("layers", _describe_layers(hmap))
        controller.cells_running(self._cells_running)
        controller.start()
        if self._viewed:
            controller.allow_filling()

    # -- selection ---------------------------------------------------------------------------------------------

    @traitlets.validate("selected_layer")
    def _check_layer(self, proposal: Any) -> int:
        return check_index("selected_layer", proposal["value"], self._model.n_layers)

    @traitlets.validate(*POSITIONS)
    def _check_position(self, proposal: Any) -> int | None:
        if proposal["value"] is None or self._controller is None:
            return None
        return check_index(proposal["trait"].name, proposal["value"], self._running.map.query.n_tokens)

    def _selection_changed(self, _change: Any) -> None:
        self._running.look_at(self.selected_layer, self.selected_source)

    # -- messages; any thread ----------------------------------------------------------------------------------

    def _receive(self, _widget: Any, content: object, _buffers: object) -> None:
        self._context = contextvars.copy_context()
        try:
            message = protocol.read(content)
        except protocol.ProtocolError as error:
            self._post(protocol.rejected(str(error)))
            return
        if isinstance(message, protocol.Hello):
            hmap, map_id = self._running.map, self.map_id
            self._post(protocol.welcome(map_id))
            for layer in np.flatnonzero(hmap.dataset["baseline"].values != ""):
                self._send_rows(map_id, hmap, int(layer), np.flatnonzero(hmap.done[layer]).tolist())
            self._viewed = True
            self._running.allow_filling()
        elif isinstance(message, protocol.Cancel):
            self.cancel()
        else:
            self.resume()

    def _send_rows(self, map_id: int, hmap: HorizonMap, layer: int, sources: Sequence[int]) -> None:
        index = list(sources)
        # The prediction after the prompt has no token on the screen.
        influence = hmap.values.values[layer, index, : hmap.query.n_tokens - 1]
        statistics = np.full((len(STATISTICS), len(index)), np.nan)
        if hmap.window is not None:
            statistics = np.stack([hmap.statistic(s.name, layers=layer).values[0, index] for s in STATISTICS])
        self._post(protocol.values(map_id, layer, index, influence, statistics))

    def _post(self, message: protocol.Message) -> None:
        content, buffers = message
        self.send(content, buffers=buffers)

    def _send(self, msg: Any, buffers: Any = None) -> None:
        """Send anything on the comm (called by ipywidgets) in the context of the browser's last message.

        ipykernel hands the browser's next message to the thread whose context our last one was sent in. Sent from a
        cell's or the model thread's, that next one would wait for the user's cell to end.
        """
        self._context.copy().run(super()._send, msg, buffers)

    # -- traits, changed by the browser's thread and by the model thread ------------------------------------------

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over what the browser changed (called by ipywidgets)."""
        with self._traits_lock:
            super().set_state(sync_data)
        self._publish_news()

    def _publish(self, news: dict[str, Any]) -> None:
        """Set traits from the model thread, without ever waiting for who is setting others."""
        with self._news_lock:
            self._news.update(news)
        self._publish_news()

    def _publish_news(self) -> None:
        while self._news and self._traits_lock.acquire(blocking=False):
            try:
                with self._news_lock:
                    news, self._news = self._news, {}
                for name, value in news.items():
                    self.set_trait(name, value)
            finally:
                self._traits_lock.release()

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
        self._cells_running = True
        self._running.cells_running(True)

    def _cell_ends(self, *_: Any) -> None:
        self._cells_running = False
        self._running.cells_running(False)


class _Listener:
    """Passes one controller's news on to the browser, until another map is opened."""

    def __init__(self, widget: HorizonWidget, map_id: int) -> None:
        self._widget = widget
        self.map_id = map_id
        self.map: HorizonMap

    def on_rows(self, layer: int, sources: tuple[int, ...]) -> None:
        if self._is_current():
            self._widget._send_rows(self.map_id, self.map, layer, sources)

    def on_status(self, status: Status) -> None:
        seconds = status.seconds_left
        progress = {
            "task": status.task,
            "done": round(status.done, 4),
            "seconds_left": None if seconds is None else round(seconds, 1),
            "filling": status.filling,
        }
        news = {
            "layers": _describe_layers(self.map),
            "error": status.error,
            "progress": progress,
            "state": status.state,
        }

        if self._is_current():
            self._widget._publish(news)

    def _is_current(self) -> bool:
        return self._widget.map_id == self.map_id


def _describe_query(hmap: HorizonMap) -> dict[str, Any]:
    attrs = hmap.dataset.attrs
    return {name: attrs[name] for name in ("method", "metric", "unit", "site")} | {"exact": bool(attrs["exact"])}


def _describe_statistics(window: int | None) -> list[dict[str, Any]]:
    return [
        {
            "name": statistic.name,
            "label": statistic.label,
            "unit": statistic.unit,
            "low": statistic.low,
            "high": statistic.high(window or 1),
            "description": statistic.description,
        }
        for statistic in STATISTICS
    ]


def _describe_layers(hmap: HorizonMap) -> list[dict[str, Any]]:
    dataset = hmap.dataset
    return [
        {
            "baseline": baseline or None,
            "shock": bool(shock),
            "noise_floor": None if np.isnan(floor) else float(floor),
            "n_done": int(n_done),
        }
        for baseline, shock, floor, n_done in zip(
            dataset["baseline"].values.tolist(),
            dataset["baseline_shock"].values,
            dataset["noise_floor"].values,
            hmap.done.sum(axis=1),
            strict=True,
        )
    ]

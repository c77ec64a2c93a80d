"""``HorizonWidget``: between the user, a ``Controller`` and the browser."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from horizon_widget import protocol
from horizon_widget import widget_descriptions as descriptions
from horizon_widget.attribution.ask import read_query
from horizon_widget.attribution.cell import Cell
from horizon_widget.controller import Controller, Status, describe
from horizon_widget.errors import HorizonError, QueryError
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.models.model import Model
from horizon_widget.query import Query
from horizon_widget.statistics import STATISTICS
from horizon_widget.widget_traits import CONTROLS, Checked, WidgetTraits, check_wanted_layers

logger = logging.getLogger(__name__)

BUNDLE = Path(__file__).parent / "static" / "widget.js"
QUESTION = ("prompt", "metric", "baseline", "layers")
POSITIONS = ("selected_source", "selected_target", "selected_offset")


@dataclass(frozen=True)
class _Question:
    """What a map is opened with; ``metric`` and ``baseline`` as the user wrote them."""

    query: Query
    prompt: str
    metric: Any
    baseline: Any
    layers: list[int] | None
    written_from: int | None = None


def _of_question(widget: HorizonWidget, name: str, value: Any) -> Any:
    return widget._check_question(name, value)


class HorizonWidget(WidgetTraits):
    """A prompt as clickable tokens: click one to see which later predictions its state is used for.

    What is looked at is in synced traits, which both sides write: ``selected_layer``, ``selected_source``,
    ``selected_target``, ``selected_offset``, ``pinned_sources``, ``direction``, ``statistic``, ``fixed_scale``,
    ``show_words``, ``show_arcs``, ``include_sinks``, ``find``. Set one and the picture follows; observe it, or link it
    to another widget, and a click is seen from Python. What is asked is in ``prompt``, ``metric``, ``baseline`` and
    ``layers``: setting one opens a new map, and one that cannot be used leaves the old map and raises ``QueryError``.
    Each trait says what it means: ``widget.traits()["fixed_scale"].help``.

    Args:
        model: From ``load_model``.
        prompt: A text of at least two tokens; or token ids, or chat messages, whose text then stands in ``prompt``.
        metric, baseline, site, head, seed, draws: As for ``attribute``.
        layers: Which layers are computed in idle time, all by default; what is clicked is computed at every layer.
        **traits: Values of the traits that say what is looked at.

    Raises:
        QueryError: if the prompt or another argument cannot be used; the message says why.
    """

    _esm = BUNDLE

    prompt = Checked(_of_question, "", help="The text; setting it opens a new map.").tag(sync=True)
    metric = Checked(_of_question, "logprob", help="As for attribute; setting it opens a new map.")
    baseline = Checked(_of_question, "auto", help="As for attribute; setting it opens a new map.")
    layers = Checked(
        _of_question, None, help="The layers computed in idle time, None for all; setting it opens a new map."
    ).tag(sync=True)

    _controller: Controller | None = None
    _adopting: int | None = None  # the thread that sets what was checked before
    _cells_running = False

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
        self._model = model
        self._fixed: dict[str, Any] = {"site": site, "head": head, "seed": seed, "draws": draws}
        self._viewed = False
        query = read_query(model, prompt, metric=metric, baseline=baseline, **self._fixed)
        looked_at = {name: traits.pop(name) for name in [*CONTROLS] if name in traits}
        super().__init__(**traits)
        self.set_trait("model_name", model.name)
        self.set_trait("n_layers", model.n_layers)
        self.selected_layer = model.n_layers // 2
        wanted = check_wanted_layers(self, "layers", layers)
        self._question = _Question(query, self._text_of(prompt, query), metric, baseline, wanted)
        self._open(self._question)
        for name, value in looked_at.items():
            setattr(self, name, value)
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
        status = self._running.wait(whole_map=layers == "all", timeout=timeout)
        if status.error is not None:
            raise HorizonError(status.error["title"], advice=status.error["advice"])
        return self.map

    def write_on(self, n_tokens: Any = 20) -> str:
        """Let the model go on with the prompt, and open the map of prompt and continuation.

        The most probable token is taken each time. Metric, baseline and selection stay; ``written_from`` says where the
        model's own text begins.

        Args:
            n_tokens: How many tokens at most, 1 to 1000; an end-of-text token ends it sooner.

        Returns:
            What it wrote.

        Raises:
            QueryError: if the prompt cannot become longer: it fills the model's context, or a counterfactual prompt of
                the same length belongs to it.
        """
        if isinstance(n_tokens, bool) or not isinstance(n_tokens, int) or not 1 <= n_tokens <= protocol.MOST_WRITTEN:
            raise QueryError("n_tokens", f"{n_tokens!r} is not a whole number of 1 to {protocol.MOST_WRITTEN}.")
        self._check_may_grow()
        before = self._question.query.token_ids
        self._open_written((*before, *self._model.write_on(before, n_tokens)))
        return descriptions.text_of(self._running.map.tokens[len(before) :])

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

    # -- the question ------------------------------------------------------------------------------------------

    @property
    def _running(self) -> Controller:
        assert self._controller is not None
        return self._controller

    def _text_of(self, prompt: object, query: Query) -> str:
        return prompt if isinstance(prompt, str) else descriptions.text_of(self._model.read_tokens(query.token_ids))

    def _question_with(self, **changes: Any) -> _Question:
        """The question with some of ``QUESTION`` changed.

        Raises:
            QueryError: if one cannot be used.
        """
        old = self._question
        metric, baseline = changes.get("metric", old.metric), changes.get("baseline", old.baseline)
        layers = check_wanted_layers(self, "layers", changes.get("layers", old.layers))
        # Tokens as they were given: their text may be cut into others.
        prompt = changes.get("prompt", old.query.token_ids)
        query = read_query(self._model, prompt, metric=metric, baseline=baseline, **self._fixed)
        same = query.token_ids == old.query.token_ids
        text = self._text_of(prompt, query) if "prompt" in changes else old.prompt
        return _Question(query, text, metric, baseline, layers, old.written_from if same else None)

    def _check_question(self, name: str, value: Any) -> Any:
        if self._adopting == threading.get_ident() or self._controller is None:
            return value
        # An error leaves the old map as it is.
        question = self._question_with(**{name: value})
        return getattr(question, name)

    @traitlets.observe(*QUESTION)
    def _question_changed(self, change: Any) -> None:
        if self._adopting == threading.get_ident():
            return
        try:
            self._open(self._question_with(**{change["name"]: change["new"]}))
        except BaseException:
            self._adopt(self._question)
            raise

    def _adopt(self, question: _Question) -> None:
        """Show in the traits what was checked before."""
        with self._traits_lock:
            self._adopting = threading.get_ident()
            try:
                for name in QUESTION:
                    self.set_trait(name, getattr(question, name))
            finally:
                self._adopting = None

    # -- a new map ---------------------------------------------------------------------------------------------

    def _open(self, question: _Question, *, keep_selection: bool = False) -> None:
        """Open the map of a question; the selection stays where the prompt does.

        Raises:
            HorizonError: if it cannot be opened; the old map stays.
        """
        with self._traits_lock:
            listener = _Listener(self, self.map_id + 1)
            controller = Controller(
                self._model, question.query, layer=self.selected_layer, layers=question.layers, listener=listener
            )
            listener.map = controller.map
            keep_selection = keep_selection or question.query.token_ids == self._question.query.token_ids
            if self._controller is not None:
                self._controller.close()
            self._controller, self._question = controller, question
            with self.hold_sync():
                self._show(listener, question)
                self._adopt(question)
                self._clear_selection(what_does_not_fit=keep_selection)
            controller.cells_running(self._cells_running)
            self._look()
            if self._viewed:
                controller.allow_filling()
        self._publish_news()

    def _show(self, listener: _Listener, question: _Question) -> None:
        hmap = listener.map
        metric = descriptions.describe_metric(self._model, question.query)
        baseline = descriptions.describe_baseline(question.baseline, question.query)
        is_text = self._is_just_text(question)
        shown = {
            "map_id": listener.map_id,
            "tokens": descriptions.describe_tokens(hmap),
            "n_targets": hmap.query.n_targets,
            "query": descriptions.describe_query(hmap),
            "asked": descriptions.describe_asked(
                self._model, question.query, metric=metric, baseline=baseline, is_text=is_text
            ),
            "window": hmap.window,
            "statistics": descriptions.describe_statistics(hmap),
            "layer_info": descriptions.describe_layers(hmap),
            "sinks": descriptions.describe_sinks(hmap),
            "written_from": question.written_from,
        }
        for name, value in shown.items():
            self.set_trait(name, value)

    def _is_just_text(self, question: _Question) -> bool:
        try:
            return self._model.tokenize(question.prompt) == question.query.token_ids
        except QueryError:
            return False

    def _clear_selection(self, *, what_does_not_fit: bool) -> None:
        for name in POSITIONS:
            last = len(self.tokens) - 1 if name == "selected_source" else self.n_targets
            value = getattr(self, name)
            if not (what_does_not_fit and value is not None and value <= last):
                self.set_trait(name, None)
        if not what_does_not_fit:
            self.pinned_sources = []

    def _check_may_grow(self) -> None:
        if self._question.query.baseline.kind == "counterfactual":
            raise QueryError(
                "baseline",
                "the counterfactual prompt is as long as this one, which would become longer.",
                advice="Choose another baseline first.",
            )

    def _open_written(self, token_ids: Sequence[int]) -> None:
        """Open the map of the prompt and what the model wrote."""
        old = self._question
        question = self._question_with(prompt=list(token_ids))
        first = len(old.query.token_ids) if old.written_from is None else old.written_from
        self._open(
            _Question(question.query, question.prompt, old.metric, old.baseline, old.layers, first),
            keep_selection=True,
        )

    # -- selection ---------------------------------------------------------------------------------------------

    @traitlets.observe("direction", "selected_layer", "selected_source", "selected_target")
    def _selection_changed(self, _change: Any) -> None:
        self._look()

    def _look(self) -> None:
        if self._controller is None:
            return
        if self.direction == "column":
            self._controller.look_at(self.selected_layer, None, target=self.selected_target)
        else:
            self._controller.look_at(self.selected_layer, self.selected_source)

    # -- messages; any thread ----------------------------------------------------------------------------------

    def _receive(self, _widget: Any, content: object, _buffers: object) -> None:
        """Do what the browser asks; nothing is raised, for nobody would see it."""
        self._context = contextvars.copy_context()
        try:
            self._answer(protocol.read(content))
        except protocol.ProtocolError as error:
            self._post(protocol.rejected(str(error)))
        except Exception as error:
            logger.debug("a message could not be answered", exc_info=True)
            self._post(protocol.failed(getattr(error, "field", None), describe(error)))

    def _answer(self, message: protocol.FromBrowser) -> None:
        if isinstance(message, protocol.Ping):
            self._post(protocol.pong(message.number))
        elif isinstance(message, protocol.Hello):
            self._send_everything()
        elif isinstance(message, protocol.Cancel):
            self.cancel()
        elif isinstance(message, protocol.Resume):
            self.resume()
        elif isinstance(message, protocol.Open):
            self._open_asked(message)
        elif isinstance(message, protocol.WriteOn):
            self._check_may_grow()
            self._running.write_on(message.n_tokens)
        else:
            self._running.inspect(Cell(message.layer, message.source, message.target), message.aspects)

    def _open_asked(self, message: protocol.Open) -> None:
        """What the browser repeats of the question stays as the user wrote it."""
        changes: dict[str, Any] = {"layers": message.layers}
        if message.prompt != self.prompt:
            changes["prompt"] = message.prompt
        for name in ("metric", "baseline"):
            asked = getattr(message, name)
            if asked is not None and list(asked) != self.asked[name]:
                changes[name] = asked[0] if len(asked) == 1 else asked
        self._open(self._question_with(**changes))

    def _send_everything(self) -> None:
        hmap, map_id = self._running.map, self.map_id
        self._post(protocol.welcome(map_id))
        for layer in np.flatnonzero(hmap.dataset["baseline"].values != ""):
            sources = np.flatnonzero(hmap.done[layer]).tolist()
            if sources:
                self._send_rows(map_id, hmap, int(layer), sources)
        self._viewed = True
        self._running.allow_filling()

    def _send_rows(self, map_id: int, hmap: HorizonMap, layer: int, sources: Sequence[int]) -> None:
        index = list(sources)
        statistics = np.full((len(STATISTICS), len(index)), np.nan)
        if hmap.window is not None:
            statistics = np.stack([hmap.statistic(s.name, layers=layer).values[0, index] for s in STATISTICS])
        self._post(protocol.values(map_id, layer, index, hmap.values.values[layer, index], statistics))

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
        news = {
            "layer_info": descriptions.describe_layers(self.map),
            "sinks": descriptions.describe_sinks(self.map),
            "error": status.error,
            "progress": descriptions.describe_progress(status),
            "state": status.state,
        }
        if self._is_current():
            self._widget._publish(news)

    def on_finding(self, cell: Cell, aspect: str, found: Any, problem: dict[str, str] | None) -> None:
        if self._is_current():
            place = (cell.layer, cell.source, cell.target)
            self._widget._post(protocol.finding(self.map_id, place, aspect, found, problem))

    def on_written(self, token_ids: tuple[int, ...]) -> None:
        self._widget._do_when_free({"open": partial(self._open_written, token_ids)})

    def _open_written(self, token_ids: tuple[int, ...]) -> None:
        if self._is_current():
            self._widget._open_written(token_ids)

    def on_failed(self, field: str | None, problem: dict[str, str]) -> None:
        if self._is_current():
            self._widget._post(protocol.failed(field, problem))

    def _is_current(self) -> bool:
        return self._widget.map_id == self.map_id

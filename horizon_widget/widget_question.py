"""What a widget's map is asked with, and how another one is opened."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import traitlets

from horizon_widget import protocol
from horizon_widget import widget_descriptions as descriptions
from horizon_widget.attribution.ask import read_query
from horizon_widget.attribution.findings import Cell
from horizon_widget.controller import Controller
from horizon_widget.errors import QueryError
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.listener import Status
from horizon_widget.models import thread
from horizon_widget.models.model import Model
from horizon_widget.query import Query
from horizon_widget.statistics import STATISTICS
from horizon_widget.widget_traits import Checked, WidgetTraits, check_wanted_layers

QUESTION = ("prompt", "metric", "baseline", "layers")
POSITIONS = ("selected_source", "selected_target", "selected_offset")


@dataclass(frozen=True)
class Question:
    """What a map is opened with; ``metric`` and ``baseline`` as the user wrote them."""

    query: Query
    prompt: str
    metric: Any
    baseline: Any
    layers: list[int] | None
    written_from: int | None = None


def _of_question(widget: AskingWidget, name: str, value: Any) -> Any:
    return widget._check_question(name, value)


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

    prompt = Checked(
        _of_question, "", help="The text; setting it, to a text, token ids or messages, opens a new map."
    ).tag(sync=True)
    metric = Checked(_of_question, "logprob", help="As for attribute; setting it opens a new map.")
    baseline = Checked(_of_question, "auto", help="As for attribute; setting it opens a new map.")
    layers = Checked(
        _of_question, None, help="The layers computed in idle time, None for all; setting it opens a new map."
    ).tag(sync=True)

    _controller: Controller | None = None
    # The last question that was checked, and what it was a change of: a prompt may be given as tokens, of which its
    # trait has the text alone.
    _checked_last: tuple[Question, Question] | None = None
    _to_open: Question | None = None  # as soon as the model thread comes to it
    _to_write = 0  # tokens, after that
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
        query = read_query(model, prompt, metric=metric, baseline=baseline, **self._fixed)
        super().__init__(**traits)
        self.set_trait("model_name", model.name)
        self.set_trait("n_layers", model.n_layers)
        self.selected_layer = model.n_layers // 2
        wanted = check_wanted_layers(self, "layers", layers)
        self._question = Question(query, self._text_of(prompt, query), metric, baseline, wanted)
        self._open(self._question)

    # -- the question ------------------------------------------------------------------------------------------

    @property
    def _running(self) -> Controller:
        assert self._controller is not None
        return self._controller

    def _text_of(self, prompt: object, query: Query) -> str:
        return prompt if isinstance(prompt, str) else descriptions.text_of(self._model.read_tokens(query.token_ids))

    def _question_with(self, **changes: Any) -> Question:
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
        return Question(query, text, metric, baseline, layers, old.written_from if same else None)

    def _check_question(self, name: str, value: Any) -> Any:
        if self._adopting == threading.get_ident() or self._controller is None:
            return value
        # An error leaves the old map as it is.
        self._checked_last = self._question, self._question_with(**{name: value})
        return getattr(self._checked_last[1], name)

    @traitlets.observe(*QUESTION)
    def _question_changed(self, change: Any) -> None:
        if self._adopting == threading.get_ident():
            return
        name, value = change["name"], change["new"]
        try:
            before, checked = self._checked_last or (None, None)
            if checked is None or before is not self._question or getattr(checked, name) is not value:
                checked = self._question_with(**{name: value})  # several were set before any is told of
            self._open(checked)
        except BaseException:
            self._adopt(self._question)
            raise

    def _adopt(self, question: Question) -> None:
        """Show in the traits what was checked before."""
        with self._traits_lock, self._as_checked():
            for name in QUESTION:
                self.set_trait(name, getattr(question, name))

    @contextlib.contextmanager
    def _as_checked(self) -> Iterator[None]:
        """While this lasts, this thread's changes of traits are taken as they are, and open and compute nothing."""
        before, self._adopting = self._adopting, threading.get_ident()
        try:
            yield
        finally:
            self._adopting = before

    # -- a new map ---------------------------------------------------------------------------------------------

    def _open(self, question: Question, *, keep_selection: bool = False) -> None:
        """Open the map of a question; the selection stays where the prompt does.

        Raises:
            HorizonError: if it cannot be opened; the old map stays.
        """
        with self._traits_lock:
            self._to_open = None  # this one is newer
            listener = _Listener(self, self.map_id + 1)
            controller = Controller(
                self._model, question.query, layer=self.selected_layer, layers=question.layers, listener=listener
            )
            listener.map = controller.map
            keep_selection = keep_selection or question.query.token_ids == self._question.query.token_ids
            if self._controller is not None:
                self._controller.close()
            self._controller, self._question = controller, question
            # Values must not come before the traits that say what they are of.
            with self._as_checked(), self.hold_sync():
                self._show(listener, question)
                self._adopt(question)
                self._clear_selection(what_does_not_fit=keep_selection)
            controller.cells_running(self._cells_running)
            self._look()
            if self._viewed:
                controller.allow_filling()
        self._publish_news()

    def _open_soon(self, question: Question) -> None:
        """As ``_open``, without waiting: the model thread, which is needed for it, may have a part under way."""
        with self._news_lock:
            waiting, self._to_open, self._to_write = self._to_open is not None, question, 0
        if not waiting:
            thread.submit(self._open_latest)

    def _open_latest(self) -> None:
        with self._news_lock:
            question, self._to_open = self._to_open, None
        if question is not None and not self._closed:
            self._do_when_free({"open": partial(self._open_and_write, question, self._to_write)})

    def _open_and_write(self, question: Question, n_tokens: int) -> None:
        self._open(question)
        if n_tokens:
            self._running.write_on(n_tokens)

    def _write_soon(self, n_tokens: int) -> None:
        """Let the model go on with the prompt, or with the one that is about to be opened."""
        with self._news_lock:
            coming = self._to_open
            if coming is not None:
                self._check_may_grow(coming)
                self._to_write = n_tokens
        if coming is None:
            self._check_may_grow(self._question)
            self._running.write_on(n_tokens)

    def _show(self, listener: _Listener, question: Question) -> None:
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

    def _is_just_text(self, question: Question) -> bool:
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

    def _check_may_grow(self, question: Question) -> None:
        if question.query.baseline.kind == "counterfactual":
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
            Question(question.query, question.prompt, old.metric, old.baseline, old.layers, first),
            keep_selection=True,
        )

    # -- selection ---------------------------------------------------------------------------------------------

    @traitlets.observe("direction", "selected_layer", "selected_source", "selected_target")
    def _selection_changed(self, _change: Any) -> None:
        if self._adopting != threading.get_ident():
            self._look()

    def _look(self) -> None:
        if self._controller is None:
            return
        if self.direction == "column":
            self._controller.look_at(self.selected_layer, None, target=self.selected_target)
        else:
            self._controller.look_at(self.selected_layer, self.selected_source)

    # -- to the browser ----------------------------------------------------------------------------------------

    def _send_rows(self, map_id: int, hmap: HorizonMap, layer: int, sources: Sequence[int]) -> None:
        index = list(sources)
        statistics = np.full((len(STATISTICS), len(index)), np.nan)
        if hmap.window is not None:
            statistics = np.stack([hmap.statistic(s.name, layers=layer).values[0, index] for s in STATISTICS])
        self._post(protocol.values(map_id, layer, index, hmap.values.values[layer, index], statistics))


class _Listener:
    """Passes one controller's news on to the browser, until another map is opened."""

    def __init__(self, widget: AskingWidget, map_id: int) -> None:
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
        if self._is_current() and not self._widget._closed:
            self._widget._open_written(token_ids)

    def on_failed(self, field: str | None, problem: dict[str, str]) -> None:
        if self._is_current():
            self._widget._post(protocol.failed(field, problem))

    def _is_current(self) -> bool:
        return self._widget.map_id == self.map_id

"""The widget's traits: what values each takes, and which of them the page may set.

Both sides write the ``CONTROLS``; the kernel alone writes the others. A value from the page is checked before it is
set. If it does not fit, the page gets ``failed`` and the valid value.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from typing import Any

import anywidget
import ipywidgets  # type: ignore[import-untyped]
import traitlets

from horizon_widget.errors import QueryError, describe
from horizon_widget.question.query import check_index, check_layers
from horizon_widget.result.page import Layer, OfferedBaseline, OfferedMetric
from horizon_widget.result.statistics import STATISTICS
from horizon_widget.widget import protocol, trait_lock
from horizon_widget.widget.state import LEAST_OFFSETS, MOST_PINNED

logger = logging.getLogger(__name__)

LONGEST_FIND = 10_000  # characters
NAMES_OF_STATISTICS = tuple(statistic.name for statistic in STATISTICS)


class Checked(traitlets.TraitType[Any, Any]):
    """A trait that is set to ``check(widget, name, value)``, which raises ``QueryError`` if the value does not fit.

    Args:
        check: Called whenever the trait is set.
        default: The default, which is not checked.
        help: What the trait means.
    """

    def __init__(self, check: Callable[[Any, str, Any], Any], default: Any, *, help: str) -> None:  # noqa: A002
        super().__init__(default, help=help)
        self._check = check

    def set(self, obj: Any, value: Any) -> None:
        """Called by traitlets whenever it is set."""
        with trait_lock.held():
            super().set(obj, value)

    def validate(self, obj: Any, value: Any) -> Any:
        """Called by traitlets."""
        return self._check(obj, self.name or "", value)

    def default(self, obj: Any = None) -> Any:
        """Called by traitlets. Two widgets never share a list."""
        return copy(super().default(obj))


def _one_of(*choices: str) -> Callable[[Any, str, Any], str]:
    def check(_widget: Any, name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise QueryError(name, f"{_short(value)} is not offered.", advice=f"Choose from: {', '.join(choices)}.")
        return value

    return check


def _flag(_widget: Any, name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise QueryError(name, f"{_short(value)} is neither True nor False.")
    return value


def _find(_widget: Any, name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_FIND:
        raise QueryError(name, f"{_short(value)} is not a text of at most {LONGEST_FIND} characters.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise QueryError(name, f"character {error.start} is a lone surrogate, which no text can hold.") from None
    return value


def _scale(_widget: Any, name: str, value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise QueryError(name, f"{_short(value)} is not a number greater than 0.", advice="None: as large as needed.")
    try:
        return float(value)
    except OverflowError:
        raise QueryError(name, "it is too large.") from None


def _layer(widget: Any, name: str, value: Any) -> int:
    return check_index(name, value, widget.n_layers or 1)  # traitlets asks about the default before there are any


def _source(widget: Any, name: str, value: Any) -> int | None:
    return None if value is None else check_index(name, value, len(widget.tokens))


def _target(widget: Any, name: str, value: Any) -> int | None:
    if value is None:
        return None
    number = check_index(name, value, widget.n_targets + 1)
    if number == 0:
        raise QueryError(name, "0 is out of range.", advice=f"Use 1 to {widget.n_targets}.")
    return number


def _least_offset(_widget: Any, name: str, value: Any) -> int:
    if isinstance(value, bool) or value not in LEAST_OFFSETS:
        raise QueryError(name, f"{_short(value)} is not offered.", advice=f"Choose from: {LEAST_OFFSETS}.")
    return int(value)


def _pins(widget: Any, name: str, value: Any) -> list[int]:
    if not isinstance(value, (list, tuple)) or len(value) > MOST_PINNED:
        raise QueryError(name, f"{_short(value)} is not a list of at most {MOST_PINNED} positions.")
    positions = [check_index(name, item, len(widget.tokens)) for item in value]
    if len(set(positions)) < len(positions):
        raise QueryError(name, "a position occurs twice.", advice="Name each once.")
    return positions


def _fields(kind: type) -> str:
    """The names of the fields of a ``TypedDict``, for a help text."""
    return f"{{{', '.join(kind.__annotations__)}}}"


def check_wanted_layers(widget: Any, value: Any) -> list[int] | None:
    """Layers as a user gives them, sorted, each once; ``None`` for all.

    Raises:
        QueryError: if one is not in the model.
    """
    return None if value is None else sorted(set(check_layers(value, widget.n_layers)))


def _short(value: object) -> str:
    if isinstance(value, str):
        return repr(value[:40])
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**64):
        return repr(value)
    return f"a {type(value).__name__}"


class WidgetTraits(anywidget.AnyWidget):
    """The traits, and how they are set and sent."""

    protocol_version = traitlets.Int(
        protocol.PROTOCOL_VERSION, read_only=True, help="The version of the messages; the browser refuses others."
    ).tag(sync=True)
    map_id = traitlets.Int(0, read_only=True, help="Changes when the map does.").tag(sync=True)
    model_name = traitlets.Unicode(read_only=True, help="The model's name, as shown.").tag(sync=True)
    tokens = traitlets.List(
        traitlets.Dict(),
        read_only=True,
        help="{text, piece, id, word} of each token: piece is [k, n] for the k-th of n tokens that one character is "
        "split over, else None; id is its number in the vocabulary where a different token has the same text, else "
        "None; word is the number of its word.",
    ).tag(sync=True)
    n_targets = traitlets.Int(
        read_only=True, help="Targets are 1 to n_targets; len(tokens) is the prediction after the prompt."
    ).tag(sync=True)
    n_layers = traitlets.Int(read_only=True, help="Layers are 0 to n_layers - 1.").tag(sync=True)
    query = traitlets.Dict(
        read_only=True,
        help="{method, exact, metric, short_metric, unit, divergence, words, site}, for labels and sentences. "
        "divergence: influence is never negative. words: how values are explained.",
    ).tag(sync=True)
    offered = traitlets.Dict(
        read_only=True,
        help=f"{{metrics, baselines}} to choose from: {_fields(OfferedMetric)} and {_fields(OfferedBaseline)} of each.",
    ).tag(sync=True)
    asked = traitlets.Dict(
        read_only=True,
        help="The arguments of attribute that give this map: {metric, baseline, site, head, seed, draws, token_ids, "
        "model, remote}. token_ids: None where the prompt is just its text; model: None where it was in memory.",
    ).tag(sync=True)
    window = traitlets.Int(
        None, allow_none=True, read_only=True, help="Of shares and horizons, in tokens; None: the prompt is too short."
    ).tag(sync=True)
    statistics = traitlets.List(
        traitlets.Dict(),
        read_only=True,
        help="{name, label, unit, low, high, description} of each; high is None where it is the layer's greatest.",
    ).tag(sync=True)
    layer_info = traitlets.List(
        traitlets.Dict(),
        read_only=True,
        help=f"{_fields(Layer)} of each layer; baseline and noise_floor are None before the layer is prepared, n_done "
        "counts computed sources.",
    ).tag(sync=True)
    sinks = traitlets.List(
        traitlets.Int(), read_only=True, help="Positions of attention sinks; empty before the prompt has run."
    ).tag(sync=True)
    written_from = traitlets.Int(
        None, allow_none=True, read_only=True, help="The first token that the model wrote itself."
    ).tag(sync=True)
    state = traitlets.Enum(
        ["empty", "computing", "ready", "error"], "empty", read_only=True, help="The state of the last request."
    ).tag(sync=True)
    progress = traitlets.Dict(
        read_only=True,
        help="{task, done (0 to 1), seconds_left, filling, host}; host: where the request to a remote model's host is, "
        "None where there is none.",
    ).tag(sync=True)
    not_offered = traitlets.Dict(
        read_only=True,
        help="Why this model's host does not allow something, by aspect, or write_on.",
    ).tag(sync=True)
    error = traitlets.Dict(
        None, allow_none=True, read_only=True, help="{title, advice, detail} of what failed, or None."
    ).tag(sync=True)

    direction = Checked(
        _one_of("row", "column"),
        "row",
        help='"row": what the selected source is used for later; "column": which states carry the selected target.',
    ).tag(sync=True)
    statistic = Checked(
        _one_of(*NAMES_OF_STATISTICS),
        NAMES_OF_STATISTICS[0],
        help=f"What tokens are coloured by: {', '.join(NAMES_OF_STATISTICS)}.",
    ).tag(sync=True)
    selected_layer = Checked(_layer, 0, help="The layer on the screen.").tag(sync=True)
    selected_source = Checked(
        _source, None, help="Position of the token whose state is asked about, from 0; or None."
    ).tag(sync=True)
    selected_target = Checked(_target, None, help="Position of the predicted token, from 1; or None.").tag(sync=True)
    selected_offset = Checked(
        _target, None, help="Tokens are coloured by their influence this many tokens ahead, from 1; or None."
    ).tag(sync=True)
    pinned_sources = Checked(_pins, [], help=f"Sources kept on the screen, {MOST_PINNED} at most.").tag(sync=True)
    fixed_scale = Checked(
        _scale, None, help="Where the colour scale of influence ends, in the metric's unit; None: as far as needed."
    ).tag(sync=True)
    show_words = Checked(_flag, False, help="Whether tokens are grouped into words.").tag(sync=True)
    show_arcs = Checked(_flag, False, help="Whether the strongest links are drawn as arcs.").tag(sync=True)
    include_sinks = Checked(_flag, False, help="Whether attention sinks count in summaries.").tag(sync=True)
    profile_as_share = Checked(
        _flag, False, help="Whether offset profiles are shown as shares of each layer's influence within the window."
    ).tag(sync=True)
    least_offset = Checked(
        _least_offset, 2, help=f"The strongest links are at least so many tokens long: one of {LEAST_OFFSETS}."
    ).tag(sync=True)
    find = Checked(_find, "", help="Tokens that contain this text are marked.").tag(sync=True)

    _quiet = False  # the browser shows an observer's error, which stops nothing

    # -- from the page -----------------------------------------------------------------------------------------

    def set_state(self, sync_data: Any) -> None:
        """Take over the page's changes; called by ipywidgets. This never raises."""
        accepted: dict[str, Any] = {}
        refused: list[tuple[str, QueryError]] = []
        with trait_lock.held():  # valid values depend on the map
            for name, value in sync_data.items() if isinstance(sync_data, dict) else ():
                try:
                    accepted[name] = self._checked(name, value)
                except QueryError as error:
                    refused.append((name, error))
            with self._quietly():
                super().set_state({name: value for name, value in accepted.items() if name in CONTROLS})
                for name in accepted.keys() - CONTROLS:
                    self._attempt(partial(super().set_state, {name: accepted[name]}))
            for name, misfit in refused:
                if name in self.keys:
                    self.send_state(name)
                self._post(protocol.failed(str(name)[:100], describe(misfit)))

    def _checked(self, name: str, value: Any) -> Any:
        if name in CONTROLS:
            return self.traits()[name].validate(self, value)
        if name not in OF_IPYWIDGETS:
            raise QueryError(str(name)[:100], "it is not set by the browser.")
        return value

    # -- one thread at a time ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def hold_trait_notifications(self) -> Iterator[None]:
        """As in traitlets. Other threads change no trait meanwhile."""
        with trait_lock.held(), super().hold_trait_notifications():
            yield

    @contextlib.contextmanager
    def hold_sync(self) -> Iterator[None]:
        """As in ipywidgets. Other threads change no trait meanwhile, and send no values before their map's traits."""
        with trait_lock.held(), super().hold_sync():
            yield

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Report observers that fail, instead of raising: the other observers still hear of the change."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def notify_change(self, change: Any) -> None:
        """Tell the observers of a trait; called by traitlets. If one fails, later observers do not hear of this change.

        Raises:
            Exception: the error of an observer. While ``_quietly`` lasts, the page is told of it instead: for a change
                by the page, and while a map is opened.
        """
        if self._quiet:
            self._attempt(partial(super().notify_change, change))
        else:
            super().notify_change(change)

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # a user's own observer, or a map that cannot be opened
            logger.exception("a change of traits failed")
            self._post(protocol.failed(getattr(error, "field", None), describe(error)))

    # -- to the page --------------------------------------------------------------------------------------------

    def _post(self, message: protocol.Message) -> None:
        content, buffers = message
        self.send(content, buffers=buffers)

    @traitlets.observe("comm")
    def _receive_while_cells_run(self, change: Any) -> None:
        """Receive the page's messages on the thread that the page chooses.

        ipykernel 7.4 hands them to the thread that sent last on the comm: after a message from a cell, they would wait
        until all cells have run.
        """
        if change.new is not None:
            change.new._reply_subshell_for = None


CONTROLS = frozenset(name for name, trait in WidgetTraits.class_traits().items() if isinstance(trait, Checked))
OF_IPYWIDGETS = frozenset(ipywidgets.DOMWidget.class_trait_names(sync=True))

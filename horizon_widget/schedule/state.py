"""A controller's next action: a pure function of one frozen state and of the computed values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from horizon_widget.schedule import labels
from horizon_widget.schedule.engine import Engine
from horizon_widget.schedule.parts import Part
from horizon_widget.schedule.plan import Interest, neighbours_of


@dataclass(frozen=True)
class LookedAt:
    """The selection of the reader.

    Attributes:
        layer: The layer on the screen.
        source: The token whose state's row is looked at.
        target: The token whose prediction's column is looked at instead.
    """

    layer: int
    source: int | None = None
    target: int | None = None


@dataclass(frozen=True)
class State:
    """The state that, with the computed values, decides a controller's next action.

    Attributes:
        looked_at: The requested values: the layer, and the source's row at every layer.
        fill_order: The layers that idle time is used for.
        fills_all: Whether these are all layers.
        viewed: Somebody looks, so that idle time may be used.
        cells_running: The user's own cells run; filling waits.
        on_request: Idle time is used only when the reader asks for it: the host of a remote model is shared.
        stopped: The reader or an error has stopped filling.
        cancelled: The reader has stopped the requested computation.
        waiting: Number of the notebook's cells that wait for the whole map, which is computed while they wait.
        error: ``{title, advice, detail}`` of what failed, or ``None``.
        outdated: The error is that the model has changed.
        unchecked: A cell has run since the model was last checked, and may have changed it.
        closed: Nothing more is done.
    """

    looked_at: LookedAt
    fill_order: Sequence[int]
    fills_all: bool = True
    viewed: bool = False
    cells_running: bool = False
    on_request: bool = False
    stopped: bool = False
    cancelled: bool = False
    waiting: int = 0
    error: dict[str, str] | None = field(default=None)
    outdated: bool = False
    unchecked: bool = False
    closed: bool = False

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is computed until the reader asks for something."""
        return self.cancelled or self.closed or self.error is not None

    @property
    def may_use_idle_time(self) -> bool:
        """Whether nothing but another widget keeps idle time from being used."""
        idle = self.viewed and not self.cells_running
        return idle and not (self.on_request or self.stopped or self.is_stopped)

    @property
    def may_prepare(self) -> bool:
        """Whether layers are prepared anyway; this costs little and makes the first click much faster."""
        return self.viewed and self.on_request and not (self.cells_running or self.stopped or self.is_stopped)

    def interest(self, n_tokens: int, *, fills: bool = False, prepares: bool = False) -> Interest:
        """What is wanted.

        Args:
            n_tokens: ``T``.
            fills: Whether to add values that were not asked for: all layers, probable clicks first.
            prepares: Whether to add the preparation of each layer.
        """
        layer, source, target = self.looked_at.layer, self.looked_at.source, self.looked_at.target
        rest = [other for other in self.fill_order if other != layer]
        return Interest(
            layer,
            source,
            layers=[layer, *rest] if fills else [layer],
            samples=rest if fills or prepares else (),
            neighbours=neighbours_of(source, n_tokens) if fills and source is not None else (),
            target=target if fills else None,
        )


@dataclass(frozen=True)
class Plan:
    """The next action.

    Attributes:
        asked: The most wanted part of the requested values; ``None``: all of them are computed.
        rest: The most wanted part of the whole map; ``None``: all of it is computed.
        part: The part to compute now.
        missing: Operations left of the task: of the requested values, or else of the whole map.
        wants_idle_time: Whether something is left for idle time, which may be used.
        filling: As in ``listener.Status``.
        task: The computed values, in words.
    """

    asked: Part | None
    rest: Part | None
    part: Part | None
    missing: float
    wants_idle_time: bool
    filling: str
    task: str


def plan(state: State, engine: Engine, *, has_turn: bool) -> Plan:
    """The next action of a controller.

    Args:
        state: The controller's state.
        engine: The engine of its map.
        has_turn: Whether idle time, if it is used, is this map's.
    """
    n_tokens = engine.query.n_tokens
    asked = engine.next_part(state.interest(n_tokens))
    rest = engine.next_part(state.interest(n_tokens, fills=True)) if asked is None else asked
    wants_idle_time = state.may_use_idle_time and rest is not None
    fills = bool(state.waiting) or (wants_idle_time and has_turn)
    part = None if state.is_stopped else rest if fills else asked
    if part is None and state.may_prepare:
        part = engine.next_part(state.interest(n_tokens, prepares=True))
    missing = engine.missing(state.interest(n_tokens, fills=asked is None))
    filling = "complete" if rest is None else _filling(state, fills=fills)
    return Plan(asked, rest, part, missing, wants_idle_time, filling, _task(state, engine, asked))


def _filling(state: State, *, fills: bool) -> str:
    if state.cancelled or state.error:
        return "stopped"
    if state.waiting:
        return "running"
    if state.on_request:
        return "on request"
    if state.stopped:
        return "stopped"
    if not state.viewed:
        return "idle"
    if state.cells_running:
        return "waiting"
    return "running" if fills else "behind"


def _task(state: State, engine: Engine, asked: Part | None) -> str:
    if asked is None:
        return "all layers" if state.fills_all else "the chosen layers"
    layer, source = state.looked_at.layer, state.looked_at.source
    if source is not None and not engine.map.done[:, source].all():
        return labels.row_of(source, engine.map.tokens)
    return labels.several("layer", [layer])

"""The traits that the page reads, as types. ``js/src/kernel/protocol.ts`` is made from this file and ``protocol``."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from horizon_widget.result.page import Asked, Layer, Offered, Query, Statistic, Token

MOST_PINNED = 4
LEAST_OFFSETS = (1, 2, 9, 33)


class Problem(TypedDict):
    """A problem, for the reader.

    Attributes:
        title: The problem.
        advice: What to do; may be empty.
        detail: For a report; may be empty.
    """

    title: str
    advice: str
    detail: str


class Progress(TypedDict):
    """The progress of the current task.

    Attributes:
        done: From 0 to 1.
        filling: What happens to the rest of the map in idle time.
        host: Where the request to a remote model's host is, in words; null: none is under way.
    """

    task: str
    done: float
    seconds_left: float | None
    filling: Literal["idle", "running", "waiting", "behind", "writing", "on request", "stopped", "complete"]
    host: str | None


class Controls(TypedDict):
    """The traits that the browser writes too: what is looked at, and how.

    Attributes:
        direction: ``row``: what is this token's state used for later? ``column``: which states carry this prediction?
        selected_offset: Tokens are coloured by their influence this many tokens ahead.
        fixed_scale: The end of the colour scale of influence; null: as large as the shown values need.
        include_sinks: Whether attention sinks count in summaries.
        profile_as_share: Whether offset profiles are shares of each layer's influence within the window.
        least_offset: The strongest links are at least so many tokens long.
        find: Tokens that contain this text are marked.
    """

    direction: Literal["row", "column"]
    statistic: str
    selected_layer: int
    selected_source: int | None
    selected_target: int | None
    selected_offset: int | None
    pinned_sources: list[int]
    fixed_scale: float | None
    show_words: bool
    show_arcs: bool
    include_sinks: bool
    profile_as_share: bool
    least_offset: int
    find: str


class MapTraits(TypedDict):
    """The traits that say what a map is, and how far it is computed.

    Attributes:
        n_targets: Targets are 1 to ``n_targets``; the number of tokens stands for the prediction after the prompt.
        layer_info: One for each layer.
        layers: The layers that are computed in idle time; null: all.
        written_from: The first token that the model wrote itself.
        not_offered: Why some things cannot be asked about it: by aspect, or by the type of the message that asks.
    """

    map_id: int
    model_name: str
    prompt: str
    tokens: list[Token]
    n_targets: int
    n_layers: int
    query: Query
    offered: Offered
    asked: Asked
    window: int | None
    statistics: list[Statistic]
    layer_info: list[Layer]
    layers: list[int] | None
    sinks: list[int]
    written_from: int | None
    state: Literal["empty", "computing", "ready", "error"]
    progress: Progress
    error: Problem | None
    not_offered: dict[str, str]


class Traits(MapTraits, Controls):
    """All synced traits that the page reads."""

    protocol_version: int

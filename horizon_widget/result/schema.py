"""The dataset of a map: the table by which it is made, checked when it is loaded, and described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from horizon_widget.errors import QueryError
from horizon_widget.question.facts import METHODS
from horizon_widget.question.query import Query
from horizon_widget.question.tokens import Token, label_tokens
from horizon_widget.result.statistics import default_window

LARGEST_MAP = 4e9  # bytes


@dataclass(frozen=True)
class Variable:
    """A variable of the dataset.

    Attributes:
        dims: The names of its dimensions.
        dtype: Its numpy type.
        empty: Its value before anything is computed.
        meaning: Its meaning, for the documentation.
        has_unit: Whether it is in the metric's unit.
        only_if: The fact of a method without which its maps do not have the variable; empty: all maps have it.
    """

    dims: tuple[str, ...]
    dtype: str
    empty: Any
    meaning: str
    has_unit: bool = False
    only_if: str = ""


CELLS = ("layer", "source", "target")
VARIABLES: Mapping[str, Variable] = {
    "influence": Variable(CELLS, "float32", np.nan, "NaN: not computed; 0 on earlier tokens", has_unit=True),
    "error": Variable(
        CELLS, "float32", np.nan, "the standard error of the influence", has_unit=True, only_if="has_error"
    ),
    "clean_metric": Variable(("target",), "float32", np.nan, "the metric on the unchanged prompt", has_unit=True),
    "noise_floor": Variable(
        ("layer",),
        "float32",
        np.nan,
        "greatest influence of a state replaced by itself; NaN: layer not prepared",
        has_unit=True,
    ),
    "baseline": Variable(("layer",), "U14", "", "the baseline that replaces states"),
    "baseline_shock": Variable(
        ("layer",), "bool", False, "whether the mean baseline is itself a shock to the model there"
    ),
    "resample_positions": Variable(("draw", "source"), "int64", 0, "position of the state that replaces the source's"),
    "state_norm": Variable(("layer", "source"), "float32", np.nan, "norm of each state"),
    "sink": Variable(("source",), "bool", False, "whether the token is an attention sink, which summaries leave out"),
}
# Coordinates, which follow from the query and the tokens.
COORDINATES: Mapping[str, str] = {
    "layer": "from 0",
    "source": "position of the state, from 0",
    "target": "position of the predicted token, from 1",
    "source_token": "its text, with its id where a different token has the same text",
    "target_token": "as source_token; empty for the token after the prompt",
    "offset": "target - source",
}


def variables_of(query: Query) -> dict[str, Variable]:
    """The variables of a query's map."""
    facts = METHODS[query.method]
    return {name: it for name, it in VARIABLES.items() if not it.only_if or getattr(facts, it.only_if)}


def sizes_of(query: Query, n_layers: int) -> dict[str, int]:
    """The size of each dimension."""
    return {"layer": n_layers, "source": query.n_tokens, "target": query.n_targets, "draw": query.draws}


def empty_dataset(query: Query, tokens: Sequence[Token], *, n_layers: int, attrs: Mapping[str, Any]) -> xr.Dataset:
    """The dataset of a map with nothing computed yet.

    Args:
        query: The question.
        tokens: The prompt's ``T`` tokens.
        n_layers: Number of layers ``L``.
        attrs: More attributes, such as the model's name.

    Raises:
        QueryError: if the map would be too large to hold.
    """
    sizes = sizes_of(query, n_layers)
    n_bytes = 4 * n_layers * query.n_tokens * query.n_targets
    if n_bytes > LARGEST_MAP:
        raise QueryError(
            "prompt", f"the map of its {query.n_tokens} tokens would take {n_bytes / 1e9:.0f} GB.", advice="Shorten it."
        )
    made = {
        name: (
            variable.dims,
            np.full([sizes[dim] for dim in variable.dims], variable.empty, dtype=variable.dtype),
            {"unit": query.unit} if variable.has_unit else {},
        )
        for name, variable in variables_of(query).items()
    }
    dataset = with_coordinates(xr.Dataset(made), tokens, query)
    for name, variable in variables_of(query).items():
        if variable.dims == CELLS:
            dataset[name].values[:, dataset["offset"].values < 1] = 0.0  # nothing flows to earlier tokens
    dataset["influence"].attrs["long_name"] = "influence"
    dataset.attrs = {
        "method": query.method,
        "metric": str(query.metric),
        "unit": query.unit,
        "site": query.site_name,
        "exact": int(METHODS[query.method].exact),
        "baseline": str(query.baseline),
        "window": default_window(query.n_tokens, query.n_targets) or 0,
        "seed": query.seed,
        **attrs,
    }
    return dataset


def with_coordinates(dataset: xr.Dataset, tokens: Sequence[Token], query: Query) -> xr.Dataset:
    """The dataset with the coordinates that follow from the query and the tokens."""
    source, target = np.arange(query.n_tokens), np.arange(1, query.n_targets + 1)
    texts = np.array([*label_tokens(tokens), ""], dtype=object)  # the last is the token after the prompt
    return dataset.set_coords("sink").assign_coords(
        layer=np.arange(dataset.sizes["layer"]),
        source=source,
        target=target,
        source_token=("source", texts[:-1]),
        target_token=("target", texts[1 : query.n_targets + 1]),
        offset=(("source", "target"), target[None, :] - source[:, None]),
    )


def check(dataset: xr.Dataset, query: Query) -> None:
    """Refuse a dataset that does not fit a query. Coordinates may be missing.

    Raises:
        ValueError: naming what does not fit.
    """
    sizes = sizes_of(query, dataset.sizes["layer"])
    for name, variable in variables_of(query).items():
        found = dataset[name]
        shape = tuple(sizes[dim] for dim in variable.dims)
        if (found.dims, found.shape, found.dtype) != (variable.dims, shape, np.dtype(variable.dtype)):
            raise ValueError(f"{name} has an unexpected shape or type")
    offset = np.arange(1, query.n_targets + 1)[None, :] - np.arange(query.n_tokens)[:, None]
    if not (dataset["influence"].values[:, offset < 1] == 0).all():
        raise ValueError("it has influence on earlier tokens")


def describe() -> str:
    """The variables and coordinates, one line each."""
    variables = [
        f"``{name}`` ({', '.join(it.dims)}){', in the metric’s unit' * it.has_unit}: {it.meaning}"
        for name, it in VARIABLES.items()
    ]
    coordinates = [f"``{name}``: {meaning}" for name, meaning in COORDINATES.items()]
    return "\n".join(f"    - {line}" for line in variables + coordinates)

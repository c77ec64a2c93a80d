"""Maps as files: NetCDF, with the query and the tokens as JSON in it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from horizon_widget.baseline import Baseline
from horizon_widget.errors import HorizonError, MapFileError
from horizon_widget.metric import FUNCTION, NAMES, Metric
from horizon_widget.query import Query
from horizon_widget.tokens import Token

FORMAT, VERSION = "horizon_widget map", 1
# Made anew from the tokens and the shape on reading.
COORDINATES = ("layer", "source", "target", "source_token", "target_token", "offset")
# Name -> dimensions and kind of number.
VARIABLES = {
    "influence": (("layer", "source", "target"), "f"),
    "clean_metric": (("target",), "f"),
    "noise_floor": (("layer",), "f"),
    "baseline": (("layer",), "U"),
    "baseline_shock": (("layer",), "b"),
    "resample_positions": (("draw", "source"), "i"),
    "state_norm": (("layer", "source"), "f"),
    "sink": (("source",), "b"),
}


def write(path: str | PathLike[str], dataset: xr.Dataset, tokens: Sequence[Token], query: Query) -> None:
    """Write a map to one file, whole or not at all.

    Raises:
        MapFileError: if it cannot be written.
    """
    target = Path(path)
    stored = dataset.drop_vars(list(COORDINATES)).reset_coords(drop=False)
    about = {"query": _query_fields(query), "tokens": [asdict(token) for token in tokens], "attrs": dataset.attrs}
    stored["about"] = ("character", _as_bytes(about))
    stored = stored.drop_vars("baseline").assign(
        baseline_names=("name", _as_bytes([str(kind) for kind in dataset["baseline"].values]))
    )
    stored.attrs = {"format": FORMAT, "version": VERSION}
    encoding = {"influence": {"zlib": True, "complevel": 4, "shuffle": True}}
    draft = None
    try:
        handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(handle)
        stored.to_netcdf(draft, engine="h5netcdf", encoding=encoding)
        Path(draft).replace(target)
    except (OSError, ValueError) as error:
        raise MapFileError(f"The map cannot be written to {target} ({error}).", advice="Name another file.") from error
    finally:
        if draft is not None:
            Path(draft).unlink(missing_ok=True)


def read(path: str | PathLike[str]) -> tuple[xr.Dataset, tuple[Token, ...], Query]:
    """Read a file that ``write`` wrote, checked, wholly into memory.

    Raises:
        MapFileError: if it is missing, damaged or no map.
    """
    source = Path(path)
    if not source.is_file():
        raise MapFileError(f"There is no file {source}.", advice="Check the path.")
    try:
        with xr.open_dataset(source, engine="h5netcdf", decode_times=False) as opened:
            stored = opened.load()
    except Exception as error:  # whatever the HDF5 library makes of foreign bytes
        raise _damaged(source, f"it cannot be opened: {type(error).__name__}") from error
    if stored.attrs.get("format") != FORMAT:
        raise MapFileError(f"{source} is no map of horizon_widget.", advice="Maps are written by HorizonMap.save.")
    version = stored.attrs.get("version")
    if version != VERSION:
        raise MapFileError(
            f"{source} has version {version} of the format, and this horizon_widget reads version {VERSION}.",
            advice="Upgrade horizon-widget.",
        )
    try:
        return _restore(stored)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, HorizonError) as error:
        raise _damaged(source, str(error)) from error


def _damaged(source: Path, reason: str) -> MapFileError:
    return MapFileError(f"{source} is damaged, or no map ({reason}).", advice="Compute and save the map again.")


def _as_bytes(value: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """JSON escapes NUL and lone surrogates, which strings of NetCDF cannot hold."""
    return np.frombuffer(json.dumps(value, default=_plain).encode("ascii"), dtype=np.uint8)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"attribute of type {type(value).__name__}")


def _from_bytes(array: xr.DataArray) -> Any:
    return json.loads(array.values.astype(np.uint8).tobytes().decode("ascii"))


def _query_fields(query: Query) -> dict[str, Any]:
    metric = {"name": query.metric.name, "tokens": query.metric.tokens, "label": query.metric.label}
    fields = ("token_ids", "method", "site", "head", "seed", "draws")
    return {name: getattr(query, name) for name in fields} | {"metric": metric, "baseline": asdict(query.baseline)}


def _read_query(fields: dict[str, Any]) -> Query:
    """A user's own function is not kept: the metric then has its label alone."""
    metric, baseline = dict(fields.pop("metric")), dict(fields.pop("baseline"))
    metric["tokens"] = tuple(int(token) for token in metric["tokens"])
    if metric["name"] not in (*NAMES, FUNCTION):
        raise ValueError(f"unknown metric {metric['name']!r}")
    baseline["reference"] = tuple(tuple(int(i) for i in ids) for ids in baseline["reference"])
    baseline["layers"] = tuple(str(kind) for kind in baseline["layers"])
    baseline["shocks"] = tuple(bool(shock) for shock in baseline["shocks"])
    fields["token_ids"] = tuple(int(i) for i in fields["token_ids"])
    return Query(**fields, metric=Metric(**metric), baseline=Baseline(**baseline))


def _restore(stored: xr.Dataset) -> tuple[xr.Dataset, tuple[Token, ...], Query]:
    about = _from_bytes(stored["about"])
    query = _read_query(about["query"])
    tokens = tuple(_read_token(fields) for fields in about["tokens"])
    if tuple(token.id for token in tokens) != query.token_ids:
        raise ValueError("its tokens are not those of its query")
    names = [str(kind) for kind in _from_bytes(stored["baseline_names"])]
    stored = stored.drop_vars(["about", "baseline_names"]).assign(baseline=("layer", np.array(names, dtype="U14")))
    sizes = {
        "layer": stored.sizes["layer"],
        "source": query.n_tokens,
        "target": query.n_targets,
        "draw": query.draws,
    }
    for name, (dims, kind) in VARIABLES.items():
        variable = stored[name]
        if variable.dims != dims or variable.shape != tuple(sizes[dim] for dim in dims) or variable.dtype.kind != kind:
            raise ValueError(f"{name} has an unexpected shape or type")
    return _with_coordinates(stored[list(VARIABLES)], tokens, query, about["attrs"]), tokens, query


def _read_token(fields: dict[str, Any]) -> Token:
    piece = fields["piece"]
    if not isinstance(fields["text"], str):
        raise TypeError("a token's text is no text")
    return Token(int(fields["id"]), fields["text"], None if piece is None else (int(piece[0]), int(piece[1])))


def _with_coordinates(stored: xr.Dataset, tokens: tuple[Token, ...], query: Query, attrs: dict[str, Any]) -> xr.Dataset:
    source, target = np.arange(query.n_tokens), np.arange(1, query.n_targets + 1)
    texts = np.array([*(token.text for token in tokens), ""], dtype=object)
    offset = target[None, :] - source[:, None]
    if not (stored["influence"].values[:, offset < 1] == 0).all():
        raise ValueError("it has influence on earlier tokens")
    dataset = stored.assign_coords(
        layer=np.arange(stored.sizes["layer"]),
        source=source,
        target=target,
        source_token=("source", texts[:-1]),
        target_token=("target", texts[1 : query.n_targets + 1]),
        offset=(("source", "target"), offset),
    ).set_coords("sink")
    for variable in dataset.variables.values():
        variable.encoding = {}
    dataset.attrs = attrs
    return dataset

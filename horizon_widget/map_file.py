"""Maps as files: NetCDF, with the query and the tokens as JSON in it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from horizon_widget.baseline import KINDS, Baseline
from horizon_widget.errors import MapFileError
from horizon_widget.metric import FUNCTION, NAMES, Metric
from horizon_widget.query import Query
from horizon_widget.tokens import Token

FORMAT, VERSION = "horizon_widget map", 1
# Made anew from the tokens and the shape on reading.
COORDINATES = ("layer", "source", "target", "source_token", "target_token", "offset")
# Name -> dimensions and type.
VARIABLES = {
    "influence": (("layer", "source", "target"), "float32"),
    "clean_metric": (("target",), "float32"),
    "noise_floor": (("layer",), "float32"),
    "baseline": (("layer",), "U14"),
    "baseline_shock": (("layer",), "bool"),
    "resample_positions": (("draw", "source"), "int64"),
    "state_norm": (("layer", "source"), "float32"),
    "sink": (("source",), "bool"),
}


def write(path: str | PathLike[str], dataset: xr.Dataset, tokens: Sequence[Token], query: Query) -> None:
    """Write a map to one file, whole or not at all.

    Raises:
        MapFileError: if it cannot be written.
    """
    draft = None
    try:
        target = Path(path).resolve()  # a link stays one
        stored = _stored(dataset, tokens, query)
        _restore(stored)  # nothing is written that could not be read
        encoding = {"influence": {"zlib": True, "complevel": 4, "shuffle": True}}
        draft = target.parent / f".{uuid.uuid4().hex}.part"
        stored.to_netcdf(draft, engine="h5netcdf", encoding=encoding)
        draft.replace(target)
    except Exception as error:  # whatever the HDF5 library, or a dataset changed by hand, comes to
        raise MapFileError(f"The map cannot be written to {path} ({error}).", advice=_advice(error)) from error
    finally:
        if draft is not None:
            with suppress(OSError):
                draft.unlink()


def _stored(dataset: xr.Dataset, tokens: Sequence[Token], query: Query) -> xr.Dataset:
    stored = dataset.drop_vars([*COORDINATES, "baseline"]).reset_coords()
    about = {"query": _query_fields(query), "tokens": [asdict(token) for token in tokens], "attrs": dataset.attrs}
    stored["about"] = ("character", _as_bytes(about))
    stored["baseline_names"] = ("name", _as_bytes([str(kind) for kind in dataset["baseline"].values]))
    stored.attrs = {"format": FORMAT, "version": VERSION}
    return stored


def _advice(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "Install what reads NetCDF: pip install h5netcdf h5py."
    return "Name another file." if isinstance(error, OSError) else "Was its dataset changed by hand?"


def read(path: str | PathLike[str]) -> tuple[xr.Dataset, tuple[Token, ...], Query]:
    """Read a file that ``write`` wrote, checked, wholly into memory.

    Raises:
        MapFileError: if it is missing, damaged or no map.
    """
    source = Path(path)
    try:
        if not source.is_file():
            raise MapFileError(f"There is no file {source}.", advice="Check the path.")
        with xr.open_dataset(source.absolute(), engine="h5netcdf", decode_times=False) as opened:
            stored = opened.load()
    except MapFileError:
        raise
    except ImportError as error:
        raise MapFileError(f"{source} cannot be read ({error}).", advice=_advice(error)) from error
    except Exception as error:  # whatever the HDF5 library makes of foreign bytes
        raise _damaged(source, f"it cannot be opened: {type(error).__name__}") from error
    if str(stored.attrs.get("format")) != FORMAT:
        raise MapFileError(f"{source} is no map of horizon_widget.", advice="Maps are written by HorizonMap.save.")
    version = stored.attrs.get("version")
    if not isinstance(version, (int, np.integer)) or version != VERSION:
        raise MapFileError(
            f"{source} has version {version} of the format, and this horizon_widget reads version {VERSION}.",
            advice="Upgrade horizon-widget.",
        )
    try:
        return _restore(stored)
    except Exception as error:  # whatever a description written by hand comes to
        raise _damaged(source, f"{type(error).__name__}: {error}") from error


def _damaged(source: Path, reason: str) -> MapFileError:
    return MapFileError(f"{source} is damaged, or no map ({reason}).", advice="Compute and save the map again.")


def _as_bytes(value: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """JSON as bytes: strings of NetCDF cannot hold NUL and lone surrogates, and JSON's escapes join some of these."""
    written = json.dumps(value, default=_plain, ensure_ascii=False)
    return np.frombuffer(written.encode("utf-8", "surrogatepass"), dtype=np.uint8)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"attribute of type {type(value).__name__}")


def _from_bytes(array: xr.DataArray) -> Any:
    return json.loads(array.values.astype(np.uint8).tobytes().decode("utf-8", "surrogatepass"))


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
    if not {*names} <= {"", *KINDS}:
        raise ValueError("its baselines are not known")
    if not isinstance(about["attrs"], dict):
        raise TypeError("its attributes are none")
    stored = stored.drop_vars(["about", "baseline_names"]).assign(baseline=("layer", np.array(names, dtype="U14")))
    sizes = {
        "layer": stored.sizes["layer"],
        "source": query.n_tokens,
        "target": query.n_targets,
        "draw": query.draws,
    }
    for name, (dims, dtype) in VARIABLES.items():
        variable = stored[name]
        if variable.dims != dims or variable.shape != tuple(sizes[dim] for dim in dims) or variable.dtype != dtype:
            raise ValueError(f"{name} has an unexpected shape or type")
    return _with_coordinates(stored[list(VARIABLES)], tokens, query, about["attrs"]), tokens, query


def _read_token(fields: dict[str, Any]) -> Token:
    token_id, text, piece = fields["id"], fields["text"], fields["piece"]
    if type(token_id) is not int or not isinstance(text, str):
        raise TypeError("a token's id is no number, or its text no text")
    if piece is None:
        return Token(token_id, text)
    k, n = piece
    if not 1 <= k <= n:
        raise ValueError("a token is no part of its character")
    return Token(token_id, text, (int(k), int(n)))


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

"""Maps as files: NetCDF, with the query and the tokens as JSON in it.

Variables and attributes that a user adds to a map's dataset are saved too. If one would not read back unchanged, saving
the map is refused with its name.

A file has the version of its format, ``VERSION``, which is independent of the package's version. A file of an older
version is read: ``MIGRATIONS[n]`` turns what version ``n`` stores into what version ``n + 1`` stores. A file of a newer
version is refused with the advice to upgrade.

- A new attribute of the dataset needs no new version. Attributes of any name are saved, and readers accept that some
  are missing.
- A new method, metric, baseline or site needs no new version. A reader that does not have it says so, with the advice
  to upgrade.
- A new variable goes into ``schema.VARIABLES``, a new field of ``Query`` or ``Token`` into what writes and reads
  it. Both raise ``VERSION`` and need a migration that gives older files a value. If a user has stored a variable of
  that name, the migration renames it.
- Raise ``VERSION`` for every change that an older reader would misread or report as damage. A key of ``about`` that
  older readers may ignore needs no new version. Read it with ``about.get``.
- ``tests/unit/data`` has a file of each version.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore

from horizon_widget.errors import MapFileError
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.facts import BASELINES, METHODS, METRICS, SITES
from horizon_widget.question.metric import FUNCTION, Metric
from horizon_widget.question.query import Query
from horizon_widget.question.tokens import Token
from horizon_widget.result import files, schema
from horizon_widget.result.schema import COORDINATES, VARIABLES, variables_of

FORMAT, VERSION = "horizon_widget map", 1
MIGRATIONS: dict[int, Callable[[xr.Dataset], xr.Dataset]] = {}
REMADE = (*COORDINATES, "baseline")  # made anew when a file is read, and not stored as variables
INSIDE = {"about": "about_bytes", "baseline_names": "baseline_names_bytes"}  # only in files: variable -> dimension
COMPRESSED = {"influence": {"zlib": True, "complevel": 4, "shuffle": True}}


def write(path: str | PathLike[str], dataset: xr.Dataset, tokens: Sequence[Token], query: Query) -> None:
    """Write a map to one file, whole or not at all; see ``files.write``.

    Raises:
        MapFileError: if the file cannot be written, or the dataset has something that a file cannot hold.
    """
    named = files.as_path(path)
    try:
        content = _encode(dataset, tokens, query)
    except MapFileError:
        raise
    except Exception as error:  # a dataset that was changed by hand may raise anything
        raise MapFileError(f"The map cannot be written ({_named(error)}).", advice=_advice(error)) from error
    files.write(named, content)


def _encode(dataset: xr.Dataset, tokens: Sequence[Token], query: Query) -> bytes:
    stored = _stored(dataset, tokens, query)
    try:
        content = _as_netcdf(stored, COMPRESSED)
        restored, *_ = _restore(_from_netcdf(content))
    except Exception:
        _check_alone(stored)
        raise
    for name, variable in dataset.variables.items():
        kept = restored.variables.get(name)
        if kept is None or not variable.identical(kept):  # type: ignore[no-untyped-call]
            raise _refused(f"variable {name!r}", "it would not read back unchanged")
    for name in dataset.attrs:
        if name not in restored.attrs or not _only(dataset, name).identical(_only(restored, name)):
            raise _refused(f"attribute {name!r}", "it would not read back unchanged")
    return content


def _stored(dataset: xr.Dataset, tokens: Sequence[Token], query: Query) -> xr.Dataset:
    for name in (*INSIDE, *INSIDE.values()):
        if name in dataset.variables or name in dataset.dims:
            raise _refused(f"name {name!r}", "files use it for something else")
    stored = dataset.drop_vars(REMADE).reset_coords().drop_encoding()
    about = {
        "query": _query_fields(query),
        "tokens": [asdict(token) for token in tokens],
        "attrs": _checked(dataset.attrs),
        "attrs_of": {name: _checked(dataset[name].attrs) for name in REMADE if dataset[name].attrs},
        "coords": [name for name in dataset.coords if name not in (*variables_of(query), *COORDINATES)],
    }
    names = [str(kind) for kind in dataset["baseline"].values]
    for name, value in (("about", about), ("baseline_names", names)):
        stored[name] = (INSIDE[name], _as_bytes(value))
    stored.attrs = {"format": FORMAT, "version": VERSION}
    return stored


def _checked(attrs: dict[Any, Any]) -> dict[Any, Any]:
    for name, value in attrs.items():
        try:
            _as_bytes(value)
        except Exception as error:
            raise _refused(f"attribute {name!r}", _named(error)) from error
    return attrs


def _as_netcdf(dataset: xr.Dataset, encoding: dict[str, Any]) -> bytes:
    """Make a file in memory. All memory is reserved first, because a failed write of HDF5 crashes the process later."""
    import h5netcdf
    import h5py

    size = int(1.01 * dataset.nbytes) + 2**20
    options = {"driver": "core", "backing_store": False, "block_size": size, "track_order": True}
    with h5py.File(uuid.uuid4().hex, "w", **options) as memory:
        with h5netcdf.File(memory, "w") as file:
            dataset.dump_to_store(H5NetCDFStore(file), encoding=encoding)
        memory.flush()
        content: bytes = memory.id.get_file_image()
    return content


def _from_netcdf(content: bytes) -> xr.Dataset:
    # Some versions of xarray would turn a number of seconds into timedelta64.
    with xr.open_dataset(io.BytesIO(content), engine="h5netcdf", decode_timedelta=False) as opened:
        return opened.load()


def _check_alone(stored: xr.Dataset) -> None:
    """Find the variable that a file cannot hold, and refuse it by name."""
    for name, variable in stored.variables.items():
        try:
            shown = variable[:0] if name in VARIABLES else variable  # only the attributes, since values may be large
            _from_netcdf(_as_netcdf(xr.Dataset({name: shown}), {}))
        except (ImportError, MemoryError):
            return
        except Exception as error:
            raise _refused(f"variable {name!r}", _named(error)) from error


def _only(dataset: xr.Dataset, attribute: Any) -> xr.Dataset:
    return xr.Dataset(attrs={attribute: dataset.attrs[attribute]})


def _refused(what: str, reason: str) -> MapFileError:
    return MapFileError(
        f"The {what} of the map's dataset cannot be saved in a file ({reason}).",
        advice="Drop it, or give it another name or type.",
    )


def _named(error: Exception) -> str:
    return str(error) or type(error).__name__


def _advice(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "Install the packages that read NetCDF: pip install h5netcdf h5py."
    if isinstance(error, (MemoryError, OSError)):  # HDF5 raises OSError when memory runs out
        return "Is there enough memory?"
    return "Was its dataset changed by hand?"


def read(path: str | PathLike[str]) -> tuple[xr.Dataset, tuple[Token, ...], Query]:
    """Read a file that ``write`` wrote into memory, and check it.

    Raises:
        MapFileError: if it is missing, damaged or not a map.
    """
    source = files.as_path(path)
    content = files.read(source)
    try:
        stored = _from_netcdf(content)
    except ImportError as error:
        raise MapFileError(f"{source} cannot be read ({error}).", advice=_advice(error)) from error
    except Exception as error:  # the HDF5 library may raise anything for foreign bytes
        raise _damaged(source, f"it cannot be opened: {type(error).__name__}") from error
    if str(stored.attrs.get("format")) != FORMAT:
        raise MapFileError(f"{source} is not a map of horizon_widget.", advice="HorizonMap.save writes maps.")
    version = stored.attrs.get("version")
    if not isinstance(version, (int, np.integer)) or not 1 <= version <= VERSION:
        raise MapFileError(
            f"{source} has version {version} of the format, and this horizon_widget reads versions up to {VERSION}.",
            advice="Upgrade horizon-widget.",
        )
    try:
        for older in range(int(version), VERSION):
            stored = MIGRATIONS[older](stored)
        return _restore(stored)
    except _NewerError as error:
        raise MapFileError(
            f"{source} has the {error}, which this version of horizon_widget does not have.",
            advice="Upgrade horizon-widget.",
        ) from error
    except Exception as error:  # a file that was changed by hand may raise anything
        raise _damaged(source, f"{type(error).__name__}: {error}") from error


def _damaged(source: Path, reason: str) -> MapFileError:
    return MapFileError(f"{source} is damaged, or not a map ({reason}).", advice="Compute and save the map again.")


def _as_bytes(value: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """JSON as bytes. NetCDF's strings cannot hold NUL and lone surrogates, and JSON's escapes join some surrogates."""
    written = json.dumps(value, default=_plain, ensure_ascii=False)
    return np.frombuffer(written.encode("utf-8", "surrogatepass"), dtype=np.uint8)


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"it holds a {type(value).__name__}")


def _from_bytes(array: xr.DataArray) -> Any:
    return json.loads(array.values.astype(np.uint8).tobytes().decode("utf-8", "surrogatepass"))


def _query_fields(query: Query) -> dict[str, Any]:
    metric = {"name": query.metric.name, "tokens": query.metric.tokens, "label": query.metric.label}
    fields = ("token_ids", "method", "site", "head", "seed", "draws")
    return {name: getattr(query, name) for name in fields} | {"metric": metric, "baseline": asdict(query.baseline)}


KNOWN = {"method": METHODS, "metric": METRICS, "baseline": BASELINES, "site": SITES}


class _NewerError(Exception):
    """A file with something that this version of the package does not have."""


def _read_query(fields: dict[str, Any]) -> Query:
    """Make a query from its stored fields. A user's own metric has only its label, since files hold no functions."""
    metric, baseline = dict(fields.pop("metric")), dict(fields.pop("baseline"))
    metric["tokens"] = tuple(int(token) for token in metric["tokens"])
    asked = {"method": fields["method"], "metric": metric["name"], "baseline": baseline["kind"], "site": fields["site"]}
    for name, known in KNOWN.items():
        if asked[name] not in (*known, FUNCTION):
            raise _NewerError(f"{name} {asked[name]!r}")
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
    if not {*names} <= {"", *BASELINES}:
        raise ValueError("its baselines are not known")
    stored = stored.drop_vars(INSIDE).assign(baseline=("layer", np.array(names, dtype="U14")))
    coords = about.get("coords", [])
    of_user = {*stored.variables} - {*variables_of(query)}
    if not of_user.isdisjoint(COORDINATES) or not of_user.issuperset(coords):
        raise ValueError("its coordinates are not known")
    schema.check(stored, query)
    dataset = schema.with_coordinates(stored.set_coords(coords), tokens, query).drop_encoding()
    dataset.attrs = _mapping(about["attrs"])
    for name, attrs in _mapping(about.get("attrs_of", {})).items():
        if name not in REMADE:
            raise ValueError("it has attributes of an unknown variable")
        dataset[name].attrs = _mapping(attrs)
    return dataset, tokens, query


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("its attributes are not a mapping")
    return value


def _read_token(fields: dict[str, Any]) -> Token:
    token_id, text, piece = fields["id"], fields["text"], fields["piece"]
    if type(token_id) is not int or not isinstance(text, str):
        raise TypeError("a token's id is not a number, or its text is not a text")
    if piece is None:
        return Token(token_id, text)
    k, n = piece
    if not 1 <= k <= n:
        raise ValueError("a token is not a part of its character")
    return Token(token_id, text, (int(k), int(n)))

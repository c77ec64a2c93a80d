"""Files on disk: read at once, and written whole or not at all."""

from __future__ import annotations

import os
import stat
import uuid
from contextlib import suppress
from os import PathLike
from pathlib import Path

from horizon_widget.errors import MapFileError


def as_path(path: str | PathLike[str]) -> Path:
    """The path that a user named, with ``~`` expanded.

    Raises:
        MapFileError: if it is not a path, such as an open file, or names an unknown user.
    """
    try:
        return Path(os.fsdecode(path)).expanduser()
    except TypeError as error:
        kind = type(path).__name__
        raise MapFileError(f"A map is saved to a path, not to a {kind}.", advice='Name a file: "map.nc".') from error
    except RuntimeError as error:
        raise MapFileError(f"{path} names an unknown home folder.", advice="Write the path out.") from error


def read(path: Path) -> bytes:
    """The content of a regular file.

    Raises:
        MapFileError: if there is no such file, or it cannot be read.
    """
    if _status(path) is None:
        raise MapFileError(f"There is no file {path}.", advice="Check the path.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise MapFileError(f"{path} cannot be read ({_reason(error)}).", advice="Check the path.") from error


def write(path: Path, content: bytes) -> None:
    """Make a file, or replace one. Other programs see the old content or the new content, never a part.

    A file that is replaced keeps its permissions and, if the system allows it, its owner and group. A read-only file is
    refused, even to root if nobody has the permission to write it. A symbolic link stays, and its target is written.

    Raises:
        MapFileError: if the file cannot be written. An old file then stays as it was.
    """
    old = _status(path)
    if old is not None and not (old.st_mode & 0o222 and os.access(path, os.W_OK)):
        raise MapFileError(f"{path} is read-only.", advice="Name another file, or make this one writable.")
    target = path.resolve()
    draft = target.parent / f".{uuid.uuid4().hex}.part"
    try:
        with draft.open("xb") as file:
            if old is not None:  # before the content can be read
                _copy_permissions(old, draft)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # some file systems report only here that they are full
        draft.replace(target)
    except OSError as error:
        raise MapFileError(f"{path} cannot be written ({_reason(error)}).", advice="Name another file.") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _status(path: Path) -> os.stat_result | None:
    """The status of the regular file that a path leads to; ``None`` if there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise MapFileError(f"{path!r} leads nowhere ({_reason(error)}).", advice="Check the path.") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, a pipe or a socket"
        raise MapFileError(f"{path} is {kind}, not a regular file.", advice="Name another file.")
    return status


def _copy_permissions(old: os.stat_result, draft: Path) -> None:
    """Copy owner, group and mode. The mode is last, because a change of owner may clear some of its bits."""
    if hasattr(os, "chown"):
        for owner, group in ((old.st_uid, -1), (-1, old.st_gid)):
            with suppress(OSError):  # only root may change the owner
                os.chown(draft, owner, group)
    with suppress(OSError):  # some file systems have no modes
        draft.chmod(stat.S_IMODE(old.st_mode))


def _reason(error: Exception) -> str:
    """The reason of an error, without the name of the draft."""
    return getattr(error, "strerror", None) or str(error)

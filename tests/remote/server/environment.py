"""The server's requirements on a machine: a virtual environment with NDIF, Redis, and Linux namespaces."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
FOLDER = HERE.parents[2] / ".venv-ndif"
LOCK = HERE.parents[2] / ".make" / "ndif.lock"

# New process numbers, mounts and network. Another user than root becomes root inside.
NAMESPACES = [
    *("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]),
]


class Missing(Exception):
    """A requirement of the server is missing; the message names it and says what to do."""


def prepare() -> Path:
    """Check all requirements, and install the environment and, as root, Redis.

    Returns:
        The environment's Python.

    Raises:
        Missing: if something cannot be installed.
    """
    if not sys.platform.startswith("linux"):
        raise Missing(f"The NDIF server of the tests needs Linux namespaces; this is {sys.platform}.")
    _require_namespaces()
    _require_redis()
    LOCK.parent.mkdir(exist_ok=True)
    with FileLock(LOCK):
        return _environment()


def variables() -> dict[str, str]:
    """The environment variables of the first process inside: the path of its code, and no variables of this project."""
    named = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NDIF_", "RAY_"))}
    return {**named, "PYTHONPATH": str(HERE / "inside")}


def _require_namespaces() -> None:
    if shutil.which("unshare") is None:
        raise Missing("The command unshare is missing. Install it (Debian: apt-get install util-linux).")
    tried = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        raise Missing(
            "No namespaces can be made here; they keep the NDIF server's ports on loopback "
            f"({tried.stderr.strip()}). Run as root with the capability CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN "
            "--security-opt seccomp=unconfined), or allow unprivileged user namespaces."
        )


def _require_redis() -> None:
    if shutil.which("redis-server") is not None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing("The command redis-server is missing. Install it (Debian: apt-get install redis-server).")
    # RUNLEVEL=1 keeps Debian from starting a Redis service.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "redis-server"]):
        done = subprocess.run(["apt-get", *command], env=quiet, capture_output=True, text=True)
        if done.returncode != 0:
            raise Missing(f"redis-server is missing, and apt-get {command[0]} failed: {done.stderr.strip()}")


def _environment() -> Path:
    """The environment's Python. The environment is made again if its requirements have changed."""
    python = FOLDER / "bin" / "python"
    mark = FOLDER / ".requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if mark.exists() and mark.read_text() == wanted and python.exists():
        return python
    print("\nMaking .venv-ndif for the NDIF server (1.7 GB; a minute or two)", flush=True)
    venv.create(FOLDER, clear=True, with_pip=True)
    options = ["--disable-pip-version-check", "-qq", "--ignore-requires-python"]
    command = [str(python), "-m", "pip", "install", *options, "-r", str(REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(f"The NDIF server's environment could not be installed:\n{done.stderr.strip()}")
    mark.write_text(wanted)
    return python

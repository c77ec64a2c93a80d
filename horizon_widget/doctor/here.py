"""Checks of this machine: versions, devices, the cache."""

from __future__ import annotations

import functools
import importlib
import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import horizon_widget
from horizon_widget.doctor.finding import MISSING, OK, WRONG, Finding

DISTRIBUTION = "horizon-widget"
SHOWN = ("torch", "transformers", "nnsight", "anywidget")  # the versions that matter most
OPTIONAL = {
    "jupyterlab": "It is one of several notebooks that show the widget: pip install jupyterlab.",
    "matplotlib": "HorizonMap.plot needs it: pip install 'horizon-widget[plot]'.",
}


def package() -> Iterator[Finding]:
    """This package, Python and the dependencies; a version that this package does not allow is wrong."""
    yield _found("package", DISTRIBUTION, horizon_widget.__version__)
    yield _found("package", "Python", platform.python_version())
    required = _required()
    others = [name for name in required if name not in SHOWN]
    for name in (*SHOWN, *others):
        finding = _dependency(name, required.get(name))
        if name in SHOWN or finding.state == WRONG:
            yield finding
    for name, advice in OPTIONAL.items():
        version = _version(name)
        missing = Finding("package", name, MISSING, "not installed", advice, {"version": None})
        yield missing if version is None else _found("package", name, version)
    yield _front_end()


def devices() -> Iterator[Finding]:
    """The devices that models can run on, and how much memory is free."""
    import psutil
    import torch

    memory = psutil.virtual_memory()
    yield Finding(
        "devices",
        "CPU",
        OK,
        f"{torch.get_num_threads()} of {os.cpu_count()} threads, "
        f"{_size(memory.available)} of {_size(memory.total)} memory free",
        values={"threads": torch.get_num_threads(), "memory": memory.total, "free": memory.available},
    )
    accelerators = [*_cuda(torch), *_mps(torch)]
    yield from accelerators
    if not accelerators:
        built = "for CUDA" if torch.version.cuda else "for CPUs only"
        yield Finding(
            "devices",
            "GPU",
            MISSING,
            f"none that torch can use (this torch was built {built})",
            "None is needed for small models. If there is one: https://pytorch.org/get-started/locally/",
            {"built_for_cuda": torch.version.cuda},
        )


def cache() -> Iterator[Finding]:
    """Whether the demo model is there, and where."""
    from horizon_widget.models.demo import cached_demo_model

    folder, is_complete = cached_demo_model()
    values: dict[str, Any] = {"folder": str(folder), "complete": is_complete}
    if is_complete:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        yield Finding("cache", "demo model", OK, f"{_size(size)} in {folder}", values={**values, "bytes": size})
        return
    yield Finding(
        "cache",
        "demo model",
        MISSING,
        f"{'incomplete' if folder.exists() else 'not downloaded yet'}; its folder is {folder}",
        'load_model("demo") downloads it (93 MB) and converts it (540 MB); that needs pip install '
        "'horizon-widget[demo]'. HORIZON_WIDGET_CACHE sets another folder.",
        values,
    )


def _required() -> dict[str, str]:
    """The dependencies by name, with the versions that this package allows."""
    from packaging.requirements import Requirement

    try:
        texts = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from its folder, never installed
        return {}
    needed = [need for need in map(Requirement, texts) if need.marker is None or need.marker.evaluate({"extra": ""})]
    return {need.name: str(need.specifier) for need in needed}


def _dependency(name: str, allowed: str | None) -> Finding:
    from packaging.specifiers import SpecifierSet

    version = _version(name)
    install = f"pip install '{name}{allowed or ''}'"
    if version is None:
        return Finding("package", name, WRONG, "not installed", f"Run: {install}", {"version": None})
    values = {"version": version, "allowed": allowed}
    if not SpecifierSet(allowed or "").contains(version, prereleases=True):
        return Finding("package", name, WRONG, f"{version}, but {allowed} is needed", f"Run: {install}", values)
    try:
        importlib.import_module(_module_of(name))
    except Exception as error:  # a broken installation raises anything
        said = f"{version}, but it cannot be imported ({type(error).__name__}: {error})".splitlines()[0][:300]
        return Finding("package", name, WRONG, said, f"Run: {install} --force-reinstall", values)
    return _found("package", name, version, allowed=allowed)


def _module_of(package: str) -> str:
    """The name that a package is imported by: "websocket" for "websocket-client"."""
    from packaging.utils import canonicalize_name

    name = canonicalize_name(package)  # metadata spells "typing-extensions" with "_"
    modules = [module for module, packages in _packages().items() if name in map(canonicalize_name, packages)]
    return package if package in modules or not modules else min(modules)


@functools.cache
def _packages() -> Mapping[str, list[str]]:
    """The packages that each module belongs to. Reading them takes a while."""
    return metadata.packages_distributions()


def _front_end() -> Finding:
    script = Path(horizon_widget.__file__).parent / "static" / "widget.js"
    if script.is_file():
        return Finding("package", "front end", OK, f"{_size(script.stat().st_size)}", values={"built": True})
    return Finding("package", "front end", WRONG, "not built", "In a checkout, run: make build", {"built": False})


def _cuda(torch: Any) -> Iterator[Finding]:
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(number)
        device = torch.cuda.get_device_name(number)
        said = f"{device}, {_size(free)} of {_size(total)} memory free"
        yield Finding("devices", f"cuda:{number}", OK, said, values={"device": device, "memory": total, "free": free})


def _mps(torch: Any) -> Iterator[Finding]:
    if torch.backends.mps.is_available():
        total = torch.mps.recommended_max_memory()
        yield Finding("devices", "mps", OK, f"{_size(total)} memory, shared with the CPU", values={"memory": total})


def _found(area: str, name: str, version: str, **values: Any) -> Finding:
    return Finding(area, name, OK, version, values={"version": version, **values})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _size(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"

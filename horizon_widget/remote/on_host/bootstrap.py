"""The first code that runs on a host: it imports the modules sent for one request, and calls one of their tasks.

This file is sent as text and run inside an nnsight session, so it imports only the standard library. Nothing stays on
the host: the modules are gone when the request ends.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import linecache
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any


class SentModules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads modules among those that were sent.

    Args:
        sources: The text of each module, by its full name.
    """

    def __init__(self, sources: dict[str, str]) -> None:
        self._sources = sources

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """See ``importlib``."""
        del path, target
        if fullname not in self._sources:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=_file(fullname))

    def is_package(self, fullname: str) -> bool:
        """See ``importlib``."""
        return any(other.startswith(fullname + ".") for other in self._sources)

    def get_source(self, fullname: str) -> str:
        """See ``importlib``."""
        return self._sources[fullname]

    def get_code(self, fullname: str) -> CodeType:
        """See ``importlib``. nnsight reads the text of a traced block back through ``linecache``."""
        text, file = self._sources[fullname], _file(fullname)
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        return compile(text, file, "exec", dont_inherit=True)


def _file(name: str) -> str:
    return f"<sent>/{name.replace('.', '/')}.py"


@contextmanager
def importable(sources: dict[str, str]) -> Iterator[None]:
    """For the duration, the modules that were sent can be imported, and the host's own of the same names cannot."""
    roots = {name.partition(".")[0] for name in sources}

    def loaded() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in roots]

    set_aside = {name: sys.modules.pop(name) for name in loaded()}
    finder = SentModules(sources)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(set_aside)


def answer(traced: Any, sources: dict[str, str], task: str, request: dict[str, Any]) -> dict[str, Any]:
    """Call ``task(traced, request)``, a function of the modules that were sent.

    Args:
        traced: The nnsight model, as the host has it.
        sources: The text of each module, by its full name.
        task: ``"package.module:function"``.
        request: Plain values.

    Returns:
        ``{"answer": what it returned}``, or ``{"error": {type, message, advice, field, traceback}}`` if it raised: an
        error that leaves a sandbox's trace would arrive as a broken pipe.
    """
    module, _, function = task.partition(":")
    with importable(sources):
        try:
            return {"answer": getattr(importlib.import_module(module), function)(traced, request)}
        except Exception as error:
            return {
                "error": {
                    "type": type(error).__name__,
                    "message": str(getattr(error, "message", error)),
                    "advice": str(getattr(error, "advice", "")),
                    "field": getattr(error, "field", None),
                    "traceback": "".join(traceback.format_exception(error)),
                }
            }

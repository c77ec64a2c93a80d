"""The content sent to a host: the source text of this package's modules, and a request of plain values.

nnsight can send the functions of a package by value. Code without a text of its own, such as the methods of a
dataclass, is then sent as bytecode, which only the same version of Python can read. Every version can read text.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import io
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nnsight

from horizon_widget.remote.on_host import bootstrap

PACKAGE = __name__.partition(".")[0]
ON_HOSTS = ("nnsight", "numpy", "torch", "transformers")


def _without_docs(text: str) -> str:
    """A module without its docstrings and comments. Every line keeps its number, for tracebacks."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
            for number in range(first.lineno, (first.end_lineno or first.lineno) + 1):
                lines[number - 1] = ""
            lines[first.lineno - 1] = " " * first.col_offset + '""'
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    return "\n".join(lines) + "\n"


BOOTSTRAP = _without_docs(Path(bootstrap.__file__).read_text(encoding="utf-8"))


@functools.cache
def sources(module: str) -> dict[str, str]:
    """The text of a module and of everything that it imports from this package or its own, by full name.

    Packages are sent with an empty ``__init__``.
    """
    roots = {PACKAGE, module.partition(".")[0]}
    texts: dict[str, str] = {}
    found = [module]
    while found:
        name = found.pop()
        spec = None if name in texts or name.partition(".")[0] not in roots else _spec(name)
        if spec is None:
            continue
        is_package = spec.submodule_search_locations is not None
        texts[name] = "" if is_package else _without_docs(Path(spec.origin).read_text(encoding="utf-8"))
        found += [*_imported(texts[name]), name.rpartition(".")[0]]
    return texts


def _spec(name: str) -> Any:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a name imported from a module
        return None


def _imported(text: str) -> Iterator[str]:
    """Modules that a text imports, without those for type checking alone."""
    nodes: list[ast.AST] = [ast.parse(text)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        else:
            nodes += ast.iter_child_nodes(node)


def send_by_value(function: Any) -> None:
    """Have nnsight send a user's function with what it needs from its module, unless hosts have that module."""
    package = str(getattr(function, "__module__", None) or "__main__").partition(".")[0]
    if package not in (*ON_HOSTS, *sys.stdlib_module_names):
        nnsight.register(package)


def capture(traced: Any, backend: Any, task: Callable[[Any, dict[str, Any]], Any], request: dict[str, Any]) -> None:
    """Have nnsight capture a session that performs a task, and give it to a backend; on the thread of local models.

    Args:
        traced: An nnsight model, without weights.
        backend: Called with the session.
        task: A function of this package, called on the host with the model there and the request. The session sends
            back what ``bootstrap.answer`` returns, under the name ``answer``.
        request: Plain values.
    """
    first, texts, name = BOOTSTRAP, sources(task.__module__), f"{task.__module__}:{task.__qualname__}"
    # Only the names used in this block are sent with it.
    with traced.session(backend=backend):
        import linecache

        file = "<sent>/bootstrap.py"
        scope: dict[str, Any] = {"__name__": "bootstrap"}
        linecache.cache[file] = (len(first), None, first.splitlines(keepends=True), file)
        exec(compile(first, file, "exec"), scope)
        answer = nnsight.save(scope["answer"](traced, texts, name, request))  # noqa: F841 - sent back by this name

"""Describes the kernel's messages and traits for the front end: TypeScript types, and facts for tests of sentences.

Run it after a change of ``widget/protocol.py``, ``widget/state.py``, ``result/page.py`` or ``question/facts.py``.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

from horizon_widget.compute.findings import ASPECTS
from horizon_widget.question.facts import METRICS
from horizon_widget.question.metric import Metric
from horizon_widget.result import page
from horizon_widget.widget import protocol, state

ROOT = Path(__file__).parents[1]
CONSTANTS = {
    "PROTOCOL_VERSION": protocol.PROTOCOL_VERSION,
    "LONGEST_TEXT": protocol.LONGEST_TEXT,
    "MOST_WRITTEN": protocol.MOST_WRITTEN,
    "MOST_PINNED": state.MOST_PINNED,
    "LEAST_OFFSETS": list(state.LEAST_OFFSETS),
    "ASPECTS": list(ASPECTS),
}
PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "unknown"}


def typescript() -> str:
    """``js/src/kernel/protocol.ts``: the constants, and interfaces for messages and traits."""
    lines = ["// Made by scripts/describe_protocol.py from the kernel's own description.", ""]
    for name, value in CONSTANTS.items():
        text = json.dumps(value)
        lines.append(f"export const {name} = {text}{' as const' if isinstance(value, list) else ''};")
    waiting = [state.Traits, protocol.Findings]
    for name in ("FromBrowser", "ToBrowser"):
        union = get_args(getattr(protocol, name))
        lines.append(f"export type {name} = {' | '.join(each.__name__ for each in union)};")
        waiting += union
    lines.append("export type Aspect = keyof Findings;")
    described: list[type] = []
    while waiting:
        each = waiting.pop(0)
        if each not in described:
            described.append(each)
            lines += ["", *interface(each, waiting)]
    return "\n".join(lines) + "\n"


def interface(described: type, mentioned: list[type]) -> Iterator[str]:
    """A class as TypeScript, with its docstring for the class and each field; adds the classes it mentions."""
    summary, notes = documentation(described)
    bases = typed_bases(described)
    mentioned += bases
    extends = f" extends {', '.join(base.__name__ for base in bases)}" if bases else ""
    yield f"/** {summary} */"
    yield f"export interface {described.__name__}{extends} {{"
    for field, annotation in fields(described):
        if field in notes:
            yield f"  /** {notes[field]} */"
        yield f"  readonly {field}: {as_typescript(annotation, mentioned)};"
    yield "}"


def fields(described: type) -> list[tuple[str, Any]]:
    """A class's own fields and their types."""
    if issubclass(described, BaseModel):
        return [(name, field.annotation) for name, field in described.model_fields.items()]
    inherited = {name for base in typed_bases(described) for name in base.__annotations__}
    return [(name, hint) for name, hint in get_type_hints(described).items() if name not in inherited]


def typed_bases(described: type) -> list[type]:
    """The bases of a ``TypedDict``."""
    return [base for base in getattr(described, "__orig_bases__", ()) if is_typeddict(base)]


def documentation(described: type) -> tuple[str, dict[str, str]]:
    """The first paragraph of a docstring, and its attributes by name."""
    text = re.sub("``(.*?)``", r"`\1`", inspect.getdoc(described) or "")
    summary, _, attributes = text.partition("\n\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", attributes, re.MULTILINE)
    return " ".join(summary.split()), {name: " ".join(note.split()) for name, note in found}


def as_typescript(annotation: Any, mentioned: list[type]) -> str:
    """A type of Python as one of TypeScript; adds the classes it mentions."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin = get_origin(annotation)
    if origin is None:
        mentioned.append(annotation)
        return str(annotation.__name__)
    if origin is Annotated:
        return as_typescript(get_args(annotation)[0], mentioned)
    if origin is Literal:
        return " | ".join(json.dumps(value) for value in get_args(annotation))
    arguments = [as_typescript(each, mentioned) for each in get_args(annotation) if each is not Ellipsis]
    if origin in (Union, types.UnionType):
        return " | ".join(arguments)
    return f"Readonly<Record<{', '.join(arguments)}>>" if origin is dict else f"readonly {arguments[0]}[]"


def facts() -> str:
    """``tests/protocol/facts.json``: the choices offered, and the description of a query with each metric."""
    metrics = [Metric(name) for name in METRICS] + [Metric("function", label="mine")]
    told = {
        metric.name: {
            "metric": str(metric),
            "short_metric": metric.short,
            "unit": metric.unit,
            "divergence": metric.facts.divergence,
            "words": metric.words,
        }
        for metric in metrics
    }
    return json.dumps({"offered": page.describe_offer(), "metrics": told}, indent=2, ensure_ascii=False) + "\n"


WRITTEN = {
    ROOT / "js" / "src" / "kernel" / "protocol.ts": typescript,
    ROOT / "tests" / "protocol" / "facts.json": facts,
}

if __name__ == "__main__":
    for path, make in WRITTEN.items():
        path.write_text(make())

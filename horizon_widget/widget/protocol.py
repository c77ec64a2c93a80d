"""The messages between kernel and browser. ``js/src/kernel/protocol.ts`` is made from this file and ``state``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Len
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from horizon_widget.compute.findings import ASPECTS, Carrier, Prediction, Verification
from horizon_widget.errors import sendable
from horizon_widget.result.page import Rows
from horizon_widget.widget.state import Problem

PROTOCOL_VERSION = 4

LONGEST_TEXT = 1_000_000
LONGEST_LIST = 10_000
MOST_WRITTEN = 1_000
GREATEST = 2**53 - 1  # the browser's numbers are exact up to here

T = TypeVar("T")
Message = tuple[Mapping[str, Any], list[memoryview]]


class ProtocolError(ValueError):
    """A message that does not fit the description."""


# -- to the kernel -----------------------------------------------------------------------------------------------------


def _check_length(text: str) -> str:
    # Not by pydantic's own limit: that refuses lone surrogates, which the user is told of at the field.
    if len(text) > LONGEST_TEXT:
        raise PydanticCustomError("too_long", f"Text should have at most {LONGEST_TEXT} characters, not {len(text)}")
    return text


def _check_version(version: int) -> int:
    if version != PROTOCOL_VERSION:
        raise PydanticCustomError("version", f"{version} is not {PROTOCOL_VERSION}: reload the page")
    return version


def _check_aspect(aspect: str) -> str:
    if aspect not in ASPECTS:
        raise PydanticCustomError("aspect", f"Input should be one of {', '.join(ASPECTS)}")
    return aspect


Text = Annotated[str, AfterValidator(_check_length)]
Count = Annotated[int, Field(ge=0, le=GREATEST)]
Aspect = Annotated[str, AfterValidator(_check_aspect)]
Some = Annotated[tuple[T, ...], Strict(False), Len(1, LONGEST_LIST)]


class _FromBrowser(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Hello(_FromBrowser):
    """A view opened: send everything."""

    type: Literal["hello"]
    protocol_version: Annotated[int, AfterValidator(_check_version)]


class Ping(_FromBrowser):
    """Does the kernel answer?"""

    type: Literal["ping"]
    number: Count


class Cancel(_FromBrowser):
    """Stop computing."""

    type: Literal["cancel"]


class Resume(_FromBrowser):
    """Continue after a stop."""

    type: Literal["resume"]


class Open(_FromBrowser):
    """Open another map.

    Attributes:
        prompt: The text.
        metric: Its name, and the tokens it names.
        baseline: Its kind, and the other prompt where it needs one; null: as it is.
        layers: The layers to compute in idle time; null: all.
        n_tokens: Number of tokens to write afterwards; 0: none.
    """

    type: Literal["open"]
    prompt: Text
    metric: Some[Text]
    baseline: Some[Text] | None = None
    layers: Some[Count] | None = None
    n_tokens: Annotated[int, Field(ge=0, le=MOST_WRITTEN)]


class WriteOn(_FromBrowser):
    """Let the model write on.

    Attributes:
        n_tokens: How many tokens at most.
    """

    type: Literal["write_on"]
    n_tokens: Annotated[int, Field(ge=1, le=MOST_WRITTEN)]


class Inspect(_FromBrowser):
    """Find out more about one cell of a map."""

    type: Literal["inspect"]
    map_id: Count
    layer: Count
    source: Count
    target: Count
    aspects: Some[Aspect]


FromBrowser = Hello | Ping | Cancel | Resume | Open | WriteOn | Inspect
_FROM_BROWSER: TypeAdapter[FromBrowser] = TypeAdapter(Annotated[FromBrowser, Field(discriminator="type")])


def read(content: object) -> FromBrowser:
    """Check a message from the browser.

    Raises:
        ProtocolError: saying what does not fit.
    """
    try:
        return _FROM_BROWSER.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        raise ProtocolError(f"{place or 'message'}: {first['msg'][:200]}") from None


# -- to the browser ----------------------------------------------------------------------------------------------------


class Direct(TypedDict):
    """The parts of a cell's influence: direct, and through later tokens."""

    total: float
    direct: float
    indirect: float


class UnderBaseline(TypedDict):
    """A cell's influence under one baseline."""

    baseline: str
    influence: float


class Findings(TypedDict):
    """The findings about a cell, by aspect."""

    predictions: list[Prediction]
    direct: Direct
    baseline_sensitivity: list[UnderBaseline]
    carriers: list[Carrier]
    verification: Verification


class Welcome(TypedDict):
    """The answer to ``hello``, before the values."""

    type: Literal["welcome"]
    protocol_version: int


class Pong(TypedDict):
    """The answer to ``ping``."""

    type: Literal["pong"]
    number: int


class Rejected(TypedDict):
    """The answer to a message that could not be read."""

    type: Literal["rejected"]
    reason: str


class Failed(TypedDict):
    """Something that was asked for could not be done; what is on the screen stays.

    Attributes:
        field: Which field or trait is wrong, if one is.
    """

    type: Literal["failed"]
    field: str | None
    problem: Problem


class AnyFinding(TypedDict):
    """The answer to one aspect of ``inspect``.

    Attributes:
        found: An entry of ``Findings``; null if it failed.
        problem: Null if it was found.
    """

    type: Literal["finding"]
    map_id: int
    layer: int
    source: int
    target: int
    aspect: str
    found: Any
    problem: Problem | None


class ValuesHead(Rows):
    """Finished rows of a map."""

    type: Literal["values"]
    map_id: int


ToBrowser = Welcome | Pong | Rejected | Failed | AnyFinding | ValuesHead


def welcome() -> Message:
    """The answer to ``hello``, before the values."""
    return Welcome(type="welcome", protocol_version=PROTOCOL_VERSION), []


def pong(number: int) -> Message:
    """The answer to ``ping``."""
    return Pong(type="pong", number=number), []


def rejected(reason: str) -> Message:
    """The answer to a message that could not be read."""
    return Rejected(type="rejected", reason=reason), []


def failed(field: str | None, problem: Mapping[str, str]) -> Message:
    """Something that was asked for could not be done.

    Args:
        field: Which field or trait is wrong, if one is.
        problem: A ``Problem``.
    """
    return Failed(type="failed", field=None if field is None else sendable(field), problem=_problem(problem)), []


def finding(
    map_id: int, cell: tuple[int, int, int], aspect: str, found: Any, problem: Mapping[str, str] | None
) -> Message:
    """The answer to one aspect of ``inspect``.

    Args:
        map_id: The map that was asked about.
        cell: Layer, source and target.
        aspect: The aspect.
        found: The finding, as plain lists and dicts; ``None`` if it failed.
        problem: A ``Problem`` if it failed.
    """
    layer, source, target = cell
    content = AnyFinding(
        type="finding",
        map_id=map_id,
        layer=layer,
        source=source,
        target=target,
        aspect=aspect,
        found=found,
        problem=None if problem is None else _problem(problem),
    )
    return content, []


def values(map_id: int, rows: Rows, buffers: list[memoryview]) -> Message:
    """Finished rows of a map, as ``page.rows`` gives them."""
    return ValuesHead(type="values", map_id=map_id, **rows), buffers


def _problem(problem: Mapping[str, str]) -> Problem:
    return Problem(title=problem["title"], advice=problem["advice"], detail=problem["detail"])

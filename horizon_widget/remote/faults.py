"""The faults between this machine and an NDIF host, and their messages."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from horizon_widget.errors import ASK_AGAIN, HorizonError, HostError, ModelError, QueryError

E = TypeVar("E", bound=HorizonError)

LATER = "Computed values are kept; Resume tries again."
"""Part of some advice. It is true where a map is being computed."""


class Kind(NamedTuple):
    """The properties that faults of one kind share.

    Attributes:
        advice: What the user can do.
        may_repeat: Whether the fault may pass by itself, and the host is not still at work on the request.
    """

    advice: str
    may_repeat: bool = False


KINDS = {
    "key": Kind(
        "A key has the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, without quotes, spaces or line ends. Get one from "
        'https://login.ndif.us; then set NDIF_API_KEY before Python starts, or call nnsight.login("…").'
    ),
    "address": Kind(
        "NDIF_HOST must be the host's own address, like https://api.ndif.us, without a path. Check it, the clock, and "
        "any proxy on the way."
    ),
    "unreachable": Kind(f"Check NDIF_HOST, the network and any proxy, and whether the host is up. {LATER}", True),
    "unavailable": Kind(f"This often passes within minutes; if it does not, tell the host's operators. {LATER}", True),
    "versions": Kind(
        "The host may need other versions of nnsight, transformers, torch or numpy: horizon-widget doctor --host "
        "compares them."
    ),
    "lost": Kind(LATER, True),
    "silent": Kind(f"It may still be at work on the request, and other requests may have to wait for that. {LATER}"),
    "stopped": Kind(LATER),
    "not deployed": Kind("Check the name and revision, wait, or choose a model that is deployed or smaller."),
    "other model": Kind("Name the revision that the host has, or pass its tokenizer with tokenizer=…."),
    "model changed": Kind(ASK_AGAIN),
    "too much": Kind("Use a shorter prompt. Computed values are kept."),
    "code": Kind("The details show where. Computed values are kept."),
}
"""The kinds of fault, which programs tell apart by ``HostError.kind``."""


class Fault(Enum):
    """The kind and the message of each fault.

    ``{host}``, ``{address}``, ``{model}`` and ``{said}``, what the host or a library said, are filled in.
    """

    NO_KEY = "key", "{host} requires an API key, and none is set."
    MALFORMED_KEY = "key", "The API key that is set is not a valid NDIF key."
    UNKNOWN_KEY = "key", "{host} does not know the API key that is set."
    BAD_ADDRESS = "address", "The address of the NDIF host is not valid ({said})."
    NOT_NDIF = "address", "The server at {address} is not an NDIF host ({said})."
    MOVED = "address", "{host} redirects to another address ({said})."
    INSECURE = "address", "{host} cannot be reached securely ({said})."
    UNREACHABLE = "unreachable", "{host} cannot be reached ({said})."
    UNAVAILABLE = "unavailable", "{host} cannot take requests now ({said})."
    REFUSED = "versions", "{host} refused the request ({said})."
    UNREADABLE = "versions", "The answer of {host} cannot be read ({said})."
    OLD_CLIENT = "versions", "{host} does not accept the versions of nnsight and Python used here ({said})."
    OTHER_MODULES = "versions", "The model {model} on {host} is built from other modules than here ({said})."
    LOST = "lost", "The connection to {host} was lost during the request ({said})."
    REPLICA_DIED = "lost", "The process that runs {model} on {host} ended during the request."
    NO_VALUES = "lost", "{host} reported success, but sent no values."
    NOT_FETCHED = "lost", "The values could not be fetched from the store of {host}, which must be reachable ({said})."
    SILENT = "silent", "{host} has been silent for {said}."
    STOPPED = "stopped", "The operators of {host} stopped the request ({said})."
    NOT_STARTED = "stopped", "{host} could not start {model} ({said})."
    NOT_DEPLOYED = "not deployed", "{host} does not have {model}, and cannot load it ({said})."
    NO_ROOM = "not deployed", "{host} has no room for {model} now ({said})."
    OTHER_MODEL = (
        "other model",
        "The model {model} on {host} is not the one whose configuration and tokenizer were loaded here ({said}).",
    )
    MODEL_CHANGED = (
        "model changed",
        "The model {model} on {host} does not predict the same as when this map was begun: the host has loaded other "
        "weights, or another dtype.",
    )
    TOO_LARGE = "too much", "The request is too large for {host}."
    TIME_LIMIT = "too much", "The request took longer than {host} allows ({said})."
    MEMORY = "too much", "There is not enough memory on {host} for this request."
    CODE = "code", "The computation failed on {host}: {said}"


_NO_DEPLOYMENT = "Could not deploy this model."
_OUT_OF_MEMORY = r"out of memory|OutOfMemoryError|\bMemoryError\b|can't allocate memory|ALLOC_FAILED"

_MEANINGS = {
    # An HTTP error, as ``of_status`` writes it. A server that does not explain it is not NDIF's.
    r"HTTP 3\d\d": Fault.MOVED,
    r"HTTP (429|502|503|504)": Fault.UNAVAILABLE,
    r"HTTP 413": Fault.TOO_LARGE,
    r"HTTP (404|\d+$)": Fault.NOT_NDIF,
    r"HTTP 400: .*API key": Fault.MALFORMED_KEY,
    r"(?i:HTTP 400: .*(nnsight|python))": Fault.OLD_CLIENT,
    r"HTTP 40[13]": Fault.UNKNOWN_KEY,
    r"HTTP 500": Fault.UNAVAILABLE,
    r"HTTP": Fault.REFUSED,
    # The sentences of NDIF 0.1.
    rf"{_NO_DEPLOYMENT}.*(CANT_ACCOMMODATE|No GPU nodes)": Fault.NO_ROOM,
    _NO_DEPLOYMENT: Fault.NOT_DEPLOYED,
    r"Error (provisioning|starting) model": Fault.NOT_STARTED,
    r"Error submitting request to model deployment|Replica was evicted": Fault.REPLICA_DIED,
    r"Critical server error": Fault.UNAVAILABLE,
    r"Your job exceeded the execution timeout": Fault.TIME_LIMIT,
    r"Your job was cancelled|Request cancelled by operator": Fault.STOPPED,
    r"Your request payload could not be read": Fault.REFUSED,
    r"The model architecture on this server doesn't match": Fault.OTHER_MODULES,
    # A traceback.
    rf".*({_OUT_OF_MEMORY})": Fault.MEMORY,
    r"": Fault.CODE,
}
"""The meaning of the beginning of a host's text; the first matching pattern counts."""


class Faults:
    """Makes the errors of one host and model. The API key is in none of them.

    Args:
        host: How messages call the host.
        model: How messages call the model.
        key: The API key; empty: none is set.
        user_info: The user and password in the host's address.
    """

    def __init__(self, host: str, model: str, key: str = "", user_info: str = "") -> None:
        self._names = {"host": f"the host {host}", "address": host, "model": model}
        self._has_key = bool(key)
        self._secrets = (key, user_info)

    def clean(self, text: str) -> str:
        """A text without the secrets."""
        return redacted(text, self._secrets)

    def of(self, fault: Fault, said: object = "", *, detail: str = "") -> HostError:
        """The error that a fault is reported by.

        Args:
            fault: Which one.
            said: The text of the host or a library; the message has its first line.
            detail: Details for a closer look. Default: all of ``said``, if the message has less.
        """
        text = self.clean(str(said)).strip()
        line = (text.splitlines() or ["no reason given"])[0][:300].rstrip(" .")
        kind, message = fault.value
        message = message.format(**self._names, said=line)
        return HostError(
            kind,
            message[:1].upper() + message[1:],
            advice=KINDS[kind].advice,
            detail=self.clean(detail) or (text if text != line else ""),
            may_repeat=KINDS[kind].may_repeat,
        )

    def of_text(self, text: str, *, detail: str = "") -> HostError:
        """The fault that a host's text means.

        Args:
            text: A sentence of NDIF's, a traceback, or ``"HTTP 500: explanation"``.
            detail: Default: the text.
        """
        fault = next(fault for pattern, fault in _MEANINGS.items() if re.match(pattern, text, re.DOTALL))
        if fault is Fault.UNKNOWN_KEY and not self._has_key:
            fault = Fault.NO_KEY
        if fault is Fault.MALFORMED_KEY:
            return self.of(fault)  # the text repeats the key
        said = text.removeprefix(_NO_DEPLOYMENT).strip() or text
        if fault is Fault.CODE:
            said = said.rpartition("\n")[2]  # the last line of a traceback
        return self.of(fault, said, detail=detail or text)

    def of_status(self, status: int, body: str) -> HostError:
        """The fault that an HTTP status other than success means.

        Args:
            status: The HTTP status.
            body: The response's body; for a redirect, the new address.
        """
        explanation = body if status // 100 == 3 else _explanation(body)
        if explanation is None:
            return self.of_text(f"HTTP {status}", detail=f"HTTP {status}\n{body}")
        return self.of_text(f"HTTP {status}: {explanation}")

    def of_http(self, error: BaseException, *, limit: float) -> HostError:
        """The fault that an error of httpx means.

        Args:
            error: The error of httpx.
            limit: How long a connection was waited for, in seconds.
        """
        import httpx  # here: the command line needs the texts alone, at once

        if isinstance(error, httpx.HTTPStatusError):
            response = error.response
            body = response.headers.get("location", "") if response.is_redirect else response.text
            return self.of_status(response.status_code, body)
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return self.of_connecting(error, limit=limit)
        if isinstance(error, httpx.TimeoutException):
            return self.of(Fault.SILENT, f"longer than allowed ({type(error).__name__})")
        return self.of(Fault.LOST, f"{type(error).__name__}: {error}")

    def of_connecting(self, error: BaseException, *, limit: float) -> HostError:
        """The fault of a connection that failed.

        Args:
            error: The error of the socket, or of the library around it.
            limit: How long a connection was waited for, in seconds.
        """
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLError):
                return self.of(Fault.INSECURE, cause)
            if isinstance(cause, OSError) and cause.strerror:
                return self.of(Fault.UNREACHABLE, cause.strerror)
        if any("timeout" in type(cause).__name__.lower() for cause in _causes(error)):
            return self.of(Fault.UNREACHABLE, f"no connection within {limit:g} s")
        return self.of(Fault.UNREACHABLE, f"{type(error).__name__}: {error}")

    def of_our_code(self, error: dict[str, Any]) -> HorizonError:
        """The error of this package's code on the host; a ``QueryError`` or ``ModelError`` stays one.

        Args:
            error: See ``on_host.bootstrap.answer``.
        """
        message, advice = self.clean(str(error["message"])), self.clean(str(error["advice"]))
        trace, name = self.clean(str(error["traceback"])), str(error["type"])
        raised: HorizonError
        if name == "QueryError":
            field = str(error["field"])
            raised = QueryError(field, message.removeprefix(f"{field}: "), advice=advice)
        elif name == "ModelError":
            raised = ModelError(message, advice=advice)
        else:
            text = f"{name}: {message}"
            return self.of(Fault.MEMORY if re.search(_OUT_OF_MEMORY, text) else Fault.CODE, text, detail=trace)
        raised.detail = trace
        return raised


def redacted(text: str, secrets: Sequence[str]) -> str:
    """A text without the secrets and their spellings in a ``repr``.

    Short ones stay, because removing them would only spoil tracebacks. The keys of NDIF have 36 characters.
    """
    forms = {form for secret in secrets for form in (secret, repr(secret)[1:-1], ascii(secret)[1:-1], secret.strip())}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= 8:
            text = text.replace(form, "[removed]")
    return text


def without_causes(error: E) -> E:
    """An error without the frames and errors of the libraries: the API key is in their variables."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _explanation(body: str) -> str | None:
    """NDIF's own explanation of an HTTP error, ``{"detail": …}``; ``None`` if another server answered."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return None
    said = parsed.get("detail") if isinstance(parsed, dict) else None
    return None if said is None else str(said)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

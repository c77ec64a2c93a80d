"""What can go wrong between here and an NDIF host, and what is said of it."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from horizon_widget.errors import ASK_AGAIN, HorizonError, HostError, ModelError, QueryError

LEAST_SECRET = 8  # characters; NDIF's keys have 36. Blotting out shorter ones would only maim tracebacks


class Abandoned(Exception):
    """Nobody waits for this request any more. The host is not told, having no way to be: it may still compute it."""


class Fault(NamedTuple):
    """What is said of one kind of fault; ``{host}``, ``{address}``, ``{model}`` and ``{said}`` are filled in."""

    message: str
    advice: str
    may_repeat: bool = False


_KEY_ADVICE = (
    'Get one from https://login.ndif.us; then set NDIF_API_KEY before Python starts, or call nnsight.login("…").'
)
LATER = "What is computed is kept; Resume tries again."
"""Part of some advice, true where a map is being computed."""

FAULTS = {
    # the key
    "no key": Fault("{host} asks for an API key, and none is set.", _KEY_ADVICE),
    "malformed key": Fault(
        "The API key that is set cannot be one of NDIF's.",
        "It has the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, without quotes, spaces or line ends. " + _KEY_ADVICE,
    ),
    "unknown key": Fault("{host} does not know the API key that is set.", _KEY_ADVICE),
    # the address
    "bad address": Fault(
        "The address of the NDIF host is not one ({said}).",
        "NDIF_HOST must be like https://api.ndif.us, with http:// or https:// and no more than host and port.",
    ),
    "unknown host": Fault("There is no machine of the name {address}.", "Check NDIF_HOST and the network."),
    "unreachable": Fault(
        "{host} cannot be reached ({said}).",
        "Check NDIF_HOST and the network, and whether the host is up. " + LATER,
        True,
    ),
    "no connection in time": Fault(
        "{host} did not take up a connection within {said}.",
        "Check NDIF_HOST, the network and any proxy, and whether the host is up. " + LATER,
        True,
    ),
    "certificate": Fault(
        "{host} cannot be reached safely ({said}).", "Check NDIF_HOST, the clock, and any proxy between here and there."
    ),
    "not NDIF": Fault("What answers at {address} is not an NDIF host ({said}).", "Check NDIF_HOST."),
    "moved": Fault("{host} sends us elsewhere ({said}).", "Set NDIF_HOST to the host's own address."),
    # the host
    "unavailable": Fault("{host} is up, but not ready ({said}).", "This often passes within minutes. " + LATER, True),
    "host failed": Fault("{host} failed ({said}).", "Its operators can find out why. " + LATER, True),
    "busy": Fault("{host} takes no more requests now ({said}).", "Wait a little. " + LATER, True),
    "old client": Fault(
        "{host} does not accept the versions of nnsight and Python used here ({said}).",
        "Upgrade nnsight, within what this package allows.",
    ),
    "refused": Fault("{host} refused the request ({said}).", "It may run another version of NDIF than is known here."),
    "too large": Fault("The request is too large for {host}.", "Use a shorter prompt."),
    "lost": Fault("The connection to {host} was lost during the request ({said}).", LATER, True),
    "silent": Fault(
        "{host} has been silent for {said}.",
        "It may still be at work on the request, and others may have to wait for that. " + LATER,
    ),
    # the model
    "not deployed": Fault(
        "{host} does not have {model}, and cannot deploy it ({said}).",
        "Check the name and revision, or choose a model that is deployed.",
    ),
    "no room": Fault(
        "{host} has no room for {model} now ({said}).", "Wait, or choose a model that is deployed or smaller."
    ),
    "model not started": Fault("{host} could not start {model} ({said}).", LATER),
    "replica died": Fault("The process on {host} that runs {model} ended during the request.", LATER, True),
    "other modules": Fault(
        "On {host}, {model} is built of other modules than here ({said}).",
        "Install the host's version of transformers; nnsight.compare() shows both.",
    ),
    "another model": Fault(
        "{model} on {host} is not the one whose configuration and tokenizer were loaded here ({said}).",
        "Name the revision that the host has, or pass its tokenizer with tokenizer=….",
    ),
    "model changed": Fault(
        "{model} predicts something else now than when this map was begun: {host} has loaded other weights, or another "
        "dtype.",
        ASK_AGAIN,
    ),
    # the computation
    "time limit": Fault(
        "The request took longer than {host} allows ({said}).", "Use a shorter prompt. What is computed is kept."
    ),
    "cancelled": Fault("The request was stopped by those who run {host} ({said}).", LATER),
    "memory": Fault(
        "There is not enough memory on {host} for this.", "Use a shorter prompt; what is computed is kept."
    ),
    "code": Fault("The computation failed on {host}: {said}", "The details show where. What is computed is kept."),
    "unreadable request": Fault(
        "{host} could not read the request ({said}).",
        "The versions of nnsight here and there may differ; nnsight.compare() shows both.",
    ),
    # the answer
    "no values": Fault("{host} said that it was done, but sent no values.", LATER, True),
    "unreadable answer": Fault(
        "The answer of {host} cannot be read ({said}).",
        "The versions of nnsight, torch or numpy here and there may differ; nnsight.compare() shows them.",
    ),
    "values not fetched": Fault(
        "The values could not be fetched from the store of {host} ({said}).",
        "The host's store must be reachable from here, too. " + LATER,
        True,
    ),
}
"""Every kind of fault. Repeated are those that may pass by themselves, and where the request is not still computed."""

_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemoryError|\bMemoryError\b|can't allocate memory|ALLOC_FAILED")

# How NDIF 0.1 begins its sentences.
_SENTENCES = (
    (r"Could not deploy this model\..*(CANT_ACCOMMODATE|No GPU nodes)", "no room"),
    (r"Could not deploy this model\.", "not deployed"),
    (r"Error (provisioning|starting) model", "model not started"),
    (r"Error submitting request to model deployment|Replica was evicted", "replica died"),
    (r"Critical server error", "unavailable"),
    (r"Your job exceeded the execution timeout", "time limit"),
    (r"Your job was cancelled|Request cancelled by operator", "cancelled"),
    (r"Your request payload could not be read", "unreadable request"),
    (r"The model architecture on this server doesn't match", "other modules"),
)

_STATUSES = {401: "no key", 403: "unknown key", 413: "too large", 429: "busy", 500: "host failed"}
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ECONNREFUSED}


class Faults:
    """Makes the errors of one host and model, in which the API key never stands.

    Args:
        host: How the host is called in messages.
        model: How the model is.
        secrets: What must stand nowhere.
    """

    def __init__(self, host: str, model: str, secrets: Sequence[str] = ()) -> None:
        self._named = {"host": f"the host {host}" if host else "no host", "address": host, "model": model}
        self._secrets = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """A text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[removed]")
        return text

    def of(self, kind: str, said: object = "", *, detail: str = "") -> HostError:
        """The error of a kind.

        Args:
            kind: A key of ``FAULTS``.
            said: What the message puts in brackets; its first line is enough.
            detail: For looking into it. Default: all of ``said``, where that is more than what the message has.
        """
        fault = FAULTS[kind]
        text = self.clean(str(said)).strip()
        line = (text.splitlines() or ["no reason given"])[0][:300].rstrip(" .")
        message = fault.message.format(**self._named, said=line)
        return HostError(
            kind,
            message[:1].upper() + message[1:],
            advice=fault.advice,
            detail=self.clean(detail) or (text if text != line else ""),
            may_repeat=fault.may_repeat,
        )

    def of_text(self, text: str) -> HostError:
        """What a host means by the text of its status ERROR: a sentence of NDIF's, or a traceback."""
        for pattern, kind in _SENTENCES:
            if re.match(pattern, text, re.DOTALL):
                reason = text.partition("Could not deploy this model.")[2] if "deploy" in kind or "room" in kind else ""
                return self.of(kind, reason.strip() or text, detail=text)
        if _OUT_OF_MEMORY.search(text):
            return self.of("memory", detail=text)
        last = (text.strip().splitlines() or ["no reason given"])[-1]
        return self.of("code", last, detail=text)

    def of_our_code(self, error: dict[str, Any]) -> HorizonError:
        """What our own code raised on the host, as ``on_host.answer`` has it: a question or model error as itself."""
        message, advice = self.clean(str(error["message"])), self.clean(str(error["advice"]))
        trace, kind = self.clean(str(error["traceback"])), str(error["type"])
        raised: HorizonError
        if kind == "QueryError":
            field = str(error["field"])
            raised = QueryError(field, message.removeprefix(f"{field}: "), advice=advice)
        elif kind == "ModelError":
            raised = ModelError(message, advice=advice)
        elif _OUT_OF_MEMORY.search(f"{kind}: {message}"):
            return self.of("memory", detail=trace)
        else:
            return self.of("code", f"{kind}: {message}", detail=trace)
        raised.detail = trace
        return raised

    def of_status(self, status: int, body: str, said: str | None, *, with_key: bool) -> HostError:
        """What a host means by an HTTP status that is none of success.

        Args:
            status: The HTTP status.
            body: What was sent with it.
            said: NDIF's own explanation, where the body has one; what has none is no NDIF host, or a proxy before it.
            with_key: Whether a key was sent.
        """
        shown = f"HTTP {status}" + (f": {said}" if said else "")
        if status // 100 == 3:
            return self.of("moved", f"HTTP {status} to {body}")
        if status in (502, 503, 504):
            return self.of("unavailable", said or shown, detail=f"{shown}\n{body}")
        if said is None and status not in (413, 429):
            return self.of("not NDIF", shown, detail=f"{shown}\n{body}")
        if status == 400 and "API key" in (said or ""):
            return self.of("malformed key")  # the host's sentence repeats the key
        if status == 400 and re.search(r"nnsight|python", said or "", re.IGNORECASE):
            return self.of("old client", said)
        kind = _STATUSES.get(status, "not NDIF" if status == 404 else "refused")
        if kind == "no key" and with_key:
            kind = "unknown key"
        return self.of(kind, shown, detail=shown)

    def of_connecting(self, error: BaseException, *, limit: float) -> HostError:
        """Why there is no connection.

        Args:
            error: What the socket, or the library around it, raised.
            limit: How long was waited, in seconds.
        """
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLError):
                return self.of("certificate", cause)
            if isinstance(cause, socket.gaierror):
                passing = cause.errno == socket.EAI_AGAIN  # the network is down, rather than the name wrong
                return self.of("unreachable" if passing else "unknown host", cause.strerror)
            if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
                return self.of("unreachable", cause.strerror)
        if any("timeout" in type(cause).__name__.lower() for cause in _causes(error)):
            return self.of("no connection in time", f"{limit:g} s")
        return self.of("unreachable", f"{type(error).__name__}: {error}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _forms(secret: str) -> set[str]:
    """How a text may stand in another."""
    forms = {secret, repr(secret)[1:-1], ascii(secret)[1:-1], secret.strip()}
    return {form for form in forms if len(form) >= LEAST_SECRET}

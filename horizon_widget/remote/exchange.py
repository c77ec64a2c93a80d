"""One request and its answer over one connection, as nnsight's blocking backend has it, but with limits."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import websocket
from nnsight.intervention.backends.display import StatusDisplay
from nnsight.intervention.backends.remote import RemoteBackend, RemoteError
from nnsight.schema.request import RequestModel
from nnsight.schema.response import Status

from horizon_widget.errors import HostError
from horizon_widget.remote.faults import Faults
from horizon_widget.remote.news import News, Patience, position_in
from horizon_widget.remote.waiting import SLICE, TooLate, aside, look

logger = logging.getLogger(__name__)

_NO_CONNECTION = (
    websocket.WebSocketTimeoutException,
    websocket.WebSocketConnectionClosedException,
    websocket.WebSocketAddressException,
    websocket.WebSocketProxyException,
)
_READ: dict[int, Callable[[bytes], str | bytes]] = {
    websocket.ABNF.OPCODE_TEXT: lambda data: data.decode("utf-8", "replace"),
    websocket.ABNF.OPCODE_BINARY: bytes,
}

_CONTROL = 125  # bytes: the most that a ping may carry; pings come from the host's door, not from its model


class Wire(RemoteBackend):  # type: ignore[misc]
    """nnsight's backend, for its wire format: captures a session when called, and sends nothing by itself.

    Attributes:
        blob: The captured session, serialised.
    """

    def __init__(self, model_key: str, host: str, api_key: str) -> None:
        super().__init__(model_key, host=host, api_key=api_key)
        self.api_key = api_key  # an empty one is not filled in again
        self.verbose = False
        self.display = StatusDisplay(enabled=False, verbose=False)
        self.blob = b""

    def __call__(self, tracer: Any = None) -> None:
        """Serialise the session."""
        self.blob = self._serialize(tracer)


class Line(websocket.WebSocket):
    """A connection that counts what it hears.

    Attributes:
        received: Bytes so far.
        heard: When the host's last word came in, or a piece of it, by ``time.monotonic()``.
    """

    received = 0
    heard = 0.0

    def _recv(self, bufsize: int) -> bytes:
        piece: bytes = super()._recv(bufsize)  # type: ignore[no-untyped-call]
        self.received += len(piece)
        if len(piece) > _CONTROL:
            self.heard = time.monotonic()
        return piece


class Exchange:
    """One try at one request.

    Args:
        wire: With the captured session.
        faults: Makes the errors.
        patience: For how long each step is waited for.
        abandoned: Set when nobody waits any more.
        tell: Called with the state that begins and the place in the queue.

    Attributes:
        sent: Bytes that were sent.
        received: Bytes that came back.
    """

    def __init__(
        self,
        wire: Wire,
        faults: Faults,
        patience: Patience,
        abandoned: threading.Event,
        tell: Callable[[str, int | None], News],
    ) -> None:
        self._wire = wire
        self._faults = faults
        self._patience = patience
        self._abandoned = abandoned
        self._tell = tell
        self.sent = 0
        self.received = 0

    def run(self) -> Any:
        """Send the request and wait for what the host saved.

        Raises:
            HostError: of the kind of fault.
            Abandoned: when nobody waits any more.
        """
        self._tell("sending", None)
        line = self._connected()
        try:
            self._post(self._session(line))
            return self._answer(line, self._tell("received", None))
        finally:
            self.received += line.received
            _hang_up(line)

    def _connected(self) -> Line:
        limit = self._patience.connecting
        line = Line()

        def connect() -> Line:
            line.settimeout(limit)
            header = {"ndif-api-key": self._wire.api_key} if self._wire.api_key else None
            # A redirect is not followed: it would be sent the key.
            line.connect(  # type: ignore[no-untyped-call]
                f"{self._wire.ws_host}/subscribe", header=header, redirect_limit=0
            )
            return line

        try:
            return aside(connect, self._abandoned, limit=limit, unwanted=_hang_up)
        except TooLate:
            fault = self._faults.of("no connection in time", f"{limit:g} s")
        except websocket.WebSocketBadStatusException as error:
            text = (error.resp_body or b"").decode("utf-8", "replace")
            fault = self._of_status(error.status_code, text)
        except (OSError, *_NO_CONNECTION) as error:
            fault = self._faults.of_connecting(error, limit=limit)
        except (websocket.WebSocketException, ValueError) as error:  # its answer is not that of a websocket
            redirect = line.handshake_response
            if redirect is not None and redirect.status // 100 == 3:
                fault = self._of_status(redirect.status, redirect.headers.get("location", ""))
            else:
                fault = self._faults.of("not NDIF", error)
        raise fault

    def _of_status(self, status: int, body: str) -> HostError:
        return self._faults.of_status(status, body, explanation(body), with_key=bool(self._wire.api_key))

    def _session(self, line: Line) -> str:
        """The name under which the host will send news here."""
        message = self._next(line, time.monotonic(), self._patience.connecting)
        try:
            return str(json.loads(message)["session_id"])
        except (ValueError, KeyError, TypeError):
            first = message[:80]
        raise self._faults.of("not NDIF", f"it began with {first!r}")

    def _post(self, session: str) -> None:
        wire = self._wire
        request = RequestModel(model_key=wire.model_key, compress=wire.compress, env=wire.env, session_id=session)
        self.sent += len(wire.blob) + len(request.metadata())
        limit = self._patience.sending
        try:
            aside(lambda: wire._post(request, wire.blob), self._abandoned, limit=limit)
            return
        except TooLate:
            fault = self._faults.of("silent", f"{limit:g} s, while the request was sent")
        except RemoteError as error:
            fault = self._of_http(error.__cause__ or error)
        except ValueError as error:  # accepted, but without a status
            fault = self._faults.of("not NDIF", "its answer has no status of a request", detail=str(error))
        raise fault

    def _of_http(self, error: BaseException) -> HostError:
        return of_http(self._faults, error, limit=self._patience.connecting, with_key=bool(self._wire.api_key))

    def _answer(self, line: Line, news: News) -> Any:
        """Follow the news of the request to its end."""
        while True:
            limit = self._patience.without_news(news.state)
            message = self._next(line, time.monotonic(), limit, news)
            try:
                response = self._wire.parse(message)
            except Exception as error:  # torch.load and pydantic raise what they like
                fault = self._faults.of("unreadable answer", f"{type(error).__name__}: {error}")
            else:
                if response.status == Status.ERROR:
                    raise self._faults.of_text(response.description)
                if response.status == Status.COMPLETED:
                    return self._values(response.data)
                if response.status == Status.LOG:
                    logger.debug("on the host: %s", self._faults.clean(response.description))
                else:
                    position = position_in(response.description) if response.status == Status.QUEUED else None
                    news = self._tell(response.status.value.lower(), position)
                continue
            raise fault

    def _next(self, line: Line, since: float, limit: float, news: News | None = None) -> str | bytes:
        """The next message; it may come in pieces, each of which is a sign of life."""
        line.settimeout(SLICE)
        while True:
            look(self._abandoned)
            try:
                # With control frames, or else pings that come one after the other would be answered in there.
                opcode, data = line.recv_data(control_frame=True)
                if opcode in _READ:
                    return _READ[opcode](data)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    raise ConnectionError("the host closed it")
            except websocket.WebSocketTimeoutException:
                pass
            except (OSError, websocket.WebSocketException) as error:
                fault = self._faults.of("lost", error)
                break
            silence = time.monotonic() - max(since, line.heard)
            if silence > limit:
                last = f"; the last that was heard of the request was: {news}" if news else ""
                fault = self._faults.of("silent", f"{silence:.0f} s{last}")
                break
        raise fault

    def _values(self, data: Any) -> Any:
        """What was saved: sent along, or fetched from the host's store."""
        if not data:
            raise self._faults.of("no values")
        fetched = isinstance(data, str)
        if fetched:
            self._tell("receiving", None)
        try:
            return aside(lambda: self._wire.download_result(data), self._abandoned, limit=self._patience.receiving)
        except TooLate:
            fault = self._faults.of("values not fetched", f"not within {self._patience.receiving:g} s")
        except httpx.HTTPError as error:
            fault = self._faults.of("values not fetched", error)
        except Exception as error:
            fault = self._faults.of("unreadable answer", f"{type(error).__name__}: {error}")
        raise fault


def of_http(faults: Faults, error: BaseException, *, limit: float, with_key: bool) -> HostError:
    """What an error of httpx's means."""
    if isinstance(error, httpx.HTTPStatusError):
        response = error.response
        body = response.headers.get("location", "") if response.is_redirect else response.text
        return faults.of_status(response.status_code, body, explanation(body), with_key=with_key)
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return faults.of_connecting(error, limit=limit)
    if isinstance(error, httpx.TimeoutException):
        return faults.of("silent", f"as long as it may ({type(error).__name__})")
    return faults.of("lost", f"{type(error).__name__}: {error}")


def explanation(body: str) -> str | None:
    """What NDIF says in the body of an HTTP error: ``{"detail": …}``; none if somebody else answered."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return None
    said = parsed.get("detail") if isinstance(parsed, dict) else None
    return None if said is None else str(said)


def _hang_up(line: Line) -> None:
    """Close without waiting for the other side to agree."""
    try:
        line.settimeout(SLICE)
        line.send_close()
    except (OSError, websocket.WebSocketException):
        pass  # it was closed already
    finally:
        line.shutdown()  # type: ignore[no-untyped-call]

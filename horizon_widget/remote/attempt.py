"""One attempt at one request. nnsight's blocking backend does the same, but waits for ever and cannot be cancelled."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import websocket
from nnsight.intervention.backends.display import StatusDisplay
from nnsight.intervention.backends.remote import RemoteBackend, RemoteError
from nnsight.schema.request import RequestModel
from nnsight.schema.response import Status

from horizon_widget.errors import CancelledError
from horizon_widget.remote.faults import Fault, Faults
from horizon_widget.remote.waiting import SLICE, Progress, Waiting

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
_POSITION = re.compile(r"\bposition (\d+)")  # "Moved to position 2 in Queue."

_CONTROL_BYTES = 125  # the most that a ping may carry; pings come from the host's web server, not from its model


class Wire(RemoteBackend):  # type: ignore[misc]
    """nnsight's backend, for its wire format: it serialises the session that it is called with, and sends nothing.

    Attributes:
        blob: The session, serialised.
    """

    def __init__(self, model_key: str, host: str, api_key: str) -> None:
        super().__init__(model_key, host=host, api_key=api_key)
        self.api_key = api_key  # nnsight has replaced an empty key by its own
        self.verbose = False
        self.display = StatusDisplay(enabled=False, verbose=False)
        self.blob = b""

    def __call__(self, tracer: Any = None) -> None:
        """Serialise the session."""
        self.blob = self._serialize(tracer)


class Connection(websocket.WebSocket):
    """A websocket that counts what it receives.

    Attributes:
        received: Bytes so far.
        last_heard: When the host last sent a message, or a piece of one, by ``time.monotonic()``.
    """

    received = 0
    last_heard = 0.0

    def _recv(self, bufsize: int) -> bytes:
        piece: bytes = super()._recv(bufsize)  # type: ignore[no-untyped-call]
        self.received += len(piece)
        if len(piece) > _CONTROL_BYTES:
            self.last_heard = time.monotonic()
        return piece


class Attempt:
    """One attempt at one request, over a connection of its own.

    Args:
        wire: With the serialised session.
        faults: Makes the errors.
        waiting: How the request is waited for.

    Attributes:
        bytes_sent: The size of the request.
        bytes_received: What came over the connection.
    """

    def __init__(self, wire: Wire, faults: Faults, waiting: Waiting) -> None:
        self._wire = wire
        self._faults = faults
        self._waiting = waiting
        self._patience = waiting.patience
        self.bytes_sent = 0
        self.bytes_received = 0

    def run(self) -> Any:
        """Send the request and wait for its answer.

        Raises:
            HostError: saying what went wrong.
            QueryError: or ``ModelError``, if this package's code on the host raised one.
            CancelledError: if the request is cancelled.
        """
        self._waiting.report("sending")
        connection = self._connect()
        try:
            self._post(self._session_id(connection))
            saved = self._values(self._completed(connection))
        finally:
            self.bytes_received = connection.received
            _hang_up(connection)
        answer = saved.get("answer") if isinstance(saved, dict) else None
        if isinstance(answer, dict) and "answer" in answer:
            return answer["answer"]
        if isinstance(answer, dict) and "error" in answer:
            raise self._faults.of_our_code(answer["error"])
        # NDIF 0.1 may send such an answer after a request that it stopped for its time limit.
        raise self._faults.of(Fault.NO_VALUES)

    def _connect(self) -> Connection:
        limit = self._patience.connecting
        connection = Connection()

        def connect() -> Connection:
            connection.settimeout(limit)
            header = {"ndif-api-key": self._wire.api_key} if self._wire.api_key else None
            # A redirect is not followed: the key would be sent there.
            connection.connect(  # type: ignore[no-untyped-call]
                f"{self._wire.ws_host}/subscribe", header=header, redirect_limit=0
            )
            return connection

        try:
            return self._waiting.run_detached(connect, limit=limit, discard=_hang_up)
        except websocket.WebSocketBadStatusException as error:
            body = (error.resp_body or b"").decode("utf-8", "replace")
            raise self._faults.of_status(error.status_code, body) from error
        except (OSError, *_NO_CONNECTION) as error:
            raise self._faults.of_connecting(error, limit=limit) from error
        except (websocket.WebSocketException, ValueError) as error:  # its answer is not that of a websocket
            response = connection.handshake_response
            if response is not None and response.status // 100 == 3:
                raise self._faults.of_status(response.status, response.headers.get("location", "")) from error
            raise self._faults.of(Fault.NOT_NDIF, error) from error

    def _session_id(self, connection: Connection) -> str:
        """The host's name of this connection, which the request contains."""
        message = self._next_message(connection, self._patience.connecting)
        try:
            return str(json.loads(message)["session_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._faults.of(Fault.NOT_NDIF, f"its first message is {message[:80]!r}") from error

    def _post(self, session_id: str) -> None:
        wire = self._wire
        request = RequestModel(model_key=wire.model_key, compress=wire.compress, env=wire.env, session_id=session_id)
        self.bytes_sent = len(wire.blob) + len(request.metadata())
        limit = self._patience.sending
        try:
            self._waiting.run_detached(lambda: wire._post(request, wire.blob), limit=limit)
        except TimeoutError as error:
            raise self._faults.of(Fault.SILENT, f"{limit:g} s, while the request was sent") from error
        except RemoteError as error:
            raise self._faults.of_http(error.__cause__ or error, limit=self._patience.connecting) from error
        except ValueError as error:  # accepted, but without a status
            raise self._faults.of(Fault.NOT_NDIF, "its answer has no status of a request", detail=str(error)) from error

    def _completed(self, connection: Connection) -> Any:
        """Follow the request to its end. Returns the data that the host sends with it."""
        progress = self._waiting.report("received")
        while True:
            message = self._next_message(connection, self._patience.without_news(progress.state), progress)
            try:
                response = self._wire.parse(message)
            except Exception as error:  # torch.load and pydantic raise anything
                raise self._faults.of(Fault.UNREADABLE, f"{type(error).__name__}: {error}") from error
            if response.status == Status.ERROR:
                raise self._faults.of_text(response.description)
            if response.status == Status.COMPLETED:
                return response.data
            if response.status == Status.LOG:
                logger.debug("on the host: %s", self._faults.clean(response.description))
            else:
                named = _POSITION.search(response.description) if response.status == Status.QUEUED else None
                progress = self._waiting.report(response.status.value.lower(), int(named[1]) if named else None)

    def _next_message(self, connection: Connection, limit: float, progress: Progress | None = None) -> str | bytes:
        """The next message. It may come in pieces, and each piece ends a silence."""
        began = time.monotonic()
        connection.settimeout(SLICE)
        while True:
            self._waiting.check_cancelled()
            try:
                # With control frames: otherwise this call does not return while pings come one after the other.
                opcode, data = connection.recv_data(control_frame=True)
                if opcode in _READ:
                    return _READ[opcode](data)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    raise ConnectionError("the host closed it")
            except websocket.WebSocketTimeoutException:
                pass
            except (OSError, websocket.WebSocketException) as error:
                raise self._faults.of(Fault.LOST, error) from error
            silence = time.monotonic() - max(began, connection.last_heard)
            if silence > limit:
                last = f"; the last news of the request was: {progress}" if progress else ""
                raise self._faults.of(Fault.SILENT, f"{silence:.0f} s{last}")

    def _values(self, data: Any) -> Any:
        """The saved values.

        Args:
            data: The values, serialised, or the address to fetch them from.
        """
        if not data:
            raise self._faults.of(Fault.NO_VALUES)
        if isinstance(data, str):
            self._waiting.report("receiving")
        limit = self._patience.receiving
        try:
            return self._waiting.run_detached(lambda: self._wire.download_result(data), limit=limit)
        except TimeoutError as error:
            raise self._faults.of(Fault.NOT_FETCHED, f"not within {limit:g} s") from error
        except httpx.HTTPError as error:
            raise self._faults.of(Fault.NOT_FETCHED, error) from error
        except CancelledError:
            raise
        except Exception as error:  # torch.load raises anything
            raise self._faults.of(Fault.UNREADABLE, f"{type(error).__name__}: {error}") from error


def _hang_up(connection: Connection) -> None:
    """Close without waiting for the other side to agree."""
    try:
        connection.settimeout(SLICE)
        connection.send_close()
    except (OSError, websocket.WebSocketException):
        pass  # it was closed already
    finally:
        connection.shutdown()  # type: ignore[no-untyped-call]

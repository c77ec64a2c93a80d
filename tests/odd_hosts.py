"""Stand-ins for hosts that misbehave in ways that a real one cannot: a few lines of sockets, without NDIF."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import re
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import torch
import zstandard
from nnsight.schema.response import ResponseModel, Status

from horizon_widget.errors import HorizonError, describe
from horizon_widget.remote.host import Host
from horizon_widget.remote.packing import pack
from horizon_widget.remote.waiting import Patience, Progress

KEY = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
MODEL_KEY = 'nnsight.modeling.transformers.TransformersModel:{"repo_id": "some/model", "revision": null}'
TASK = pack  # any function of a small module; no stand-in calls it
QUICK = Patience(
    connecting=0.6, sending=0.6, asking=0.6, queued=0.6, deploying=0.6, running=0.6, receiving=0.6, pauses=(0.02, 0.04)
)
PATIENT = Patience(pauses=QUICK.pauses)  # leaves time for a busy machine

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One frame of a websocket, from the side of a server."""
    n = len(payload)
    length = bytes([n]) if n < 126 else struct.pack("!BH", 126, n) if n < 1 << 16 else struct.pack("!BQ", 127, n)
    return bytes([0x80 | opcode]) + length + payload


def status(name: str, description: str = "") -> bytes:
    """A status as NDIF sends it."""
    return frame(ResponseModel(id="1", status=Status(name), description=description).model_dump_json().encode())


def completed(saved: Any) -> bytes:
    """The end of a request, with the saved values; a text is the address to fetch them from."""
    if not isinstance(saved, (str, bytes, type(None))):
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        saved = zstandard.compress(buffer.getvalue())
    return frame(ResponseModel(id="1", status=Status.COMPLETED, data=saved).pickle(), BINARY)


def answered(value: Any) -> bytes:
    """The end of a request whose task returned ``value``."""
    return completed({"answer": {"answer": value}})


def http(code: int, body: str | dict[str, Any], **headers: str) -> bytes:
    """An HTTP answer; a dictionary is sent as JSON, as NDIF does."""
    kind = "text/html" if isinstance(body, str) else "application/json"
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {code} Said", f"content-type: {kind}", f"content-length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + content


RUNNING = status("RUNNING", "Your job has started running.")
RECEIVED = http(200, {"id": "1", "status": "RECEIVED", "description": "Your job has been received."})


class StandIn:
    """Accepts connections on loopback, and runs ``behaviour(connection)`` for each, on a thread of its own.

    Attributes:
        url: Its address.
        taken: How many connections there were.
    """

    def __init__(self, behaviour: Callable[[socket.socket], None]) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.taken = 0

    def __enter__(self) -> StandIn:
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.taken += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            with contextlib.suppress(OSError):  # the other side has closed the connection
                self._behaviour(connection)


class StandInHost(StandIn):
    """Answers like NDIF's API, with the given content.

    Args:
        *scripts: For each request, the content of its websocket: frames, and numbers of seconds to wait. The last
            script is repeated. The connection is closed at the end of a script.
        post: The answer to the request's POST.
        greeting: The first message on the websocket.
        pages: Answers to other paths.

    Attributes:
        requests: How many were posted.
        heads: The heads of all HTTP requests.
        open: How many websockets the other side has not closed.
    """

    def __init__(
        self,
        *scripts: list[bytes | float],
        post: bytes = RECEIVED,
        greeting: bytes | None = None,
        pages: dict[str, bytes] | None = None,
    ) -> None:
        super().__init__(self._answer)
        self._scripts, self._post, self._pages = scripts, post, pages or {}
        self._greeting = frame(b'{"session_id": "s"}') if greeting is None else greeting
        self._posted = threading.Semaphore(0)
        self.requests = self.open = 0
        self.heads: list[str] = []

    def _answer(self, connection: socket.socket) -> None:
        head, body = _request(connection)
        self.heads.append(head)
        path = head.split()[1]
        if path == "/subscribe" and "/subscribe" not in self._pages:
            self._subscribe(connection, head)
        elif path == "/request" and b"blob" in body:
            self.requests += 1
            connection.sendall(self._post)
            if self._scripts:
                self._posted.release()
        else:
            connection.sendall(self._pages.get(path, http(404, {"detail": "Not Found"})))

    def _subscribe(self, connection: socket.socket, head: str) -> None:
        key = re.search(r"Sec-WebSocket-Key: (\S+)", head)[1]  # type: ignore[index]
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        lines = [
            "HTTP/1.1 101 Switching",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + self._greeting)
        self.open += 1
        threading.Thread(target=self._watch, args=(connection.dup(),), daemon=True).start()
        self._posted.acquire()
        for step in self._scripts[min(self.requests, len(self._scripts)) - 1]:
            if isinstance(step, bytes):
                connection.sendall(step)
            else:
                time.sleep(step)
        connection.shutdown(socket.SHUT_WR)

    def _watch(self, connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(1 << 16):
                    pass
            except OSError:
                pass
        self.open -= 1


def _request(connection: socket.socket) -> tuple[str, bytes]:
    """The head and the body of an HTTP request."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(1 << 16)
        if not piece:
            raise ConnectionError
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.recv(1 << 16)
    return head.decode(), body


class Asked:
    """One request, and how it ended."""

    def __init__(self, traced: Any, url: str, patience: Patience = PATIENT, cancelled: threading.Event | None = None):
        self.progress: list[Progress] = []
        self.error: BaseException | None = None
        self.value: Any = None
        self.host = Host(MODEL_KEY, url, KEY, patience=patience)
        begun = time.monotonic()
        try:
            self.value = self.host.ask(traced, TASK, {}, on_progress=self.progress.append, cancelled=cancelled)
        except HorizonError as error:
            self.error = error
        self.seconds = time.monotonic() - begun

    @property
    def kind(self) -> str | None:
        return getattr(self.error, "kind", None)

    @property
    def states(self) -> list[str]:
        return [str(item) for item in self.progress]


def shown(error: BaseException) -> str:
    """Every text of an error that a user may see."""
    chain = [error]
    while chain[-1].__context__ is not None:
        chain.append(chain[-1].__context__)
    walked = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts = [repr(vars(link)) + repr(link.args) for link in chain]
    return "\n".join([*texts, *map(str, chain), *map(repr, chain), *walked.format(), *describe(error).values()])

"""Waiting for a host: how long each step may take, how far the request is, and whether it was cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from typing import TypeVar

from horizon_widget.errors import CancelledError

T = TypeVar("T")

SLICE = 0.2  # seconds between two checks of whether the request was cancelled

STATES = {
    "sending": "sending the request",
    "received": "received by the host",
    "queued": "queued on the host",
    "provisioning": "the host makes room for the model",
    "deploying": "the host loads the model",
    "dispatched": "handed to the model",
    "running": "running on the host",
    "receiving": "receiving the values",
    "waiting": "waiting to try again",
}
"""The words for each state. A host may skip states and return to earlier ones."""


@dataclass(frozen=True)
class Patience:
    """The time limit of each step of a request, in seconds.

    nnsight itself limits nothing but connecting: it would wait for a frozen host for ever.

    Attributes:
        connecting: Until there is a connection.
        sending: Until the host confirms the request: some 30 KB on a slow line, and a host that is busy.
        asking: Until a host says which models it has; it may have to find out first.
        queued: Without news, while other requests are first. Hosts do not say when the queue moves, and each request
            before this one may take minutes.
        deploying: Without news, while the host loads the model. The largest take many minutes.
        running: Without news, while the request runs. It is sized to take some seconds.
        receiving: Until values that are too large for the connection are fetched from the host's store.
        pauses: Before the second attempt, the third, and so on. A replica that died is back within seconds.
    """

    connecting: float = 10.0
    sending: float = 60.0
    asking: float = 30.0
    queued: float = 600.0
    deploying: float = 1200.0
    running: float = 120.0
    receiving: float = 300.0
    pauses: tuple[float, ...] = (1.0, 3.0)

    def without_news(self, state: str) -> float:
        """How long a state may last without any news, in seconds."""
        if state == "queued":
            return self.queued
        return self.deploying if state in ("provisioning", "deploying") else self.running


@dataclass(frozen=True)
class Progress:
    """How far a request is.

    Attributes:
        state: A key of ``STATES``.
        position: The latest known place in the host's queue, from 1; only in the state ``"queued"``.
        attempt: The number of this attempt, from 1.
        attempts: How many attempts there may be.
    """

    state: str
    position: int | None = None
    attempt: int = 1
    attempts: int = 1

    def __str__(self) -> str:
        which = f"{self.attempt} of {self.attempts}"
        if self.state == "waiting":
            return f"trying again ({which})"
        place = f", position {self.position}" if self.position is not None else ""
        again = f" (try {which})" if self.attempt > 1 else ""
        return f"{STATES.get(self.state, self.state)}{place}{again}"


class Waiting:
    """Waits for one request, through all its attempts.

    Args:
        patience: How long each step is waited for.
        cancelled: Set from another thread when nobody wants the answer any more. The host may go on computing: it
            cannot be told.
        on_progress: Called when the progress changes.

    Attributes:
        patience: How long each step is waited for.
    """

    def __init__(
        self,
        patience: Patience,
        cancelled: threading.Event | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.patience = patience
        self._cancelled = cancelled or threading.Event()
        self._on_progress = on_progress
        self._attempt = 1
        self._progress: Progress | None = None

    def report(self, state: str, position: int | None = None) -> Progress:
        """Report a state that has begun, or goes on."""
        progress = Progress(state, position, self._attempt, len(self.patience.pauses) + 1)
        if progress != self._progress:
            self._progress = progress
            self._on_progress(progress)
        return progress

    def begin_next_attempt(self) -> bool:
        """Wait for the time of the next attempt.

        Returns:
            Whether there is one.

        Raises:
            CancelledError: if the request is cancelled meanwhile.
        """
        if self._attempt > len(self.patience.pauses):
            return False
        self._attempt += 1
        self.report("waiting")
        self._cancelled.wait(self.patience.pauses[self._attempt - 2])
        self.check_cancelled()
        return True

    def check_cancelled(self) -> None:
        """Raise ``CancelledError`` if the request was cancelled."""
        if self._cancelled.is_set():
            raise CancelledError

    def result(self, future: futures.Future[T], *, limit: float | None = None) -> T:
        """The result of a future.

        Args:
            future: Cancelled, if it has not begun, when this method raises.
            limit: Seconds to wait.

        Raises:
            CancelledError: if the request is cancelled meanwhile.
            TimeoutError: after ``limit``.
        """
        began = time.monotonic()
        try:
            while not future.done():
                self.check_cancelled()
                left = SLICE if limit is None else limit - (time.monotonic() - began)
                if left <= 0:
                    raise TimeoutError
                futures.wait([future], timeout=min(SLICE, left))
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def run_detached(self, work: Callable[[], T], *, limit: float, discard: Callable[[T], None] | None = None) -> T:
        """Run something that blocks on a thread of its own; the thread goes on alone when nobody waits any more.

        Args:
            work: What blocks, such as connecting.
            limit: Seconds to wait.
            discard: Called with a result that comes too late, for instance to close it.

        Raises:
            CancelledError: if the request is cancelled meanwhile.
            TimeoutError: after ``limit``.
        """
        future: futures.Future[T] = futures.Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        future.set_running_or_notify_cancel()
        threading.Thread(target=run, name="horizon-widget-host", daemon=True).start()
        try:
            return self.result(future, limit=limit)
        except BaseException:  # KeyboardInterrupt too
            if discard is not None:
                future.add_done_callback(lambda late: None if late.exception() else discard(late.result()))
            raise

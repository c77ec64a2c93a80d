"""How far a request is, and for how long each step is waited for."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

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
"""What the reader is told of each state. A host may skip states and go back in them."""

_POSITION = re.compile(r"\bposition (\d+)")


@dataclass(frozen=True)
class News:
    """How far the request under way is.

    Attributes:
        state: A key of ``STATES``.
        position: Place in the host's queue when it was last told, from 1; only where ``state`` is ``"queued"``.
        since: When this state began, by ``time.monotonic()``, in seconds.
        attempt: Which try this is, from 1.
        attempts: How many there may be.
    """

    state: str
    position: int | None = None
    since: float = field(default_factory=time.monotonic, compare=False)
    attempt: int = 1
    attempts: int = 1

    def __str__(self) -> str:
        which = f"{self.attempt} of {self.attempts}"
        if self.state == "waiting":
            return f"trying again ({which})"
        place = f", position {self.position}" if self.position is not None else ""
        again = f" (try {which})" if self.attempt > 1 else ""
        return f"{STATES.get(self.state, self.state)}{place}{again}"


def position_in(description: str) -> int | None:
    """The place in the queue that a host's sentence names, such as "Moved to position 2 in Queue."."""
    named = _POSITION.search(description)
    return int(named[1]) if named else None


@dataclass(frozen=True)
class Patience:
    """How long each step of a request is waited for, in seconds.

    nnsight itself has no limits but for connecting: it would wait for a frozen host for ever.

    Attributes:
        connecting: Until there is a connection.
        sending: Until the host says that it has the request. Some 30 KB on a slow line, and a host that is busy.
        asking: Until a host says which models it has, which it may have to find out first.
        queued: Without news while others are before us: hosts say nothing when the queue moves, and each request of
            somebody else's may take minutes.
        deploying: Without news while the host loads the model: the largest take many minutes.
        running: Without news while our request is computed: it is sized to take some seconds.
        receiving: Until values too large for the connection are fetched from the host's store.
        pauses: Before the second try, the third, and so on. A host's replica that died is back within seconds.
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
        """How long a state may last without any news."""
        if state == "queued":
            return self.queued
        return self.deploying if state in ("provisioning", "deploying") else self.running

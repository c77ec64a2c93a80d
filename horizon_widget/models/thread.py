"""Threads that own models.

nnsight's tracer is not thread-safe and torch keeps its grad mode for each thread, while questions arrive from
notebook cells and from the browser's message threads. So everything that touches a model of this process is run on one
thread, in turn. A model on another machine has a thread of its own, which mostly waits: nobody else waits with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_PREFIX = "horizon-widget-model"


class ModelThread:
    """Runs one piece of work after another.

    Args:
        name: For those who look at threads.
        interrupt: Called when who waits for work under way is stopped: it may end the work sooner.
    """

    def __init__(self, name: str, interrupt: Callable[[], None] | None = None) -> None:
        self._name = f"{_PREFIX}-{name}"
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        self._interrupt = interrupt

    @property
    def is_this(self) -> bool:
        """Whether the caller is on this thread, or on another of its name."""
        return threading.current_thread().name.startswith(self._name)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue ``work``."""
        return self._executor.submit(work)

    def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` and wait for it; called from a thread of models, run it there at once.

        Raises:
            KeyboardInterrupt: when stopped; ``work`` has then ended, or never begun.
        """
        if is_current():
            return work()
        future = self.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            if not future.cancel():
                if self._interrupt is not None:
                    self._interrupt()
                future.exception()  # waits for it
            raise


LOCAL = ModelThread("local")
submit, run = LOCAL.submit, LOCAL.run


def is_current() -> bool:
    """Whether this is a thread of models: what waits for one here may wait for ever."""
    return threading.current_thread().name.startswith(_PREFIX)

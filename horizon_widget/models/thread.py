"""Threads that own models.

nnsight's tracer is not thread-safe and torch keeps its grad mode for each thread, while questions arrive from
notebook cells and from the browser's message threads. So everything that touches a model of this process is run on one
thread, in turn. A model on another machine has a thread of its own, which mostly waits: nobody else waits with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, TypeVar

T = TypeVar("T")

_PREFIX = "horizon-widget-model"


class ModelThread:
    """Runs one piece of work after another.

    Args:
        name: For those who look at threads.
        under: Surrounds work; the event is set when who waits for it is stopped: it may end sooner then.
    """

    def __init__(self, name: str, under: Callable[[threading.Event], Any] = lambda _: nullcontext()) -> None:
        self._name = f"{_PREFIX}-{name}"
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        self._under = under

    @property
    def is_this(self) -> bool:
        """Whether the caller is on this thread, or on another of its name."""
        return threading.current_thread().name.startswith(self._name)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue ``work``."""
        return self._executor.submit(work)

    def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` and wait for it; called from this thread itself, run it at once.

        So it is from the thread of local models, which waits for no other: the others wait for it.

        Raises:
            KeyboardInterrupt: when stopped; ``work`` has then ended, or never begun.
        """
        if self.is_this or LOCAL.is_this:
            return work()
        abandoned = threading.Event()

        def noted() -> T:
            with self._under(abandoned):
                return work()

        future = self.submit(noted)
        try:
            return future.result()
        except KeyboardInterrupt:
            if not future.cancel():
                abandoned.set()
                future.exception()  # waits for it
            raise


LOCAL = ModelThread("local")
submit, run = LOCAL.submit, LOCAL.run


def is_current() -> bool:
    """Whether this is a thread of models: what waits for one here may wait for ever."""
    return threading.current_thread().name.startswith(_PREFIX)

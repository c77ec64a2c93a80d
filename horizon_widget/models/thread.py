"""The one thread of this process that owns all models.

nnsight's tracer is not thread-safe and torch keeps its grad mode for each thread, while questions arrive from
notebook cells and from the browser's message threads. So everything that touches a model is run here, in turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_NAME = "horizon-widget-model"
_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=_NAME)


def submit(work: Callable[[], T]) -> Future[T]:
    """Queue ``work`` for the model thread."""
    return _executor.submit(work)


def is_current() -> bool:
    """Whether this is the model thread: what waits for it here would wait for ever."""
    return threading.current_thread().name.startswith(_NAME)


def run(work: Callable[[], T]) -> T:
    """Run ``work`` on the model thread and wait for it; called from that thread itself, run it at once.

    Raises:
        KeyboardInterrupt: when stopped; ``work`` has then ended, or never begun.
    """
    if is_current():
        return work()
    future = submit(work)
    try:
        return future.result()
    except KeyboardInterrupt:
        if not future.cancel():
            future.exception()  # waits for it
        raise

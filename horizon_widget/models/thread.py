"""Threads that own models.

nnsight's tracer is not thread-safe, and torch keeps its grad mode for each thread. Questions arrive from notebook cells
and from the browser's message threads. So one thread runs everything that touches a model of this process, one piece of
work at a time. A model on another machine has a thread of its own, which mostly waits, so that no other work waits.

A forked process has none of these threads and makes its own. It can compute on the CPU, because OpenMP's workers belong
to the thread that called them. A fork in the middle of a piece of work would leave hooks and traces on the models, so a
fork waits for the end of the work. If that takes too long, the forked process refuses to use models.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, TypeVar

from horizon_widget.errors import HorizonError

T = TypeVar("T")

_current = threading.local()  # ``thread``: the ``ModelThread`` that this thread belongs to, if any
FORK_WAITS = 10.0  # seconds that a fork waits for the piece of work under way; most take less than one


class ModelThread:
    """Runs one piece of work after another.

    Args:
        name: The end of the thread's name.
        under: Makes a context around each piece of work that ``run`` waits for. The event that it is given is set when
            the caller is interrupted. The work may then end early.
    """

    def __init__(self, name: str, under: Callable[[threading.Event], Any] = lambda _: nullcontext()) -> None:
        self._name = f"horizon-widget-model-{name}"
        self._under = under
        self._begin()
        _threads.add(self)

    def _begin(self, *, cut: bool = False) -> None:
        """Start without work.

        Args:
            cut: Whether this process or an ancestor was forked in the middle of a piece of work.
        """
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        self._next = threading.Lock()  # held while waiting for ``_working``, so that a fork waits for one piece only
        self._working = threading.Lock()  # held during a piece of work
        self._cut = cut

    @property
    def is_this(self) -> bool:
        """Whether the caller is on this thread."""
        return getattr(_current, "thread", None) is self

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue ``work``.

        Raises:
            HorizonError: in a process that was forked in the middle of a piece of work.
        """
        self._check_whole()
        _register_fork_handlers()
        return self._executor.submit(self._do, work)

    def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` and wait for it.

        On this thread itself it runs at once. So it does on the thread of local models, which never waits for another,
        because others wait for it.

        Raises:
            KeyboardInterrupt: if interrupted. ``work`` has then ended, or will never begin.
            HorizonError: in a process that was forked in the middle of a piece of work.
        """
        if self.is_this or LOCAL.is_this:
            LOCAL._check_whole()
            return work()
        _warn_of_autocast()
        abandoned = threading.Event()

        def in_context() -> T:
            with self._under(abandoned):
                return work()

        future = self.submit(in_context)
        try:
            return future.result()
        except KeyboardInterrupt:
            if not future.cancel():
                abandoned.set()
                future.exception()  # waits for the end
            raise

    def _do(self, work: Callable[[], T]) -> T:
        _current.thread = self
        with self._next:
            self._working.acquire()
        try:
            return work()
        finally:
            self._working.release()

    def _pause(self) -> bool:
        """Take ``_working``, so that no work begins until it is released. Return whether it was free in time."""
        if self.is_this:
            return False
        with self._next:
            return self._working.acquire(timeout=FORK_WAITS)

    def _check_whole(self) -> None:
        if self._cut:
            raise HorizonError(
                "This process was forked while a model was computing, so it cannot use models.",
                advice='Start it by the "spawn" method and load the model there, or fork when nothing is computed.',
            )


def _warn_of_autocast() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda")):
        warnings.warn("torch.autocast has no effect here: models compute in their own dtype.", stacklevel=4)


_threads: weakref.WeakSet[ModelThread] = weakref.WeakSet()
LOCAL = ModelThread("local")
submit, run = LOCAL.submit, LOCAL.run


def is_current() -> bool:
    """Whether the caller is on a thread of models, where waiting for another piece of work may take for ever."""
    return hasattr(_current, "thread")


_handlers_registered = threading.Lock()  # taken once and never released
_forking = threading.local()  # ``paused``: whether this thread, which forks, has paused ``LOCAL``


def _register_fork_handlers() -> None:
    """Called with the first work, not on import: a host imports this module for one request, and nothing may stay."""
    if hasattr(os, "register_at_fork") and _handlers_registered.acquire(blocking=False):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def _before_fork() -> None:
    _forking.paused = False
    _forking.paused = LOCAL._pause()


def _after_in_parent() -> None:
    if _forking.paused:
        LOCAL._working.release()


def _after_in_child() -> None:
    for thread in _threads:
        thread._begin(cut=thread._cut or (thread is LOCAL and not _forking.paused))

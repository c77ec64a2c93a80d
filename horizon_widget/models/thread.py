"""Threads that own models.

nnsight's tracer is not thread-safe and torch keeps its grad mode for each thread, while questions arrive from
notebook cells and from the browser's message threads. So everything that touches a model of this process is run on one
thread, in turn. A model on another machine has a thread of its own, which mostly waits: nobody else waits with it.

A forked process has none of these threads and makes its own. OpenMP's workers belong to the thread that called them, so
a new thread can compute on the CPU where the parent's threads did before. A piece of work that is cut in two by the
fork would leave hooks and traces on the models, so a fork waits for its end; where that takes too long, the forked
process refuses to use models.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, TypeVar

from horizon_widget.errors import HorizonError

T = TypeVar("T")

_current = threading.local()  # ``thread``: which ``ModelThread`` this thread is of, if any
FORK_WAITS = 10.0  # seconds, for the piece of work under way; as a rule that takes less than one


class ModelThread:
    """Runs one piece of work after another.

    Args:
        name: For those who look at threads.
        under: Surrounds work; the event is set when who waits for it is stopped: it may end sooner then.
    """

    def __init__(self, name: str, under: Callable[[threading.Event], Any] = lambda _: nullcontext()) -> None:
        self._name = f"horizon-widget-model-{name}"
        self._under = under
        self._begin()
        _threads.add(self)

    def _begin(self, *, cut: bool = False) -> None:
        """Have no work yet.

        Args:
            cut: Whether this process, or one before it, was forked in the middle of a piece of work.
        """
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        self._next = threading.Lock()  # held while waiting for the piece under way: a fork waits for no more than one
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
        _mind_forks()
        return self._executor.submit(self._do, work)

    def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` and wait for it; called from this thread itself, run it at once.

        So it is from the thread of local models, which waits for no other: the others wait for it.

        Raises:
            KeyboardInterrupt: when stopped; ``work`` has then ended, or never begun.
            HorizonError: in a process that was forked in the middle of a piece of work.
        """
        if self.is_this or LOCAL.is_this:
            LOCAL._check_whole()
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

    def _do(self, work: Callable[[], T]) -> T:
        _current.thread = self
        with self._next:
            self._working.acquire()
        try:
            return work()
        finally:
            self._working.release()

    def _rest(self) -> bool:
        """Do no work until ``_working`` is released, and say whether it was to be had in time."""
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


_threads: weakref.WeakSet[ModelThread] = weakref.WeakSet()
LOCAL = ModelThread("local")
submit, run = LOCAL.submit, LOCAL.run


def is_current() -> bool:
    """Whether this is a thread of models: what waits for one here may wait for ever."""
    return hasattr(_current, "thread")


_minds_forks = threading.Lock()  # taken once, and kept
_forking = threading.local()  # ``idle``: whether this thread, which forks, keeps ``LOCAL`` from working


def _mind_forks() -> None:
    """Not when this is imported: it is on hosts too, for one request, and leaves nothing there."""
    if hasattr(os, "register_at_fork") and _minds_forks.acquire(blocking=False):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def _before_fork() -> None:
    _forking.idle = False
    _forking.idle = LOCAL._rest()


def _after_in_parent() -> None:
    if _forking.idle:
        LOCAL._working.release()


def _after_in_child() -> None:
    for thread in _threads:
        thread._begin(cut=thread._cut or (thread is LOCAL and not _forking.idle))

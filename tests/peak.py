"""The peak memory of a piece of work, beyond the memory held before it."""

from __future__ import annotations

import ctypes
import gc
import threading
from contextlib import suppress
from typing import Any

import psutil

PAUSE = 0.0005  # seconds


class Peak:
    """Watches this process's memory while it lasts: ``with Peak() as peak: work()``, then ``peak.bytes``.

    A thread measures it, because the system's own high-water mark would be that of loading the model.
    """

    def __enter__(self) -> Peak:
        gc.collect()
        with suppress(OSError, AttributeError):  # glibc: return free memory, or new work could use it unnoticed
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        self._process = psutil.Process()
        self._before = self._most = self._process.memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE):
            self._most = max(self._most, self._process.memory_info().rss)

    @property
    def bytes(self) -> int:
        """Bytes more than before."""
        return int(self._most - self._before)

"""Sweeps architectures in a process of its own, since some abort the process that runs them."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from concurrent.futures.process import BrokenProcessPool

from tests.sweep.outcome import Outcome, outcome_of

LIMIT_S = 60.0


class Sweeper:
    """Outcomes of architectures, one after another."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def outcome(self, name: str) -> Outcome:
        """See ``outcome_of``; a process that ends or takes too long is an outcome, too."""
        self._pool = self._pool or ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
        )
        try:
            return self._pool.submit(outcome_of, name).result(LIMIT_S)
        except BrokenProcessPool:
            aborts = "the process ended"
        except TookTooLong:
            aborts = f"no end within {LIMIT_S:.0f} s"
        self.close()
        return Outcome(name, aborts=aborts)

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
            self._pool.shutdown()
            self._pool = None


def _begin() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.filterwarnings("ignore")
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)

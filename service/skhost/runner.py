"""The device's only thread: whatever computes with the base goes through here, one at a time."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.tokens import EncodedRow

log = logging.getLogger(__name__)

Returned = TypeVar("Returned")


class Runner:
    """Runs batches and other work on one thread of its own; knows no queue and no policy.

    Args:
        classifier: what computes a batch.
        threads: processor threads of a forward; None: torch's default.
    """

    def __init__(self, classifier: Classifier, *, threads: int | None = None) -> None:
        self._classifier = classifier
        self._busy_since: float | None = None  # monotonic; written by the device thread only
        self._pool = ThreadPoolExecutor(
            1, "skhost-device", initializer=_set_threads, initargs=(threads,)
        )

    async def run(self, batch: Sequence[tuple[EncodedRow, Adapter]]) -> list[np.ndarray]:
        """Logits of each row, in one forward; see `Classifier.logits`."""
        return await self.call(self._classifier.logits, batch)

    async def call(self, fn: Callable[..., Returned], *args: object) -> Returned:
        """`fn(*args)` on the device thread, after what was handed over before."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, fn, *args)

    @property
    def busy_s(self) -> float:
        """Seconds that the device thread has been at its present work; 0 when it has none."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def is_stuck(self, after_s: float) -> bool:
        """Whether one piece of work has taken longer than `after_s`."""
        return self.busy_s > after_s

    async def close(self, timeout_s: float = 10.0) -> None:
        """Drop what has not begun and wait for what has, for a while."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.to_thread(self._pool.shutdown)  # now it waits
        except TimeoutError:
            log.error("the device thread is stuck for %.0f s; it is left behind", self.busy_s)

    def _timed(self, fn: Callable[..., Returned], *args: object) -> Returned:
        self._busy_since = time.monotonic()
        try:
            return fn(*args)
        finally:
            self._busy_since = None


def _set_threads(threads: int | None) -> None:
    # The number belongs to the calling thread: elsewhere it would not reach the forward.
    if threads is not None:
        torch.set_num_threads(threads)

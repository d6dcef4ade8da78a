"""The device's only thread: whatever computes with the base goes through here, one at a time."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch

from skhost.errors import NotReady
from skhost.parallelism import SLOW, Parallelism, alone_time, look_s
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.tokens import EncodedRow

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5.0  # another process should hold the device by then
POLL_S = 0.02

Returned = TypeVar("Returned")


class Runner:
    """Runs batches and other work on one thread of its own; knows no queue and no policy.

    Args:
        classifier: what computes a batch.
        threads: processor threads of a forward; None: torch's default.
    """

    def __init__(self, classifier: Classifier, *, threads: int | None = None) -> None:
        self._classifier = classifier
        self._threads = self._used = threads
        self._parallelism: Parallelism | None = None
        self._unfinished: set[Future[Any]] = set()
        self._moved_at = 0.0  # monotonic: when something ended, or the first of these came
        self._lost: str | None = None
        self._pool = ThreadPoolExecutor(
            1, "skhost-device", initializer=_set_threads, initargs=(threads,)
        )

    @property
    def lost(self) -> str | None:
        """Why the device can never be used again by this process; None while it can."""
        return self._lost

    @property
    def busy_s(self) -> float:
        """Seconds since the device thread finished anything; 0 when it has nothing to do."""
        return time.monotonic() - self._moved_at if self._unfinished else 0.0

    def is_stuck(self, after_s: float) -> bool:
        """Whether there is work and none of it was finished for `after_s`."""
        return self.busy_s > after_s

    async def run(self, batch: Sequence[tuple[EncodedRow, Adapter]]) -> list[np.ndarray]:
        """Logits of each row, in one forward; see `Classifier.logits`."""
        return await self.call(self._forward, batch)

    async def adapt(self, probe: Adapter) -> None:
        """From now on a forward has one thread while others hold the processors.

        Args:
            probe: an adapter to time forwards with.
        """
        if self._threads is None or self._threads == 1:
            return
        await self.call(self._adapt, self._threads, probe)

    @property
    def threads(self) -> int | None:
        """Processor threads of the forward that runs or ran last; None: torch's default."""
        return self._threads if self._parallelism is None else self._parallelism.threads

    async def call(self, fn: Callable[..., Returned], *args: object) -> Returned:
        """`fn(*args)` on the device thread, after what was handed over before.

        Raises:
            NotReady: the device is lost.
        """
        try:
            work = self._pool.submit(self._run, fn, *args)
        except BrokenExecutor as error:
            raise self._lose(f"its thread has ended: {error}") from error
        if not self._unfinished:
            self._moved_at = time.monotonic()
        self._unfinished.add(work)
        work.add_done_callback(self._finished)
        return await asyncio.wrap_future(work)

    async def close(self, timeout_s: float = 10.0) -> None:
        """Drop what has not begun and wait for what has, for a while."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + timeout_s
        while self._unfinished and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)  # a thread that waits could itself never be ended
        if self._unfinished:
            log.error("the device thread is stuck for %.0f s; it is left behind", self.busy_s)

    def _finished(self, work: "Future[Any]") -> None:
        """Called on the device thread, or where the work was cancelled before it began."""
        if not work.cancelled():
            self._moved_at = time.monotonic()
        self._unfinished.discard(work)

    def _forward(self, batch: Sequence[tuple[EncodedRow, Adapter]]) -> list[np.ndarray]:
        parallelism = self._parallelism
        if parallelism is None:
            return self._classifier.logits(batch)
        self._use(parallelism.next())
        began = time.perf_counter()
        logits = self._classifier.logits(batch)
        parallelism.observe(sum(len(row) for row, _ in batch), time.perf_counter() - began)
        return logits

    def _adapt(self, threads: int, probe: Adapter) -> None:
        self._use(1)
        alone_s, alone_look_s = alone_time(self._classifier, probe), min(look_s(), look_s())

        def is_free() -> bool:
            self._use(threads)
            return look_s() <= SLOW * alone_look_s

        self._use(threads)
        self._parallelism = Parallelism(threads, alone_s, is_free)

    def _use(self, threads: int) -> None:
        if threads != self._used:
            _set_threads(threads)
            self._used = threads

    def _run(self, fn: Callable[..., Returned], *args: object) -> Returned:
        try:
            return fn(*args)
        except RuntimeError as error:
            problem = device_problem(self._classifier.base.device)
            if problem is None:
                raise
            raise self._lose(f"{problem}, after: {error}") from error

    def _lose(self, reason: str) -> NotReady:
        if self._lost is None:
            log.critical("the device is lost: %s", reason)
            self._lost = reason
        return NotReady(
            "the device of this server has failed; the server ends and is started again",
            retry_after_s=RETRY_AFTER_S,
        )


def device_problem(device: torch.device) -> str | None:
    """Why a device does not compute any more; None if it does.

    After an illegal access, say, every later call to a GPU fails in this process; after too
    little memory, or shapes that do not fit, the next one works.
    """
    try:
        torch.zeros(1, device=device).add_(1).item()
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:
        return str(error)
    return None


def _set_threads(threads: int | None) -> None:
    # The number belongs to the calling thread: elsewhere it would not reach the forward.
    if threads is not None:
        torch.set_num_threads(threads)
        torch.get_num_threads()  # takes it up, before another thread changes what is handed on
        elsewhere = threading.Thread(target=compute_alone)
        elsewhere.start()
        elsewhere.join()


def compute_alone() -> None:
    """Have this thread, and those that begin to compute from now on, do so without helpers.

    torch hands on to other threads the number that was set last, in whichever thread; each then
    has helpers of its own. Of more helpers than processors, idle ones included, OpenMP has all
    sleep where they wait for each other, some hundred times a forward, which costs a third of it.
    """
    torch.set_num_threads(1)

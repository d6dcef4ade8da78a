"""Who goes into the next batch, and when it is formed. Policy on asyncio: it knows no tensors.

The device takes what is waiting as soon as it is free; nothing waits for company. A batch is
formed as late as possible, so that whoever comes while the device is busy still gets in. Only when
a whole batch is waiting anyway is it handed over shortly before the device is expected to be
free, so that the device does not idle for the event loop's round trip.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from math import isinf
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from skhost.background import end
from skhost.drain_rate import DrainRate
from skhost.errors import DeadlineExceeded, Draining, Overloaded, PayloadTooLarge
from skhost.limits import Limits
from skhost.metrics import Metrics
from skhost.priority_queue import PriorityQueue
from skhost.schedule import Priority

log = logging.getLogger(__name__)

LEAD_S = 0.002  # a whole batch that waits is handed over this long before the device is free
MAX_RUNNING = 2  # one on the device, one handed over
BACKGROUND_S = 0.1  # a forward with batch work in it takes about this long at most
LEAST_BATCHES = 4  # whole ones that may wait, however slow the device seems
OVERTAKEN = 2  # times the time that work may wait, where others come meanwhile
BACKGROUND_SHARE = 8  # but has this part of a whole batch: small forwards are slow for their tokens

Payload = TypeVar("Payload")
Result = TypeVar("Result")
Payload_contra = TypeVar("Payload_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Runs(Protocol[Payload_contra, Result_co]):
    """What runs a batch. It may be handed the next batch while one runs: it then queues it."""

    def run(self, batch: Sequence[Payload_contra], /) -> Coroutine[Any, Any, Sequence[Result_co]]:
        """One result a payload, in order; an exception is the failure of the whole batch."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """What a finished piece of work's future holds."""

    result: Result
    queued_s: float  # from submission until its batch was formed
    run_s: float  # of its batch, from being formed until its results were there
    started_at: float  # of the run; the event loop's time
    batch_items: int  # in the batch


@dataclass(frozen=True, slots=True, eq=False)
class Work(Generic[Payload, Result]):
    """One row that waits for its turn. Times are the event loop's."""

    payload: Payload
    queue: str  # the lane: fairness is between lanes
    cost: int  # tokens charged to a batch
    deadline: float
    submitted_at: float
    future: "asyncio.Future[Done[Result]]"
    priority: Priority = Priority.INTERACTIVE


class Batcher(Generic[Payload, Result]):
    """Admits work, forms batches, and tells every waiter how its batch went.

    As a context manager it serves from entry to exit; leaving it fails whatever still waits.
    """

    def __init__(self, limits: Limits, runs: Runs[Payload, Result], metrics: Metrics) -> None:
        self._limits = limits
        self._runs = runs
        self._metrics = metrics
        self._queue: PriorityQueue[Work[Payload, Result]] = PriorityQueue()
        self._rate = DrainRate()
        self._running: dict[asyncio.Task[None], int] = {}  # tokens of each
        self._busy_from = 0.0  # when the device began with the first of them
        self._changed = asyncio.Event()  # work came, or a batch ended
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_draining = False
        self._server: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._server = asyncio.create_task(self.serve(), name="skhost-batcher")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def is_serving(self) -> bool:
        """Whether the loop that forms batches is alive."""
        return self._server is not None and not self._server.done()

    @property
    def num_waiting(self) -> int:
        """Items that wait for a batch."""
        return self._queue.num_items

    def submit(self, works: Sequence[Work[Payload, Result]]) -> None:
        """Admit all of `works` or none.

        Raises:
            Overloaded: too much waits already; says when there should be room.
            PayloadTooLarge: there would never be room for so much at once.
            Draining: no new work is taken.
        """
        if self._is_draining:
            raise Draining("the server is shutting down; send the request to another replica")
        self._check_room(works)
        for work in works:
            self._queue.push(work)
        self._notice()

    def check_items(self, count: int, priority: Priority = Priority.INTERACTIVE) -> None:
        """Whether so many items would find room, whatever they cost; nothing is reserved.

        Raises:
            Overloaded: too much waits already; says when there should be room.
        """
        over = self._queue.num_items + count - self._limits.max_waiting_items
        if 0 < over <= self._queue.num_items:
            self._refuse(over, 0)
        self._check_time(priority)

    def discard(self, works: Sequence[Work[Payload, Result]]) -> None:
        """Their client has left: cancel what is unfinished and free its place in the queue."""
        num_dropped = sum(self._queue.discard(work) for work in works)
        for work in works:
            work.future.cancel()
        self._metrics.drop("cancelled", num_dropped)
        self._notice()

    async def serve(self) -> None:
        """Form batches and have them run, until cancelled; what waits then is failed."""
        try:
            while True:
                await self._its_time()
                if batch := self._take():
                    self._start(batch)
                self._notice()
        finally:
            self._is_draining = True
            self._fail_waiting()

    async def drain(self) -> None:
        """Take no new work and wait until all that was accepted has been answered."""
        self._is_draining = True
        await self._idle.wait()

    async def close(self) -> None:
        """Stop at once: whatever has not been answered fails with `Draining`."""
        self._is_draining = True
        await end([*self._running, *([self._server] if self._server else [])])
        self._fail_waiting()

    def _check_room(self, works: Sequence[Work[Payload, Result]]) -> None:
        limits, queue = self._limits, self._queue
        items, tokens = len(works), sum(work.cost for work in works)
        if items > limits.max_waiting_items or tokens > limits.max_waiting_tokens:
            raise PayloadTooLarge(
                f"{items} texts with {tokens} tokens at once; at most {limits.max_waiting_items} "
                f"texts and {limits.max_waiting_tokens} tokens can wait: send fewer at a time"
            )
        over_items = queue.num_items + items - limits.max_waiting_items
        over_tokens = queue.num_tokens + tokens - limits.max_waiting_tokens
        if over_items > 0 or over_tokens > 0:
            self._refuse(max(over_items, 0), max(over_tokens, 0))
        for priority in {work.priority for work in works}:
            self._check_time(priority)
        self._check_background(works)
        self._check_lanes(works)

    def _check_time(self, priority: Priority) -> None:
        """Whoever would have to wait long learns so now, and not when the time is over."""
        if (over := self._queue.of(priority).num_tokens - self._timely_tokens(priority)) > 0:
            self._refuse(0, over)

    def _timely_tokens(self, priority: Priority) -> int:
        """Tokens of a class that are done within the time that work may wait.

        Batch work, which is done beside the rest, has its share of the time.
        """
        limits = self._limits
        if not self._rate.is_known or isinf(limits.max_waiting_s):
            return limits.max_waiting_tokens
        least = LEAST_BATCHES * limits.max_batch_tokens
        tokens = max(self._rate.tokens_in(limits.max_waiting_s), least)
        return int(tokens * limits.batch_share if priority is Priority.BATCH else tokens)

    def _check_background(self, works: Sequence[Work[Payload, Result]]) -> None:
        """Batch work waits in a part of the room only, so that there is always some for others."""
        waiting, limits = self._queue.of(Priority.BATCH), self._limits
        costs = [work.cost for work in works if work.priority is Priority.BATCH]
        if not waiting or not costs:
            return
        over_items = waiting.num_items + len(costs) - limits.batch_share * limits.max_waiting_items
        over_tokens = (
            waiting.num_tokens + sum(costs) - limits.batch_share * limits.max_waiting_tokens
        )
        if over_items > 0 or over_tokens > 0:
            self._refuse(max(int(over_items), 0), max(int(over_tokens), 0))

    def _check_lanes(self, works: Sequence[Work[Payload, Result]]) -> None:
        """One adapter may hold only a multiple of what is still free."""
        limits, queue = self._limits, self._queue
        free_items = limits.lane_share * (limits.max_waiting_items - queue.num_items)
        free_tokens = limits.lane_share * (limits.max_waiting_tokens - queue.num_tokens)
        for (priority, name), lane in groupby(sorted(works, key=_lane_of), key=_lane_of):
            costs = [work.cost for work in lane]
            items, tokens = queue.of(priority).lane_size(name)
            over_items = items + len(costs) - free_items
            over_tokens = tokens + sum(costs) - free_tokens
            if over_items > 0 or over_tokens > 0:
                self._refuse(max(int(over_items), 0), max(int(over_tokens), 0))
            self._check_lane_time(priority, tokens)

    def _check_lane_time(self, priority: Priority, waiting: int) -> None:
        """As `_check_time` for one lane, which may have as many rivals all the while as it has now.

        Lanes take turns, so the last in a long lane waits longest, overtaken by all who come to
        others; it may wait for so many times as long as work may by what waits already.
        """
        queue, timely = self._queue.of(priority), self._timely_tokens(priority)
        free_soon = self._limits.lane_share * (timely - queue.num_tokens)
        late = waiting * queue.num_lanes - OVERTAKEN * timely
        if (over := max(waiting - int(free_soon), late)) > 0:
            self._refuse(0, over)

    def _refuse(self, items: int, tokens: int) -> None:
        self._metrics.drop("overloaded", 1)
        retry_after_s = self._rate.retry_after_s(items, tokens)
        raise Overloaded(
            f"{self._queue.num_items} texts with {self._queue.num_tokens} tokens are waiting "
            f"already; try again in {retry_after_s:.1f} s",
            retry_after_s=retry_after_s,
        )

    async def _its_time(self) -> None:
        """Wait until something waits and it is time to form the next batch."""
        while not (self._queue and self._is_time()):
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience()):
                    await self._changed.wait()

    def _is_time(self) -> bool:
        return not self._running or (self._may_run_ahead() and self._seconds_until_free() <= LEAD_S)

    def _patience(self) -> float | None:
        """Seconds until it is time by itself; None: only a change makes it so."""
        if not (self._queue and self._may_run_ahead()):
            return None
        return max(0.0, self._seconds_until_free() - LEAD_S)

    def _may_run_ahead(self) -> bool:
        is_full = self._queue.num_tokens >= self._limits.max_batch_tokens
        return is_full and self._rate.is_known and len(self._running) < MAX_RUNNING

    def _seconds_until_free(self) -> float:
        expected_s = self._rate.seconds_for(sum(self._running.values()))
        return self._busy_from + expected_s - _now()

    def _take(self) -> list[Work[Payload, Result]]:
        limits = self._limits
        background = self._background_tokens()

        def budget_of(work: Work[Payload, Result]) -> int:
            is_background = work.priority is Priority.BATCH
            return background if is_background else limits.max_batch_tokens

        return self._queue.take(budget_of, limits.max_batch_items, is_live=self._is_live)

    def _background_tokens(self) -> int:
        """Of a forward with batch work, behind which somebody may have to wait."""
        whole = self._limits.max_batch_tokens
        return min(max(self._rate.tokens_in(BACKGROUND_S), whole // BACKGROUND_SHARE), whole)

    def _is_live(self, work: Work[Payload, Result]) -> bool:
        """False for work that nobody waits for (any more), which is told so."""
        if work.future.done():
            self._metrics.drop("cancelled", 1)
            return False
        if work.deadline > _now():
            return True
        self._metrics.drop("deadline", 1)
        work.future.set_exception(
            DeadlineExceeded("the text's turn did not come within the request's time")
        )
        return False

    def _start(self, batch: list[Work[Payload, Result]]) -> None:
        if not self._running:
            self._busy_from = _now()
        task = asyncio.create_task(self._finish(batch), name="skhost-batch")
        self._running[task] = sum(work.cost for work in batch)
        task.add_done_callback(self._ended)

    def _go_on(self) -> None:
        """Hand over the next batch before this one's waiters come to keep the event loop busy."""
        task = asyncio.current_task()
        if task is not None and len(self._running) == 1 and self._queue:
            self._running.pop(task)
            if batch := self._take():
                self._start(batch)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.pop(task, None)
        self._notice()

    async def _finish(self, batch: list[Work[Payload, Result]]) -> None:
        """Run a batch; its results, or its failure, reach everyone who waits for it."""
        formed_at = _now()
        try:
            results = await self._runs.run([work.payload for work in batch])
            run_s = _now() - max(formed_at, self._busy_from)
            pairs = list(zip(batch, results, strict=True))
        except asyncio.CancelledError:
            _fail(
                batch,
                Draining("the server stopped before this text's batch had run"),
            )
            raise
        except Exception as error:
            log.exception("a batch of %d texts failed", len(batch))
            _fail(batch, error)
        else:
            self._learn(batch, run_s)
            self._go_on()
            self._answer(pairs, run_s)
        finally:
            self._busy_from = _now()  # whatever was handed over meanwhile runs from here

    def _learn(self, batch: list[Work[Payload, Result]], run_s: float) -> None:
        tokens = sum(work.cost for work in batch)
        self._rate.observe(len(batch), tokens, run_s)
        self._metrics.batch(len(batch), tokens, len({work.queue for work in batch}), run_s)

    def _answer(self, pairs: list[tuple[Work[Payload, Result], Result]], run_s: float) -> None:
        started_at = _now() - run_s
        for work, result in pairs:
            queued_s = started_at - work.submitted_at
            self._metrics.stage("queue", queued_s)
            if not work.future.done():
                work.future.set_result(Done(result, queued_s, run_s, started_at, len(pairs)))

    def _fail_waiting(self) -> None:
        waiting = self._queue.clear()
        _fail(
            waiting,
            Draining("the server stopped before this text's turn came"),
        )
        self._metrics.drop("closed", len(waiting))
        self._notice()

    def _notice(self) -> None:
        """Something changed: let the loop look again, and say what waits."""
        self._changed.set()
        self._metrics.waiting(self._queue.num_items, self._queue.num_tokens)
        if self._queue or self._running:
            self._idle.clear()
        else:
            self._idle.set()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _lane_of(work: Work[Any, Any]) -> tuple[Priority, str]:
    return work.priority, work.queue


def _fail(works: Sequence[Work[Any, Any]], error: Exception) -> None:
    for work in works:
        if not work.future.done():
            work.future.set_exception(error)

"""A device that doubles numbers, and work for it: what tests of the batcher need."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from skhost.batcher import Batcher, Done, Work
from skhost.limits import Limits
from skhost.metrics import Metrics
from skhost.schedule import Priority

Row = Work[int, int]


class Doubling:
    """Doubles numbers; a batch runs when it is let through, one after the other."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.num_handed_over = 0
        self._device = asyncio.Lock()
        self._passes = asyncio.Semaphore(0)
        self._is_open = is_open
        self._came = asyncio.Condition()

    async def run(self, batch: Sequence[int]) -> list[int]:
        async with self._came:
            self.num_handed_over += 1
            self._came.notify_all()
        async with self._device:
            if not self._is_open:
                await self._passes.acquire()
            self.batches.append(list(batch))
            if -1 in batch:
                raise ArithmeticError("-1 cannot be doubled here")
            return [2 * number for number in batch]

    def let_through(self, batches: int = 1) -> None:
        for _ in range(batches):
            self._passes.release()

    async def handed_over(self, batches: int) -> None:
        async with self._came, asyncio.timeout(5):
            await self._came.wait_for(lambda: self.num_handed_over >= batches)


def work(
    payload: int,
    *,
    queue: str = "a",
    cost: int = 1,
    seconds: float = 60.0,
    priority: Priority = Priority.INTERACTIVE,
) -> Row:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Done[int]] = loop.create_future()
    return Work(payload, queue, cost, loop.time() + seconds, loop.time(), future, priority)


async def answers(works: Sequence[Row]) -> list[int]:
    async with asyncio.timeout(5):
        return [(await each.future).result for each in works]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)


@asynccontextmanager
async def serving(runs: Doubling, limits: Limits | None = None) -> AsyncIterator[Batcher[int, int]]:
    metrics = Metrics(CollectorRegistry())
    async with Batcher(limits or Limits(), runs, metrics) as batcher:
        yield batcher

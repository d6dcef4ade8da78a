"""Work on the parts of a stream: some at once, results in the parts' order, in bounded memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar


class Weighed(Protocol):
    """What a window needs to know of a part."""

    @property
    def weight(self) -> int:
        """How much of the window it takes."""


Part = TypeVar("Part", bound=Weighed)
Result = TypeVar("Result")


async def in_order(
    parts: AsyncIterator[Part], work: Callable[[Part], Coroutine[Any, Any, Result]], window: int
) -> AsyncGenerator[Result, None]:
    """`work` on each part; the results come in order.

    Parts are taken while those whose results have not been used up weigh no more than `window`
    together (one that weighs more goes alone), so a slow user of the results slows the parts down.
    The first failure, in the parts' order, ends the stream; closing it cancels what is under way.
    """
    room = _Room(window)
    begun: asyncio.Queue[tuple[asyncio.Task[Result], int] | None] = asyncio.Queue()

    async def begin() -> None:
        try:
            async for part in parts:
                await room.take(part.weight)
                begun.put_nowait((asyncio.create_task(work(part)), part.weight))
        finally:
            begun.put_nowait(None)

    beginning = asyncio.create_task(begin())
    try:
        while (next_one := await begun.get()) is not None:
            task, weight = next_one
            yield await task
            room.give(weight)
        await beginning
    finally:
        await _end(beginning)
        while not begun.empty():
            if (left := begun.get_nowait()) is not None:
                await _end(left[0])


async def _end(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and see how it ended, which does not matter any more."""
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


class _Room:
    """Of a window: what is taken and what is free. For one taker."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._given = asyncio.Event()

    async def take(self, weight: int) -> None:
        while self._taken and self._taken + weight > self._size:
            self._given.clear()
            await self._given.wait()
        self._taken += weight

    def give(self, weight: int) -> None:
        self._taken -= weight
        self._given.set()

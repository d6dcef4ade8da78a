"""A body that is read while its answer is written."""

import asyncio
from collections.abc import Callable

from starlette.types import Receive

from skhost.drain import Drain
from skhost.errors import DeadlineExceeded, Draining, ServiceError, Unauthorized

LOOK_EVERY_S = 0.2  # whether more may be read, while the client is silent


class Arriving:
    """The pieces of a request's body, at most one of them ahead of whoever reads.

    Args:
        recheck: raises Unauthorized once the caller may not stay; asks nobody.
        idle_s: how long a client may be silent.
        closed: set when the connection is closed.
    """

    def __init__(
        self,
        receive: Receive,
        drain: Drain,
        recheck: Callable[[], None],
        idle_s: float,
        closed: asyncio.Event,
    ) -> None:
        self._receive = receive
        self._drain = drain
        self._recheck = recheck
        self._idle_s = idle_s
        self._closed = closed
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    async def until_left(self) -> None:
        """Let the body come in, and return when the client has left."""
        ways = [asyncio.ensure_future(way) for way in (self._pump(), self._closed.wait())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()

    async def next(self) -> bytes | ServiceError | None:
        """The next piece; None at the end of the body; an error where no more is read before it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._idle_s
        while loop.time() < until:
            if (error := self.stopped()) is not None:
                return error
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    return await self._pieces.get()
            except TimeoutError:
                continue
        return DeadlineExceeded(f"no line came for {self._idle_s:g} s")

    def stopped(self) -> ServiceError | None:
        """Why no more work is begun, where that is so."""
        if self._drain.is_draining:
            return Draining("the server is shutting down; send the lines without an answer again")
        try:
            self._recheck()
        except Unauthorized as error:
            return error
        return None

    async def _pump(self) -> None:
        """Returns on the client's departure; behind a piece that nobody takes it is not seen."""
        has_more = True
        while (message := await self._receive())["type"] != "http.disconnect":
            if not has_more:
                continue
            await self._pieces.put(message.get("body", b""))
            has_more = message.get("more_body", False)
            if not has_more:
                await self._pieces.put(None)

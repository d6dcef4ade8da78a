"""A body that is read while its answer is written."""

import asyncio

from starlette.types import Receive

from skhost.drain import RETRY_AFTER_S, Drain
from skhost.errors import DeadlineExceeded, Draining, ServiceError

LOOK_EVERY_S = 0.2  # whether the server drains, while the client is silent


class Arriving:
    """The pieces of a request's body, at most one of them ahead of whoever reads.

    Args:
        idle_s: how long a client may be silent.
    """

    def __init__(self, receive: Receive, drain: Drain, idle_s: float) -> None:
        self._receive = receive
        self._drain = drain
        self._idle_s = idle_s
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    async def until_left(self) -> None:
        """Let the body come in, and return when the client has left."""
        has_more = True
        while (message := await self._receive())["type"] != "http.disconnect":
            if not has_more:
                continue
            await self._pieces.put(message.get("body", b""))
            has_more = message.get("more_body", False)
            if not has_more:
                await self._pieces.put(None)

    async def next(self) -> bytes | ServiceError | None:
        """The next piece; None at the end of the body; an error where no more is read before it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._idle_s
        while loop.time() < until:
            if self._drain.is_draining:
                return Draining(
                    "the server is shutting down; send the lines without an answer again",
                    retry_after_s=RETRY_AFTER_S,
                )
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    return await self._pieces.get()
            except TimeoutError:
                continue
        return DeadlineExceeded(f"no line came for {self._idle_s:g} s")

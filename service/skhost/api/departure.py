"""A client that leaves takes its request with it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

Returned = TypeVar("Returned")


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, Returned]) -> Returned:
    """The result of `work`, which is cancelled when the connection is closed before it ends.

    The body has been read before.

    Raises:
        ClientDisconnect: nobody waits for the answer any more.
    """
    return await unless_left(_left(request), work)


async def unless_left(
    leaving: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Returned]
) -> Returned:
    """As `unless_client_leaves`, where `leaving` ends when the client has left."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(leaving)
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (watching, working):
            task.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _left(request: Request) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        continue

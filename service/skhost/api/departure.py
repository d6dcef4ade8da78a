"""A client that leaves takes its request with it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

Returned = TypeVar("Returned")


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, Returned]) -> Returned:
    """The result of `work`, which is cancelled when the connection is closed before it ends.

    Raises:
        ClientDisconnect: nobody waits for the answer any more.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()


async def _left(request: Request) -> None:
    """Return when the client has left; the body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        continue

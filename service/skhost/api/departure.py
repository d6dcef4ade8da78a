"""A client that leaves takes its request with it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from skhost.protocol import CLOSED

Returned = TypeVar("Returned")


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, Returned]) -> Returned:
    """The result of `work`, which is cancelled when the connection is closed before it ends.

    The body has been read before.

    Raises:
        ClientDisconnect: nobody waits for the answer any more.
    """
    state, task = request.scope["state"], asyncio.current_task()
    assert task is not None
    leaving = state[CLOSED] = _Leaving(task)
    try:
        return await work
    except asyncio.CancelledError:
        if leaving.has_left and not task.uncancel():
            raise ClientDisconnect from None
        raise
    finally:
        del state[CLOSED]


async def unless_left(
    leaving: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Returned]
) -> Returned:
    """As `unless_client_leaves`, where `leaving` is what ends when the client has left."""
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


class _Leaving:
    """Told by the server when the connection is closed; no task of its own has to wait for that."""

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self._task = task
        self.has_left = False

    def set(self) -> None:
        """The client has left."""
        self.has_left = True
        self._task.cancel()

"""Tasks that live as long as their owner and may fail without taking it down."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from skhost.errors import ServiceError

log = logging.getLogger(__name__)

CANCEL_AGAIN_S = 0.1


class Background:
    """A set of tasks whose failures are logged, and that end together."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Run `work` on the side."""
        task = asyncio.create_task(self.guard(work, what), name=f"skhost-{what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def guard(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Await `work`; a failure is logged and goes no further, a cancellation does.

        Also one that got lost inside: up to Python 3.11 `asyncio.wait_for`, with which redis-py
        sends, drops a cancellation that comes just as it ends, and a loop around it would go on.
        """
        try:
            await work
        except ServiceError as error:
            log.warning("%s: %s", what, error.message)
        except Exception:
            log.exception("%s failed", what)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError

    async def close(self) -> None:
        """Cancel what still runs."""
        await end(self._tasks)


async def end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel tasks until they have ended; how they ended does not matter.

    Once is not enough for one that can lose a cancellation (see `Background.guard`). Only for tasks
    whose own cleaning up may be interrupted.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # seen: nobody else will ask

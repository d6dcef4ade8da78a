"""Tasks that live as long as their owner and may fail without taking it down."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from skhost.errors import ServiceError

log = logging.getLogger(__name__)


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
        """Await `work`; a failure is logged and goes no further."""
        try:
            await work
        except ServiceError as error:
            log.warning("%s: %s", what, error.message)
        except Exception:
            log.exception("%s failed", what)

    async def close(self) -> None:
        """Cancel what still runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

import asyncio
import logging
from contextlib import suppress

import pytest

from skhost.background import Background, end
from skhost.errors import StoreUnavailable

pytestmark = pytest.mark.anyio


async def test_a_failure_is_logged_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    async def known() -> None:
        raise StoreUnavailable("the store is away")

    async def unknown() -> None:
        raise ArithmeticError("a bug")

    background = Background()
    with caplog.at_level(logging.WARNING):
        await background.guard(known(), "reading")
        await background.guard(unknown(), "counting")
    assert "reading: the store is away" in caplog.text
    assert "counting failed" in caplog.text
    assert "ArithmeticError: a bug" in caplog.text


async def test_tasks_end_with_their_owner() -> None:
    background = Background()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    background.start(work(), "waiting")
    await begun.wait()
    await background.close()
    assert ended.is_set()


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    lost = 0

    async def loop() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end([task])
    assert task.cancelled()
    assert lost == 3


async def test_a_cancellation_that_got_lost_inside_is_found_again() -> None:
    background = Background()

    async def loses_it() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def loop() -> None:
        while True:
            await background.guard(loses_it(), "waiting")

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()

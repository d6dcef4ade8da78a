import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import Server, server_of
from redis.asyncio import Redis

from skhost.errors import NotReady
from sktuning.base import FrozenBase

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> AsyncIterator[Server]:
    async with server_of(redis_client, tiny_bert, tmp_path) as made:
        yield made


def _fail(*_: object) -> None:
    raise RuntimeError("the device is gone")


async def test_ready_means_that_a_forward_works(server: Server) -> None:
    await server.engine.ready()
    forwards: list[int] = []
    hook = server.base.model.register_forward_hook(lambda *_: forwards.append(1))
    server.engine.readiness._good_until = 0.0
    await asyncio.gather(*(server.engine.ready() for _ in range(5)))
    hook.remove()
    assert forwards == [1]


async def test_a_busy_device_is_not_ready_in_time(server: Server) -> None:
    async with server.busy_device():
        with pytest.raises(NotReady, match=r"more than 0\.05 s"):
            await server.engine.ready(timeout_s=0.05)
    await server.engine.ready()


async def test_a_failing_device_is_not_ready(server: Server) -> None:
    hook = server.base.model.register_forward_hook(_fail)
    with pytest.raises(NotReady, match="the device is gone"):
        await server.engine.ready()
    hook.remove()
    await server.engine.ready()


async def test_a_device_without_finite_numbers_is_not_ready(server: Server) -> None:
    def spoil(*args: Any) -> Any:
        out = args[-1]
        out.last_hidden_state = out.last_hidden_state * np.nan
        return out

    hook = server.base.model.register_forward_hook(spoil)
    with pytest.raises(NotReady, match="finite"):
        await server.engine.ready()
    hook.remove()


async def test_no_registry_is_not_ready(tiny_bert: FrozenBase, tmp_path: Path) -> None:
    nobody = Redis.from_url(f"unix://{tmp_path}/no.sock", decode_responses=True)
    async with server_of(nobody, tiny_bert, tmp_path) as server:
        with pytest.raises(NotReady, match="registry"):
            await server.engine.ready()
    await nobody.aclose()

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engines import Server, server_of, until
from redis.asyncio import Redis
from tiny_families import FAMILIES

from skhost.base_golden import BaseGolden
from skhost.errors import NotReady
from skhost.reference import reference_adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier

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


async def test_a_base_that_has_changed_in_memory_answers_nothing_more(server: Server) -> None:
    await server.publish("mood")
    await server.classify("mood", ["good"])
    weight = server.base.model.get_parameter("encoder.layer.0.output.dense.weight")
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.mul_(1.5)
        server.engine.readiness._good_until = 0.0
        with pytest.raises(NotReady, match="off by"):
            await server.engine.ready()
        with pytest.raises(NotReady, match="started again"):
            await server.classify("mood", ["good"])
        with pytest.raises(NotReady, match="started again"):
            server.engine.readiness.check_alive()
        assert "off by" in (server.engine.readiness.failure or "")
    finally:
        with torch.no_grad():
            weight.copy_(before)


async def test_an_answer_of_a_base_found_damaged_meanwhile_is_not_given(server: Server) -> None:
    await server.publish("mood")
    await server.classify("mood", ["good"])
    async with server.busy_device():
        asked = asyncio.create_task(server.classify("mood", ["good"]))
        await until(lambda: server.engine.batcher._running != {})
        server.engine.readiness._poisoned = "seen a moment ago"
    with pytest.raises(NotReady, match="seen a moment ago"):
        await asked


async def test_a_stuck_device_is_not_alive_an_idle_one_is(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    async with server_of(redis_client, tiny_bert, tmp_path, stuck_after_s=0.05) as server:
        readiness = server.engine.readiness
        await asyncio.sleep(0.2)  # idle for longer than the bound
        readiness.check_alive()
        async with server.busy_device():
            async with asyncio.timeout(20):
                while readiness.failure is None:
                    await asyncio.sleep(0.01)
            with pytest.raises(NotReady, match="finished nothing"):
                readiness.check_alive()
        readiness.check_alive()


async def test_the_golden_forward_works_on_both_paths(tiny_bert: FrozenBase) -> None:
    (padded,) = [family.base() for family in FAMILIES if family.name == "bloom"]
    assert padded.path == "padded"
    for base in (tiny_bert, padded):
        classifier = Classifier(base)
        BaseGolden(classifier, reference_adapter(classifier)).check()


async def test_no_registry_is_not_ready(tiny_bert: FrozenBase, tmp_path: Path) -> None:
    nobody = Redis.from_url(f"unix://{tmp_path}/no.sock", decode_responses=True)
    async with server_of(nobody, tiny_bert, tmp_path) as server:
        with pytest.raises(NotReady, match="registry"):
            await server.engine.ready()
    await nobody.aclose()

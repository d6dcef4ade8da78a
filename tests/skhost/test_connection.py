import asyncio
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis

from skhost.catalog import Catalog
from skhost.connection import connect, registry_errors
from skhost.errors import RegistryUnavailable
from skhost.keys import Keys
from skhost.valkey import EmbeddedValkey

pytestmark = pytest.mark.anyio


async def test_a_registry_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    client = connect(f"unix://{tmp_path}/nothing.sock")
    catalog = Catalog(client, Keys())
    for call in (catalog.get("a"), catalog.names(), catalog.promote("a", 1), catalog.revision()):
        with pytest.raises(RegistryUnavailable, match="does not answer as it should") as caught:
            await call
        assert caught.value.retry_after_s
    with pytest.raises(RegistryUnavailable):
        await anext(catalog.watch())
    await client.aclose()


async def test_an_answer_that_is_an_error_is_an_error_of_ours_too(redis_client: Redis) -> None:
    await redis_client.set("key", "text")
    with pytest.raises(RegistryUnavailable, match="WRONGTYPE"), registry_errors():
        await redis_client.lpush("key", "x")


async def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), registry_errors():
        _ = 1 / 0


async def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        client = connect(server.url)
        await client.ping()
        frozen = psutil.Process(server.pid)
        frozen.suspend()
        try:
            async with asyncio.timeout(60):  # tries within tries took longer
                with pytest.raises(RegistryUnavailable), registry_errors():
                    await client.get("a")
        finally:
            frozen.resume()
        assert await client.get("a") is None
        await client.aclose()

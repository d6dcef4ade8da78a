"""What several folders of tests need: real things, small."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from skhost.connection import connect
from skhost.valkey import EmbeddedValkey


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio only."""
    return "asyncio"


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Valkey server, a child process on a unix socket."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
async def redis_client(valkey_url: str) -> AsyncIterator[Redis]:
    """A client of that server, emptied before the test; it answers text."""
    client = connect(valkey_url)
    await client.flushall()
    yield client
    await client.aclose()

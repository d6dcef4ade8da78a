"""What several folders of tests need: real things, small."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import bases
import pytest
import torch
from hypothesis import settings
from redis.asyncio import Redis

from skhost.connection import connect
from skhost.valkey import EmbeddedValkey
from sktuning.base import FrozenBase


def pytest_configure() -> None:
    """No limit on a property's single example: on a busy machine it says nothing of the code."""
    settings.register_profile("skhost", deadline=None)
    settings.load_profile("skhost")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches what tests start, also where the tests were started ignoring it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread, and wait for it where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio only."""
    return "asyncio"


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Valkey server, a child process on a unix socket."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """URL of a bucket of a real S3 API server, for this process and its children."""
    from s3_server import s3_server  # moto takes a second to import, and few tests need it

    with s3_server() as url:
        yield url


@pytest.fixture
async def redis_client(valkey_url: str) -> AsyncIterator[Redis]:
    """A client of that server, emptied before the test; it answers text."""
    client = connect(valkey_url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def tiny_bert() -> FrozenBase:
    """A tiny seeded bidirectional base."""
    return bases.tiny_bert_base()


@pytest.fixture(scope="session")
def tiny_gpt2() -> FrozenBase:
    """A tiny seeded causal base."""
    return bases.tiny_gpt2_base()


@pytest.fixture(scope="session")
def tiny_bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tiny bidirectional base as a model folder."""
    return bases.write_tiny_bert(tmp_path_factory.mktemp("base") / "tiny-bert")


@pytest.fixture(scope="session")
def minilm() -> FrozenBase:
    """The packaged default base."""
    return FrozenBase.load()

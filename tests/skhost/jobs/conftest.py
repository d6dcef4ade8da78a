"""What the tests of training jobs share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from training_jobs import Workers

from skhost.jobs import Jobs
from skhost.keys import Keys
from skhost.settings import Settings


@pytest.fixture
def keys() -> Keys:
    """The default tenant's keys."""
    return Keys()


@pytest.fixture
def jobs(redis_client: Redis, keys: Keys) -> Jobs:
    """Training jobs on the test's server."""
    return Jobs(redis_client, keys)


@pytest.fixture
def settings(valkey_url: str, tmp_path: Path) -> Settings:
    """Settings of a worker on the test's server."""
    return Settings(redis_url=valkey_url, data_dir=tmp_path, worker_nice=0, worker_threads=1)


@pytest.fixture
def workers(settings: Settings) -> Iterator[Workers]:
    """Starts workers."""
    started = Workers(settings)
    yield started
    started.end()

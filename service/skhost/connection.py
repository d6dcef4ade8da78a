"""How Redis or Valkey is reached, and the one place that turns its errors into ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from skhost.errors import RegistryUnavailable

TIMEOUT_S: Final = 5.0
_RETRY_AFTER_S = 2.0


def connect(url: str) -> "Redis":
    """An asynchronous client that answers text; nothing is sent yet. Close it with `aclose`.

    A command may be sent again after a broken connection, so whatever is not idempotent
    needs a token of its own.
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=1),
    )


@contextmanager
def registry_errors() -> Iterator[None]:
    """Turns every error of the Redis client into RegistryUnavailable."""
    try:
        yield
    except RedisError as error:
        raise RegistryUnavailable(
            f"the registry (Redis or Valkey) does not answer as it should: {error}",
            retry_after_s=_RETRY_AFTER_S,
        ) from error

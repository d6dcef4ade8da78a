"""Whether an artifact has proved itself on this base; a pass is remembered for all replicas."""

import asyncio
import logging
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from skhost.keys import SELF_TEST_TTL_S, Keys
from skhost.runner import Runner
from sktuning.adapter import Adapter
from sktuning.artifact import self_test
from sktuning.classify import Classifier

log = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 1.0  # remembering is a convenience: serving does not wait for it


class SelfTests:
    """Replays an artifact's golden inputs once a digest, base, device and dtype.

    Args:
        redis: where passes are shared; None, or one that does not answer, only costs time.
    """

    def __init__(
        self, classifier: Classifier, runner: Runner, redis: Redis | None, keys: Keys
    ) -> None:
        self._classifier = classifier
        self._runner = runner
        self._redis = redis
        self._keys = keys
        self._passed: set[str] = set()
        self._doubted: set[str] = set()  # whatever was remembered of them

    async def ensure(self, digest: str, directory: Path, adapter: Adapter) -> None:
        """Return once the adapter is known to answer as it did when it was saved.

        Raises:
            SelfTestFailed: it does not.
        """
        if digest in self._passed:
            return
        if digest in self._doubted or not await self._is_recorded(digest):
            await self._runner.call(self_test, directory, adapter, self._classifier)
            log.info("adapter %s passed its self-test", digest)
            await self._record(digest)
        self._passed.add(digest)
        self._doubted.discard(digest)

    def doubt(self, digest: str) -> None:
        """Test this artifact again the next time, although it has passed."""
        self._passed.discard(digest)
        self._doubted.add(digest)

    def _key(self, digest: str) -> str:
        base = self._classifier.base
        dtype = str(base.dtype).removeprefix("torch.")
        return self._keys.self_test(digest, base.identity.digest, f"{base.device.type}-{dtype}")

    async def _is_recorded(self, digest: str) -> bool:
        if self._redis is None:
            return False
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                return bool(await self._redis.exists(self._key(digest)))
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            log.warning("cannot look up the self-test of %s: %s", digest, error)
            return False

    async def _record(self, digest: str) -> None:
        if self._redis is None:
            return
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                await self._redis.set(self._key(digest), "1", ex=SELF_TEST_TTL_S)
        except (RedisError, OSError) as error:
            log.warning("cannot record the self-test of %s: %s", digest, error)

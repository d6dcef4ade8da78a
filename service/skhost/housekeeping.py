"""What a server does beside answering: forgets artifacts that nothing uses, and counts jobs."""

import asyncio
import logging
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from skhost.background import Background
from skhost.catalog import Catalog
from skhost.connection import registry_errors
from skhost.jobs import JobState
from skhost.keys import Keys
from skhost.metrics import Metrics
from skhost.store import ArtifactStore

log = logging.getLogger(__name__)

INTERVAL_S = 15.0
LEFT_OVER_S = 24 * 3600.0


class Housekeeping:
    """Runs beside the server; one that fails is tried again later."""

    def __init__(
        self, redis: Redis, keys: Keys, catalog: Catalog, store: ArtifactStore, metrics: Metrics
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._catalog = catalog
        self._store = store
        self._metrics = metrics
        self._background = Background()

    async def run(self) -> None:
        """Go round until cancelled."""
        while True:
            await self._background.guard(self._round(), "housekeeping")
            await asyncio.sleep(INTERVAL_S)

    async def _round(self) -> None:
        await self.count_jobs()
        await self.delete_orphans()

    async def count_jobs(self) -> None:
        """How many jobs are in each state, for the metrics."""
        with registry_errors():
            ids: Any = await self._redis.zrange(self._keys.jobs(), 0, -1)
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in ids:
                    pipe.hget(self._keys.job(job_id), "state")
                states = await pipe.execute()
        counts = Counter(str(state) for state in states if state is not None)
        self._metrics.jobs(counts, [state.value for state in JobState], self._keys.tenant)

    async def delete_orphans(self) -> None:
        """Artifacts of versions that were retired a while ago."""
        for digest in await self._catalog.take_orphans():
            await asyncio.to_thread(self._store.delete, digest)
            log.info("artifact %s is deleted: no version uses it", digest)


def clear_left_overs(folder: Path) -> None:
    """Remove what a killed server left of uploads and archives; younger ones may be in use."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):  # another server on the same folder was faster
            if time.time() - entry.stat().st_mtime > LEFT_OVER_S:
                shutil.rmtree(entry, ignore_errors=True)

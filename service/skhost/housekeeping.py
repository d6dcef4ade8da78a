"""What a server does beside answering: forgets unused artifacts, counts jobs and workers."""

import asyncio
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from skhost.background import Background
from skhost.catalog import Catalog
from skhost.connection import registry_errors
from skhost.jobs import JobState
from skhost.jobs.record import WORKING
from skhost.keys import WORKER_TTL_S, CommonKeys, Keys
from skhost.metrics import JobCensus, Metrics
from skhost.store import ArtifactStore

log = logging.getLogger(__name__)

INTERVAL_S = 15.0
LEFT_OVER_S = 24 * 3600.0
_ACTIVE = ("state", "queued_at", "heartbeat_at", "progress")


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
        await self.count_workers()
        await self.delete_orphans()

    async def count_jobs(self) -> None:
        """What the jobs are at, for the metrics."""
        keys = self._keys
        with registry_errors():
            ids: Any = await self._redis.zrange(keys.jobs(), 0, -1)
            active_ids: Any = await self._redis.zrange(keys.active_jobs(), 0, -1)
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in ids:
                    pipe.hget(keys.job(job_id), "state")
                states = await pipe.execute()
                for job_id in active_ids:
                    pipe.hmget(keys.job(job_id), _ACTIVE)
                active = await pipe.execute()
        counts = Counter(str(state) for state in states if state is not None)
        names = [state.value for state in JobState]
        self._metrics.jobs(_census(counts, active, time.time()), names, keys.tenant)

    async def count_workers(self) -> None:
        """Which workers live, for the metrics; the same whichever tenant asks."""
        now, common = time.time(), CommonKeys()
        with registry_errors():
            alive: Any = await self._redis.zrangebyscore(
                common.workers(), now - WORKER_TTL_S, "+inf", withscores=True
            )
            async with self._redis.pipeline(transaction=False) as pipe:
                for name, _ in alive:
                    pipe.hget(common.worker(name), "job")
                jobs = await pipe.execute()
        busy = sum(bool(job) for job in jobs)
        silences = [max(0.0, now - float(heard_at)) for _, heard_at in alive]
        self._metrics.workers(busy, len(alive) - busy, max(silences, default=0.0))

    async def delete_orphans(self) -> None:
        """Artifacts of versions that were retired a while ago."""
        for digest in await self._catalog.take_orphans():
            await asyncio.to_thread(self._store.delete, digest)
            log.info("artifact %s is deleted: no version uses it", digest)


def _census(
    by_state: Mapping[str, int], active: Sequence[Sequence[str | None]], now: float
) -> JobCensus:
    """From `_ACTIVE` of every job that has not ended; a record that is gone has none of it."""
    waits, silences, rates = [0.0], [0.0], [0.0]
    for state, queued_at, heartbeat_at, progress in active:
        if state == JobState.QUEUED:
            waits.append(now - float(queued_at or now))
        if state in WORKING:
            silences.append(now - float(heartbeat_at or now))
        if state == JobState.RUNNING and progress is not None:
            rates.append(json.loads(progress).get("rows_per_s") or 0.0)
    return JobCensus(by_state, max(waits), max(silences), sum(rates))


def clear_left_overs(folder: Path) -> None:
    """Remove what a killed server left of uploads and archives; younger ones may be in use."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):  # another server on the same folder was faster
            if time.time() - entry.stat().st_mtime > LEFT_OVER_S:
                shutil.rmtree(entry, ignore_errors=True)

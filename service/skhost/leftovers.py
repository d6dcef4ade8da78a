"""What the store keeps and nothing names: artifacts of no version, files of no job.

They stay where a process was killed between storing something and naming it, and when the record
of a job that failed expires. Nothing here knows what is being published at this moment: only what
has lain in the store for a while counts.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from redis.asyncio import Redis

from skhost.catalog import Catalog
from skhost.connection import registry_errors
from skhost.errors import Conflict
from skhost.keys import Keys
from skhost.store import ArtifactStore


@dataclass(frozen=True, slots=True)
class LeftOver:
    """An entry of the store that nothing names.

    Attributes:
        entry: the digest of an artifact, or the reference of a job's files.
        stored_at: Unix time at which something of it was last written.
    """

    tenant: str
    entry: str
    stored_at: float

    @property
    def is_artifact(self) -> bool:
        """Whether it is one of an adapter's versions that were."""
        return ":" in self.entry


class LeftOvers:
    """Those of one tenant.

    Args:
        grace_s: what was stored later than so many seconds ago may be about to be named.
    """

    def __init__(self, redis: Redis, keys: Keys, store: ArtifactStore, grace_s: float) -> None:
        self._redis = redis
        self._keys = keys
        self._catalog = Catalog(redis, keys)
        self._store = store
        self._grace_s = grace_s

    async def find(self) -> Sequence[LeftOver]:
        """All of them, artifacts first.

        Raises:
            Conflict: there are artifacts, and the registry has never had an adapter.
        """
        # The store first: what is stored and named between the two readings is not found then.
        stored = await asyncio.to_thread(lambda: list(self._stored()))
        if any(each.is_artifact for each in stored) and not await self._catalog.revision():
            raise Conflict(
                f"the store has artifacts of tenant {self._keys.tenant!r}, and this registry never "
                "had an adapter of it: is it the right one?"
            )
        named = await self._named()
        return [each for each in stored if each.entry not in named]

    async def remove(self, found: Sequence[LeftOver]) -> Sequence[LeftOver]:
        """Remove what was found and is still a left-over; what was removed."""
        named = await self._named()
        gone = [each for each in found if each.entry not in named]
        for each in gone:
            remove = self._store.delete if each.is_artifact else self._store.remove
            await asyncio.to_thread(remove, each.entry)
        return gone

    def _stored(self) -> Iterator[LeftOver]:
        """What has lain there for longer than the grace; named or not."""
        for entry in (*self._store.digests(), *self._store.refs()):
            stored_at = self._store.stored_at(entry)
            if stored_at is not None and stored_at < time.time() - self._grace_s:
                yield LeftOver(self._keys.tenant, entry, stored_at)

    async def _named(self) -> frozenset[str]:
        """Digests of versions, also those that housekeeping deletes; files of jobs."""
        keys = self._keys
        versions = [v for each in (await self._catalog.snapshot()).values() for v in each.versions]
        with registry_errors():
            digests: Any = await self._redis.hkeys(keys.digests())
            orphans: Any = await self._redis.zrange(keys.orphans(), 0, -1)
            jobs: Any = await self._redis.zrange(keys.jobs(), 0, -1)
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in jobs:
                    pipe.hget(keys.job(job_id), "uploads")
                records = await pipe.execute()
        kept = {job: text for job, text in zip(jobs, records, strict=True) if text is not None}
        uploads = (upload["ref"] for text in kept.values() for upload in json.loads(text))
        owners = kept.keys() | {version.job_id for version in versions}
        return frozenset(
            (
                *(*digests, *orphans),
                *(str(PurePosixPath(ref).parent) for ref in uploads),
                *(f"checkpoints/{job}" for job in kept),
                *(f"rows/{job}" for job in owners),
            )
        )

"""What is cleared away, and when."""

import os
import time
from pathlib import Path

import pytest
from plain_artifact import write_artifact
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from skhost.catalog import Catalog
from skhost.housekeeping import Housekeeping, clear_left_overs
from skhost.keys import Keys
from skhost.metrics import Metrics
from skhost.store import ArtifactStore
from sktuning.config import BaseIdentity

KEYS = Keys("housekeeping")
BASE = BaseIdentity("base", "sha256:" + "0" * 64)


@pytest.mark.anyio
async def test_artifacts_that_no_version_uses_are_deleted_after_a_while(
    redis_client: Redis, tmp_path: Path
) -> None:
    store = ArtifactStore(f"file://{tmp_path / 'store'}", KEYS.tenant, tmp_path / "cache")
    catalog = Catalog(redis_client, KEYS)
    keeping = Housekeeping(redis_client, KEYS, catalog, store, Metrics(CollectorRegistry()))
    digests = [write_artifact(tmp_path / str(number), number) for number in (1, 2)]
    for number, digest in enumerate(digests, start=1):
        store.put(tmp_path / str(number), digest)
        await catalog.publish(
            "a", digest, base=BASE, task="single-label", labels=["x", "y"], nbytes=1
        )
    await catalog.retire("a", 1)
    await keeping.delete_orphans()
    assert store.exists(digests[0]), "it was retired only just now"
    await redis_client.zadd(KEYS.orphans(), {digests[0]: time.time() - 7200})
    await keeping.delete_orphans()
    assert not store.exists(digests[0])
    assert store.exists(digests[1])


@pytest.mark.anyio
async def test_jobs_are_counted_by_state(redis_client: Redis, tmp_path: Path) -> None:
    metrics = Metrics(CollectorRegistry())
    store = ArtifactStore(f"file://{tmp_path}", KEYS.tenant, tmp_path / "cache")
    keeping = Housekeeping(redis_client, KEYS, Catalog(redis_client, KEYS), store, metrics)
    for job_id, state in (("a", "queued"), ("b", "failed"), ("c", "queued")):
        await redis_client.zadd(KEYS.jobs(), {job_id: 1})
        await redis_client.hset(KEYS.job(job_id), "state", state)
    await redis_client.zadd(KEYS.jobs(), {"expired": 1})
    await keeping.count_jobs()

    def count(state: str) -> float | None:
        return metrics.registry.get_sample_value("skhost_jobs", {"state": state})

    assert [count(state) for state in ("queued", "failed", "running")] == [2, 1, 0]


def test_only_old_left_overs_are_cleared(tmp_path: Path) -> None:
    old, young = tmp_path / "old", tmp_path / "young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "file").write_text("x")
    long_ago = time.time() - 2 * 86_400
    os.utime(old, (long_ago, long_ago))
    clear_left_overs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["young"]
    clear_left_overs(tmp_path / "not there")

"""What is cleared away, and when."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from plain_artifact import write_artifact
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from skhost.catalog import Catalog
from skhost.housekeeping import Housekeeping, clear_left_overs
from skhost.jobs.record import encode
from skhost.keys import CommonKeys, Keys
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


@pytest.fixture
def counted(redis_client: Redis, tmp_path: Path) -> Housekeeping:
    """What counts, on an empty Redis."""
    store = ArtifactStore(f"file://{tmp_path}", KEYS.tenant, tmp_path / "cache")
    metrics = Metrics(CollectorRegistry())
    return Housekeeping(redis_client, KEYS, Catalog(redis_client, KEYS), store, metrics)


def value(keeping: Housekeeping, name: str, **labels: str) -> float | None:
    return keeping._metrics.registry.get_sample_value(name, labels)


@pytest.mark.anyio
async def test_jobs_are_counted_by_state(redis_client: Redis, counted: Housekeeping) -> None:
    for job_id, state in (("a", "queued"), ("b", "failed"), ("c", "queued")):
        await redis_client.zadd(KEYS.jobs(), {job_id: 1})
        await redis_client.hset(KEYS.job(job_id), "state", state)
    await redis_client.zadd(KEYS.jobs(), {"expired": 1})
    await counted.count_jobs()
    states = ("queued", "failed", "running")
    assert [value(counted, "skhost_jobs", state=state) for state in states] == [2, 1, 0]
    assert value(counted, "skhost_oldest_queued_job_seconds") == 0


@pytest.mark.anyio
async def test_the_slowest_active_job_is_told(redis_client: Redis, counted: Housekeeping) -> None:
    now = time.time()
    records: dict[str, dict[str, Any]] = {
        "waits": {"state": "queued", "queued_at": now - 50},
        "waits-too": {"state": "queued", "queued_at": now - 5},
        "silent": {"state": "running", "heartbeat_at": now - 30, "progress": {"rows_per_s": 40.5}},
        "works": {"state": "running", "heartbeat_at": now - 1, "progress": {"rows_per_s": 2}},
        "begins": {"state": "validating", "heartbeat_at": now - 2},
    }
    for job_id, record in records.items():
        await redis_client.zadd(KEYS.active_jobs(), {job_id: now})
        stored: Any = encode(record)
        await redis_client.hset(KEYS.job(job_id), mapping=stored)
    await redis_client.zadd(KEYS.active_jobs(), {"expired": 1})
    await counted.count_jobs()
    assert value(counted, "skhost_oldest_queued_job_seconds") == pytest.approx(50, abs=5)
    assert value(counted, "skhost_job_heartbeat_age_seconds") == pytest.approx(30, abs=5)
    assert value(counted, "skhost_training_rows_per_second") == 42.5


@pytest.mark.anyio
async def test_workers_are_counted(redis_client: Redis, counted: Housekeeping) -> None:
    now, common = time.time(), CommonKeys()
    for name, job, silence_s in (("a", "j1", 1), ("b", "", 9), ("dead", "j2", 60)):
        await redis_client.zadd(common.workers(), {name: now - silence_s})
        await redis_client.hset(common.worker(name), "job", job)
    await counted.count_workers()
    assert value(counted, "skhost_workers", state="busy") == 1
    assert value(counted, "skhost_workers", state="idle") == 1
    assert value(counted, "skhost_worker_heartbeat_age_seconds") == pytest.approx(9, abs=5)
    await redis_client.delete(common.workers())
    await counted.count_workers()
    assert value(counted, "skhost_workers", state="busy") == 0
    assert value(counted, "skhost_worker_heartbeat_age_seconds") == 0


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

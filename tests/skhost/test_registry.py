import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from serving_parts import FolderStore

from skhost.budgets import Budgets
from skhost.catalog import Catalog
from skhost.connection import connect
from skhost.errors import (
    AdapterNotFound,
    AdapterUnusable,
    AliasNotFound,
    RegistryUnavailable,
    VersionNotFound,
)
from skhost.keys import Keys
from skhost.metrics import Metrics
from skhost.names import AdapterRef, parse_ref
from skhost.records import VersionRecord
from skhost.reference import reference_adapter
from skhost.registry import Registry
from skhost.residency import Residency, Tier
from skhost.runner import Runner
from skhost.self_tests import SelfTests
from skhost.valkey import EmbeddedValkey
from sktuning.base import FrozenBase
from sktuning.classify import Classifier

pytestmark = pytest.mark.anyio


@dataclass
class Replica:
    """One process's view of a catalogue, and ways to change what it views."""

    base: FrozenBase
    store: FolderStore
    catalog: Catalog
    residency: Residency
    registry: Registry
    metrics: Metrics

    async def publish(
        self, name: str = "a", seed: int = 0, *, to: str | None = "prod"
    ) -> VersionRecord:
        record = self.store.add(self.base, seed=seed)
        return await self.catalog.publish(
            name,
            record.digest,
            base=record.base,
            task=record.task,
            labels=record.labels,
            nbytes=record.nbytes,
            promote_to=to,
        )

    def resolve(self, ref: str) -> int:
        return self.registry.resolve(parse_ref(ref)).version

    def value(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)

    def break_artifact(self, record: VersionRecord) -> None:
        (self.store.path(record.digest) / "manifest.json").unlink()


@asynccontextmanager
async def replica_of(
    redis: Redis, base: FrozenBase, folder: Path, *, interval_s: float = 60.0, **budgets: Any
) -> AsyncIterator[Replica]:
    classifier, metrics, store = Classifier(base), Metrics(CollectorRegistry()), FolderStore(folder)
    runner = Runner(classifier, threads=1)
    residency = Residency(
        store,
        base,
        reference_adapter(classifier),
        SelfTests(classifier, runner, None, Keys()),
        Budgets(**{"device_bytes": 1 << 30, **budgets}),
        metrics,
    )
    catalog = Catalog(redis, Keys())
    registry = Registry(catalog, residency, metrics, interval_s=interval_s)
    yield Replica(base, store, catalog, residency, registry, metrics)
    await residency.close()
    await runner.close()


@pytest.fixture
async def replica(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> AsyncIterator[Replica]:
    async with replica_of(redis_client, tiny_bert, tmp_path) as made:
        yield made


@asynccontextmanager
async def running(registry: Registry) -> AsyncIterator[None]:
    task = asyncio.create_task(registry.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.005)


async def reads(redis: Redis) -> int:
    """Adapters read from the server since it started."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_hgetall", {"calls": 0})["calls"])


async def test_names_versions_and_aliases_resolve_without_asking_anyone(replica: Replica) -> None:
    await replica.publish(seed=1)
    await replica.publish(seed=2)
    await replica.catalog.set_alias("a", "stable", 1)
    await replica.registry.sync()
    assert replica.resolve("a") == 2
    assert replica.resolve("a@prod") == 2
    assert replica.resolve("a@stable") == 1
    assert replica.resolve("a@1") == 1
    assert replica.registry.is_synced


async def test_what_is_not_there_has_its_own_error(replica: Replica) -> None:
    await replica.publish("sentiment")
    await replica.registry.sync()
    with pytest.raises(AdapterNotFound, match="did you mean sentiment"):
        replica.resolve("sentimant")
    with pytest.raises(VersionNotFound, match="no version 7"):
        replica.resolve("sentiment@7")
    with pytest.raises(AliasNotFound, match="no alias 'canary'"):
        replica.resolve("sentiment@canary")


async def test_a_name_published_a_moment_ago_is_found(replica: Replica) -> None:
    await replica.registry.sync()
    published = await replica.publish()
    assert await replica.registry.find(AdapterRef("a")) == published


async def test_a_version_published_a_moment_ago_is_found(replica: Replica) -> None:
    await replica.publish()
    await replica.registry.sync()
    candidate = await replica.publish(seed=1, to=None)
    found = await replica.registry.find(AdapterRef("a", 2))
    assert found.digest == candidate.digest
    assert replica.resolve("a") == 1


async def test_an_unknown_name_is_asked_for_once_in_a_while(
    replica: Replica, redis_client: Redis
) -> None:
    await replica.publish("sentiment")
    await replica.registry.sync()
    before = await reads(redis_client)

    async def ask() -> None:
        with pytest.raises(AdapterNotFound, match="did you mean sentiment"):
            await replica.registry.find(AdapterRef("sentimant"))

    await asyncio.gather(*(ask() for _ in range(20)))
    await ask()
    assert await reads(redis_client) - before == 2  # one adapter is two hashes


async def test_a_new_version_is_loaded_and_tested_before_it_answers(replica: Replica) -> None:
    await replica.publish(seed=1)
    await replica.registry.sync()
    replica.store.gate.clear()
    second = await replica.publish(seed=2)
    await replica.registry.sync()
    await until(lambda: second.digest in replica.store.reads)
    assert replica.resolve("a") == 1
    replica.store.gate.set()
    await until(lambda: replica.resolve("a") == 2)
    assert replica.residency.tier(second.digest) is Tier.DEVICE


async def test_after_a_refresh_the_next_request_sees_the_promotion(replica: Replica) -> None:
    await replica.publish(seed=1)
    await replica.registry.sync()
    second = await replica.publish(seed=2)
    await replica.registry.refresh("a")
    assert replica.resolve("a") == 2
    assert replica.residency.tier(second.digest) is Tier.DEVICE


async def test_a_version_that_fails_its_test_does_not_replace_the_old_one(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    await replica.publish(seed=1)
    await replica.registry.sync()
    broken = await replica.publish(seed=2)
    replica.break_artifact(broken)
    await replica.registry.refresh("a")
    assert replica.resolve("a") == 1
    assert replica.resolve("a@2") == 2  # by number it can be asked for, and will say what is wrong
    [held] = replica.registry.stats().held
    assert (held.name, held.alias, held.serving, held.wanted) == ("a", "prod", 1, 2)
    assert "cannot be used" in held.reason
    assert "a@prod stays at version 1" in caplog.text


async def test_a_held_alias_is_released_by_a_version_that_works(replica: Replica) -> None:
    await replica.publish(seed=1)
    await replica.registry.sync()
    replica.break_artifact(await replica.publish(seed=2))
    await replica.registry.refresh("a")
    await replica.publish(seed=3)
    await replica.registry.refresh("a")
    assert replica.resolve("a") == 3
    assert replica.registry.stats().held == ()


async def test_a_held_alias_is_released_by_a_rollback(replica: Replica) -> None:
    await replica.publish(seed=1)
    await replica.registry.sync()
    replica.break_artifact(await replica.publish(seed=2))
    await replica.registry.refresh("a")
    await replica.catalog.rollback("a")
    await replica.registry.sync()
    assert replica.resolve("a") == 1
    assert replica.registry.stats().held == ()


async def test_a_held_alias_is_tried_again(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    async with replica_of(redis_client, tiny_bert, tmp_path, broken_ttl_s=0.0) as replica:
        await replica.publish(seed=1)
        await replica.registry.sync()
        second = await replica.publish(seed=2)
        manifest = replica.store.path(second.digest) / "manifest.json"
        content = manifest.read_bytes()
        manifest.unlink()
        await replica.registry.refresh("a")
        assert replica.resolve("a") == 1
        manifest.write_bytes(content)
        await replica.registry.sync()
        await until(lambda: replica.resolve("a") == 2)
        assert replica.registry.stats().held == ()


async def test_an_alias_without_any_version_to_serve_is_told_until_it_is_mended(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    async with replica_of(
        redis_client, tiny_bert, tmp_path, interval_s=0.02, broken_ttl_s=0.0
    ) as replica:
        await replica.publish("whole", seed=1)
        broken = await replica.publish(seed=2)
        manifest = replica.store.path(broken.digest) / "manifest.json"
        content = manifest.read_bytes()
        replica.break_artifact(broken)
        async with running(replica.registry):
            await until(lambda: replica.registry.stats().unserved != ())
            [unserved] = replica.registry.stats().unserved
            assert (unserved.name, unserved.alias, unserved.version) == ("a", "prod", 1)
            assert "cannot be used" in unserved.reason
            await until(lambda: replica.value("skhost_registry_unserved_aliases") == 1)
            assert replica.registry.stats().held == ()
            manifest.write_bytes(content)
            await until(lambda: replica.registry.stats().unserved == ())
            assert replica.residency.tier(broken.digest) is Tier.DEVICE
            await until(lambda: replica.value("skhost_registry_unserved_aliases") == 0)


async def test_a_broken_version_that_is_retired_is_not_told_any_more(replica: Replica) -> None:
    broken = await replica.publish(seed=1)
    replica.break_artifact(broken)
    await replica.registry.sync()
    with pytest.raises(AdapterUnusable):
        await replica.residency.prefetch(broken)
    assert len(replica.registry.stats().unserved) == 1
    await replica.catalog.retire("a")
    await replica.registry.sync()
    assert replica.registry.stats().unserved == ()
    assert replica.residency.stats().broken == 0


async def test_a_slow_load_does_not_undo_a_later_rollback(replica: Replica) -> None:
    await replica.publish(seed=1)
    await replica.registry.sync()
    replica.store.gate.clear()
    second = await replica.publish(seed=2)
    refreshing = asyncio.create_task(replica.registry.refresh("a"))
    await until(lambda: second.digest in replica.store.reads)
    record = await replica.catalog.rollback("a")
    await replica.registry.sync()
    replica.store.gate.set()
    await refreshing
    assert replica.resolve("a") == 1
    assert replica.registry.live["a"].revision == record.revision


async def test_a_slow_load_does_not_bring_a_retired_adapter_back(replica: Replica) -> None:
    await replica.publish(seed=1)
    await replica.registry.sync()
    replica.store.gate.clear()
    second = await replica.publish(seed=2)
    refreshing = asyncio.create_task(replica.registry.refresh("a"))
    await until(lambda: second.digest in replica.store.reads)
    await replica.catalog.retire("a")
    await replica.registry.sync()
    replica.store.gate.set()
    await refreshing
    with pytest.raises(AdapterNotFound):
        replica.resolve("a")


async def test_what_is_retired_leaves_memory(replica: Replica) -> None:
    first = await replica.publish(seed=1)
    await replica.registry.sync()
    await replica.residency.prefetch(first)
    await replica.publish(seed=2)
    await replica.registry.refresh("a")
    assert replica.residency.tier(first.digest) is Tier.DEVICE
    await replica.catalog.retire("a", 1)
    await replica.registry.refresh("a")
    assert replica.residency.tier(first.digest) is Tier.STORE
    with pytest.raises(VersionNotFound, match="was retired"):
        replica.resolve("a@1")


async def test_what_another_name_still_uses_stays_in_memory(replica: Replica) -> None:
    first = await replica.publish("a", seed=1)
    await replica.publish("b", seed=1)  # the same content
    await replica.registry.sync()
    await replica.residency.prefetch(first)
    await replica.catalog.retire("a")
    await replica.registry.sync()
    assert replica.residency.tier(first.digest) is Tier.DEVICE
    await replica.catalog.retire("b")
    await replica.registry.refresh("b")
    assert replica.residency.tier(first.digest) is Tier.STORE


async def test_it_follows_notices(replica: Replica, redis_client: Redis) -> None:
    async with running(replica.registry):
        channel = Keys().notices()
        async with asyncio.timeout(20):
            while (await redis_client.pubsub_numsub(channel))[0][1] == 0:
                await asyncio.sleep(0.005)
        await until(lambda: replica.registry.is_synced)
        await replica.publish(seed=1)  # the next regular look would be in a minute
        await until(lambda: "a" in replica.registry.live)
        await replica.publish(seed=2)
        await until(lambda: replica.resolve("a") == 2)


async def test_it_brings_what_answers_into_memory(replica: Replica) -> None:
    first = await replica.publish(seed=1)
    candidate = await replica.publish(seed=2, to=None)
    async with running(replica.registry):
        await until(lambda: replica.residency.tier(first.digest) is Tier.DEVICE)
    assert replica.residency.tier(candidate.digest) is Tier.STORE


async def test_its_state_is_measured(replica: Replica) -> None:
    await replica.publish(seed=1)
    async with running(replica.registry):
        await until(lambda: replica.value("skhost_registry_adapters") == 1)
    assert replica.value("skhost_registry_degraded") == 0
    assert replica.value("skhost_registry_held_aliases") == 0


async def test_another_registry_s_content_replaces_everything(
    replica: Replica, redis_client: Redis
) -> None:
    await replica.publish("a")
    await replica.publish("b")
    await replica.registry.sync()
    await redis_client.flushall()
    await replica.publish("c")
    await replica.registry.sync()
    assert set(replica.registry.live) == {"c"}


async def test_what_was_found_before_the_first_sync_and_is_gone_by_then_is_forgotten(
    replica: Replica,
) -> None:
    await replica.publish("a")
    await replica.publish("b")
    await replica.registry.find(AdapterRef("a"))
    await replica.catalog.retire("a")
    await replica.registry.sync()
    assert set(replica.registry.live) == {"b"}


async def test_without_the_catalogue_it_answers_and_catches_up_later(
    tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    folder = tmp_path / "valkey"
    with EmbeddedValkey(folder) as server:
        client = connect(server.url)
        async with replica_of(client, tiny_bert, tmp_path, interval_s=0.05) as replica:
            await replica.publish(seed=1)
            async with running(replica.registry):
                await until(lambda: "a" in replica.registry.live)
                await asyncio.to_thread(server.stop)
                await until(lambda: replica.registry.is_degraded)
                assert replica.resolve("a") == 1
                assert (await replica.registry.find(AdapterRef("a", 1))).version == 1
                with pytest.raises(RegistryUnavailable, match="b is not known here"):
                    await replica.registry.find(AdapterRef("b"))
                assert replica.registry.stats().is_degraded
                await until(lambda: replica.value("skhost_registry_degraded") == 1)
                await asyncio.to_thread(server.start)
                await until(lambda: not replica.registry.is_degraded)
                await replica.publish(seed=2)
                await until(lambda: replica.resolve("a") == 2)
        await client.aclose()


async def test_a_pinned_adapter_is_loaded_and_stays_whichever_version_it_is(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    sizes = FolderStore(tmp_path).add(tiny_bert, seed=9).nbytes
    async with replica_of(
        redis_client, tiny_bert, tmp_path, interval_s=0.02, device_bytes=2 * sizes
    ) as replica:
        first = await replica.publish("kept", seed=1)
        others = [await replica.publish(name, seed=n) for n, name in enumerate("bcd", 2)]
        await replica.catalog.pin("kept", is_pinned=True)
        residency = replica.residency
        async with running(replica.registry):
            await until(lambda: residency.tier(first.digest) is Tier.DEVICE)
            for record in others:
                await residency.prefetch(record)
            assert residency.tier(first.digest) is Tier.DEVICE
            second = await replica.publish("kept", seed=7)
            await until(lambda: residency.keeps(second.digest))
            await until(lambda: residency.tier(second.digest) is Tier.DEVICE)
            assert not residency.keeps(first.digest)
            await replica.catalog.retire("kept")
            await until(lambda: residency.stats().kept_adapters == 0)

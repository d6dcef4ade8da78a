import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bases import tiny_bert_base
from making import make_adapter
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from serving_parts import FolderStore

from skhost.budgets import Budgets
from skhost.connection import connect
from skhost.errors import AdapterUnusable, BaseIncompatible, Overloaded, StoreUnavailable
from skhost.keys import Keys
from skhost.metrics import Metrics
from skhost.reference import reference_adapter
from skhost.residency import Residency, Tier
from skhost.runner import Runner
from skhost.self_tests import SelfTests
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import BaseIdentity

pytestmark = pytest.mark.anyio

ROOMY = 1 << 30
Open = Callable[..., Residency]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


@pytest.fixture
async def runner(tiny_bert: FrozenBase) -> AsyncIterator[Runner]:
    runner = Runner(Classifier(tiny_bert), threads=1)
    yield runner
    await runner.close()


@pytest.fixture
async def open_residency(
    tiny_bert: FrozenBase, runner: Runner, store: FolderStore
) -> AsyncIterator[Open]:
    """A function that makes a residency; they are closed after the test."""
    opened: list[Residency] = []
    classifier = Classifier(tiny_bert)
    reference = reference_adapter(classifier)

    def open_one(redis: Redis | None = None, **budgets: Any) -> Residency:
        tests = SelfTests(classifier, runner, redis, Keys())
        bounds = Budgets(**{"device_bytes": ROOMY, **budgets})
        metrics = Metrics(CollectorRegistry())
        opened.append(Residency(store, tiny_bert, reference, tests, bounds, metrics))
        return opened[-1]

    yield open_one
    for each in opened:
        await each.close()


@pytest.fixture
def forwards(tiny_bert: FrozenBase) -> Iterator[list[int]]:
    """Grows by one with each forward of the base."""
    seen: list[int] = []
    hook = tiny_bert.model.register_forward_hook(lambda *_: seen.append(1))
    yield seen
    hook.remove()


def value(residency: Residency, name: str, **labels: str) -> float:
    return residency._metrics.registry.get_sample_value(name, labels) or 0.0


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


async def test_a_pinned_adapter_is_the_saved_one(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert, seed=3)
    residency = open_residency()
    async with residency.pin(record) as adapter:
        expected = make_adapter(tiny_bert, seed=3)
        torch.testing.assert_close(adapter.head.weight, expected.head.weight)
        torch.testing.assert_close(adapter.state.tensor, expected.state.tensor)
        assert residency.tier(record.digest) is Tier.DEVICE
        assert [r.pins for r in residency.residents()] == [1]
    assert [r.pins for r in residency.residents()] == [0]
    assert residency.residents()[0].nbytes == record.nbytes


async def test_many_at_once_cause_one_load(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert)
    residency = open_residency()
    await asyncio.gather(*(residency.prefetch(record) for _ in range(20)))
    await residency.prefetch(record)
    assert store.reads == [record.digest]
    assert value(residency, "skhost_loads_total", tier="store", result="ok") == 1


async def test_a_slow_load_holds_up_nobody_else(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    quick, slow = store.add(tiny_bert, seed=1), store.add(tiny_bert, seed=2)
    residency = open_residency()
    await residency.prefetch(quick)
    store.gate.clear()
    loading = asyncio.create_task(residency.prefetch(slow))
    await until(lambda: slow.digest in store.reads)
    async with asyncio.timeout(5), residency.pin(quick):
        assert not loading.done()
    store.gate.set()
    await loading


async def test_loads_are_bounded(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    records = [store.add(tiny_bert, seed=seed) for seed in range(4)]
    residency = open_residency(max_loads=2)
    store.gate.clear()
    loading = [asyncio.create_task(residency.prefetch(record)) for record in records]
    await until(lambda: len(store.reads) == 2)
    assert residency.stats().loading == 4
    store.gate.set()
    await asyncio.gather(*loading)
    assert len(store.reads) == 4
    assert residency.stats().loading == 0


async def test_whoever_leaves_does_not_cancel_the_load_for_others(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert)
    residency = open_residency()
    store.gate.clear()
    leaver = asyncio.create_task(residency.prefetch(record))
    stayer = asyncio.create_task(residency.prefetch(record))
    await until(lambda: bool(store.reads))
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    store.gate.set()
    await stayer
    assert residency.tier(record.digest) is Tier.DEVICE


async def test_what_an_operator_pinned_stays_while_others_come_and_go(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    kept, *others = (store.add(tiny_bert, seed=seed) for seed in range(4))
    residency = open_residency(device_bytes=2 * kept.nbytes)
    residency.keep("acme", [kept])
    for record in (kept, *others):
        await residency.prefetch(record)
    assert residency.tier(kept.digest) is Tier.DEVICE
    assert residency.tier(others[-1].digest) is Tier.DEVICE
    assert [r.is_kept for r in residency.residents()] == [True, False]
    stats = residency.stats()
    assert (stats.kept_adapters, stats.kept_bytes) == (1, kept.nbytes)
    assert value(residency, "skhost_pinned_adapters") == 1
    residency.keep("acme", [])
    for record in others:
        await residency.prefetch(record)
    assert residency.tier(kept.digest) is Tier.STORE


async def test_pins_leave_room_for_others(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    first, second = store.add(tiny_bert, seed=1), store.add(tiny_bert, seed=2)
    elsewhere = replace(first, digest="sha256:x", base=BaseIdentity("other", "sha256:y"))
    residency = open_residency(device_bytes=2 * first.nbytes)
    residency.keep("acme", [elsewhere, first, second])
    assert residency.keeps(first.digest)
    assert not residency.keeps(second.digest)
    assert not residency.keeps(elsewhere.digest)
    residency.unload(first.digest)  # retired: a pin does not hold that up
    assert residency.tier(first.digest) is Tier.STORE


async def test_what_one_owner_pins_leaves_less_for_the_others(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    first, second = store.add(tiny_bert, seed=1), store.add(tiny_bert, seed=2)
    residency = open_residency(device_bytes=2 * first.nbytes)
    residency.keep("acme", [first])
    residency.keep("other", [second])
    assert residency.keeps(first.digest)
    assert not residency.keeps(second.digest)
    residency.keep("acme", [])
    residency.keep("other", [second])
    assert residency.keeps(second.digest)


async def test_the_least_recently_used_is_evicted_and_really_freed(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    records = [store.add(tiny_bert, seed=seed) for seed in range(3)]
    residency = open_residency(device_bytes=2 * records[0].nbytes)
    async with residency.pin(records[0]) as adapter:
        first = weakref.ref(adapter.state.tensor)
        del adapter
    await residency.prefetch(records[1])
    gc.collect()
    assert first() is not None
    await residency.prefetch(records[2])
    gc.collect()
    assert first() is None
    assert residency.tier(records[0].digest) is Tier.STORE
    assert residency.tier(records[1].digest) is Tier.DEVICE
    assert value(residency, "skhost_evictions_total", tier="device") == 1
    assert value(residency, "skhost_resident_adapters", tier="device") == 2
    assert value(residency, "skhost_resident_bytes", tier="device") == 2 * records[0].nbytes


async def test_the_pinned_stay_and_the_next_is_told_to_come_back(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    one, other = store.add(tiny_bert, seed=1), store.add(tiny_bert, seed=2)
    residency = open_residency(device_bytes=one.nbytes)
    async with residency.pin(one):
        with pytest.raises(Overloaded) as refused:
            await residency.prefetch(other)
        assert refused.value.retry_after_s is not None
        assert residency.tier(one.digest) is Tier.DEVICE
    await residency.prefetch(other)
    assert residency.tier(one.digest) is Tier.STORE


async def test_an_adapter_larger_than_all_memory_is_unusable(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert)
    residency = open_residency(device_bytes=record.nbytes - 1)
    with pytest.raises(AdapterUnusable, match=f"takes {record.nbytes} bytes"):
        await residency.prefetch(record)


async def test_what_leaves_the_device_waits_in_host_memory(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    records = [store.add(tiny_bert, seed=seed) for seed in range(3)]
    nbytes = records[0].nbytes
    residency = open_residency(device_bytes=nbytes, host_bytes=nbytes)
    await residency.prefetch(records[0])
    await residency.prefetch(records[1])
    assert residency.tier(records[0].digest) is Tier.HOST
    await residency.prefetch(records[0])  # changes places with the other
    assert [residency.tier(r.digest) for r in records[:2]] == [Tier.DEVICE, Tier.HOST]
    assert len(store.reads) == 2
    assert value(residency, "skhost_loads_total", tier="host", result="ok") == 1
    await residency.prefetch(records[2])
    assert residency.tier(records[1].digest) is Tier.STORE
    assert value(residency, "skhost_evictions_total", tier="host") == 1
    stats = residency.stats()
    assert (stats.device_adapters, stats.host_adapters) == (1, 1)
    assert stats.host_bytes == stats.device_bytes == nbytes


async def test_another_base_s_adapter_is_refused_with_both_names(
    open_residency: Open, store: FolderStore, tiny_gpt2: FrozenBase
) -> None:
    record = store.add(tiny_gpt2)
    residency = open_residency()
    with pytest.raises(BaseIncompatible, match=r"tiny-gpt2 .* holds tiny-bert"):
        await residency.prefetch(record)
    assert store.reads == []


async def test_a_record_that_lies_about_the_base_is_refused(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    other = tiny_bert_base(seed=7)
    record = replace(store.add(other), base=tiny_bert.identity)
    with pytest.raises(BaseIncompatible, match="tiny-bert"):
        await open_residency().prefetch(record)


async def test_a_broken_artifact_is_remembered_for_a_while(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert)
    model = store.path(record.digest) / "adapter_model.safetensors"
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    residency = open_residency()
    for _ in range(3):
        with pytest.raises(AdapterUnusable, match="version 1 cannot be used"):
            await residency.prefetch(record)
    assert len(store.reads) == 1
    assert residency.stats().broken == 1
    assert value(residency, "skhost_loads_total", tier="store", result="failed") == 1
    data[-1] ^= 1
    model.write_bytes(data)
    residency.unload(record.digest)  # forgets the failure
    await residency.prefetch(record)


async def test_a_failure_expires(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert)
    (store.path(record.digest) / "manifest.json").unlink()
    residency = open_residency(broken_ttl_s=0.0)
    for _ in range(2):
        with pytest.raises(AdapterUnusable):
            await residency.prefetch(record)
    assert len(store.reads) == 2


async def test_a_store_that_does_not_answer_is_tried_again(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert)
    residency = open_residency()
    store.error = PermissionError("not now")
    with pytest.raises(StoreUnavailable, match="not now"):
        await residency.prefetch(record)
    store.error = None
    await residency.prefetch(record)


async def test_a_failed_self_test_keeps_the_adapter_out(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase, runner: Runner
) -> None:
    def change_the_base() -> None:
        tiny_bert.embedding.weight.data.neg_()

    record = store.add(tiny_bert)
    residency = open_residency()
    await runner.call(change_the_base)  # the same digest, other answers: what self-tests are for
    try:
        with pytest.raises(AdapterUnusable) as refused:
            await residency.prefetch(record)
    finally:
        await runner.call(change_the_base)
    assert refused.value.details is not None
    assert refused.value.details["reason"] == "SelfTestFailed"
    assert residency.tier(record.digest) is Tier.STORE


async def test_a_pass_is_shared_through_redis(
    open_residency: Open,
    store: FolderStore,
    tiny_bert: FrozenBase,
    redis_client: Redis,
    forwards: list[int],
) -> None:
    record = store.add(tiny_bert)
    forwards.clear()
    await open_residency(redis_client).prefetch(record)
    key = Keys().self_test(record.digest, tiny_bert.identity.digest, "cpu-float32")
    assert await redis_client.get(key) == "1"
    assert await redis_client.ttl(key) > 0
    assert len(forwards) == 1
    await open_residency(redis_client).prefetch(record)  # another process, as it were
    assert len(forwards) == 1
    await open_residency(None).prefetch(record)
    assert len(forwards) == 2


async def test_a_reload_in_the_same_process_is_not_tested_again(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase, forwards: list[int]
) -> None:
    record = store.add(tiny_bert)
    residency = open_residency()
    await residency.prefetch(record)
    residency.unload(record.digest)
    forwards.clear()
    await residency.prefetch(record)
    assert store.reads == [record.digest, record.digest]
    assert forwards == []


async def test_redis_out_of_reach_does_not_stop_loading(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    record = store.add(tiny_bert)
    nobody = connect(f"unix://{tmp_path}/no.sock")
    await open_residency(nobody).prefetch(record)
    await nobody.aclose()


async def test_unloading_frees_at_once_what_nobody_uses(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert)
    residency = open_residency()
    async with residency.pin(record) as adapter:
        tensor = weakref.ref(adapter.state.tensor)
        del adapter
    assert residency.unload(record.digest) == record.nbytes
    gc.collect()
    assert tensor() is None
    assert residency.stats().device_bytes == 0
    assert residency.unload(record.digest) == 0


async def test_unloading_waits_for_who_uses_it(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert)
    residency = open_residency()
    async with residency.pin(record):
        assert residency.unload(record.digest) == 0
        assert residency.tier(record.digest) is Tier.DEVICE
    assert residency.tier(record.digest) is Tier.STORE
    assert residency.stats().device_bytes == 0


async def test_who_asks_again_keeps_an_unloaded_adapter(
    open_residency: Open, store: FolderStore, tiny_bert: FrozenBase
) -> None:
    record = store.add(tiny_bert)
    residency = open_residency()
    async with residency.pin(record):
        residency.unload(record.digest)
        async with residency.pin(record):
            pass
    assert residency.tier(record.digest) is Tier.DEVICE


async def test_capacity_is_the_budget_over_the_reference(
    open_residency: Open, tiny_bert: FrozenBase
) -> None:
    nbytes = reference_adapter(Classifier(tiny_bert)).nbytes
    residency = open_residency(device_bytes=7 * nbytes + nbytes // 2)
    assert residency.capacity() == residency.stats().capacity == 7
    assert residency.stats().reference_bytes == nbytes
    assert value(residency, "skhost_capacity_adapters") == 7
    assert value(residency, "skhost_budget_bytes", tier="device") == 7 * nbytes + nbytes // 2

"""The serving parts, put together and taken down in the right order."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from redis.asyncio import Redis

from skhost import processors
from skhost.background import end
from skhost.base_golden import BaseGolden
from skhost.batcher import Batcher
from skhost.budgets import Budgets, default_device_bytes
from skhost.canary import Canary
from skhost.catalog import Catalog
from skhost.engine import Engine
from skhost.errors import RegistryUnavailable
from skhost.keys import Keys
from skhost.limits import Limits
from skhost.metrics import Metrics
from skhost.readiness import Readiness
from skhost.reference import reference_adapter
from skhost.registries import Registries
from skhost.registry import Registry
from skhost.residency import Fetches, Residency
from skhost.runner import Runner
from skhost.self_tests import SelfTests
from skhost.settings import Settings
from sktuning.base import FrozenBase
from sktuning.classify import Classifier


@asynccontextmanager
async def serving(
    settings: Settings, base: FrozenBase, store: Fetches, redis: Redis, metrics: Metrics
) -> AsyncIterator[Engine]:
    """An engine that answers from entry to exit; on exit what is unanswered fails.

    A registry that does not answer at the start is not an error: the engine is not ready then, and
    becomes so by itself.
    """
    classifier, keys = Classifier(base), Keys(settings.tenant)
    async with AsyncExitStack() as stack:
        runner = Runner(classifier, threads=settings.threads or default_threads())
        stack.push_async_callback(runner.close)
        probe = await runner.call(reference_adapter, classifier)
        golden = await runner.call(BaseGolden, classifier, probe)
        if base.device.type == "cpu":
            await runner.adapt(probe)
        tests = SelfTests(classifier, runner, redis, keys)
        residency = Residency(store, base, probe, tests, budgets_of(settings, base), metrics)
        stack.push_async_callback(residency.close)

        def registry_of(tenant: str) -> Registry:
            catalog = Catalog(redis, Keys(tenant))
            return Registry(catalog, residency, metrics, interval_s=settings.reconcile_interval_s)

        registries = Registries(registry_of, settings.tenant)
        batcher = await stack.enter_async_context(Batcher(limits_of(settings), runner, metrics))
        readiness = Readiness(registries.home, batcher, runner, golden, settings.stuck_after_s)
        engine = Engine(classifier, registries, residency, batcher, readiness, runner, metrics)
        stack.push_async_callback(engine.close)
        with suppress(RegistryUnavailable):
            await registries.home.sync()
        await stack.enter_async_context(registries.running())
        if settings.canary_interval_s:
            canary = Canary(
                engine,
                store,
                metrics,
                catalog_of=lambda tenant: Catalog(redis, Keys(tenant)),
                interval_s=settings.canary_interval_s,
            )
            task = asyncio.create_task(canary.run(), name="skhost-canary")
            stack.push_async_callback(end, [task])
        yield engine


def default_threads() -> int:
    """Threads of a forward: the container's processors, or fewer where OMP_NUM_THREADS says so."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    available = processors.available()
    return min(int(given), available) if given.isdecimal() else available


def limits_of(settings: Settings) -> Limits:
    """The batcher's bounds."""
    return Limits(
        max_batch_tokens=settings.max_batch_tokens,
        max_waiting_items=settings.max_waiting_items,
        max_waiting_tokens=settings.max_waiting_tokens,
        max_waiting_s=settings.max_waiting_s,
    )


def budgets_of(settings: Settings, base: FrozenBase) -> Budgets:
    """What adapters may take of this machine's memory."""
    device_bytes = settings.device_budget_bytes
    if device_bytes is None:
        device_bytes = default_device_bytes(base.device)
    host_bytes = settings.host_budget_bytes if base.device.type != "cpu" else 0
    return Budgets(device_bytes, host_bytes, broken_ttl_s=settings.broken_adapter_ttl_s)

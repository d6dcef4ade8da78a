"""A whole serving engine over a folder of artifacts, and ways to talk to it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from making import make_adapter
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from serving_parts import FolderStore

from skhost.answers import AdapterAnswer, ClassifyOptions
from skhost.catalog import Catalog
from skhost.engine import Engine
from skhost.keys import Keys
from skhost.metrics import Metrics
from skhost.names import parse_ref
from skhost.records import VersionRecord
from skhost.schedule import Schedule
from skhost.serving import serving
from skhost.settings import Settings
from sktuning.base import FrozenBase
from sktuning.config import Task
from sktuning.data import TextInput
from sktuning.decode import DecodeOptions, decode
from sktuning.tokens import EncodedRow


@dataclass
class Server:
    """A whole serving engine, and ways to talk to it."""

    base: FrozenBase
    store: FolderStore
    catalog: Catalog
    engine: Engine
    metrics: Metrics

    async def publish(
        self, name: str, seed: int = 0, task: Task = Task.SINGLE_LABEL, **changes: Any
    ) -> VersionRecord:
        record = self.store.add(self.base, seed=seed, task=task, **changes)
        return await self.catalog.publish(
            name,
            record.digest,
            base=record.base,
            task=record.task,
            labels=record.labels,
            nbytes=record.nbytes,
        )

    async def classify(
        self,
        adapters: str,
        inputs: Sequence[str | TextInput],
        *,
        seconds: float = 20.0,
        **options: Any,
    ) -> list[AdapterAnswer]:
        return await self.engine.classify(
            [parse_ref(name) for name in adapters.split(",")],
            [TextInput(item) if isinstance(item, str) else item for item in inputs],
            ClassifyOptions(**options),
            Schedule(asyncio.get_running_loop().time() + seconds),
        )

    def alone(self, text: str, seed: int, **changes: Any) -> dict[str, Any]:
        """The answer of the library, one text at a time."""
        classifier, item = self.engine.classifier, TextInput(text)
        adapter = make_adapter(self.base, seed=seed, **changes)
        row = classifier.encoder.encode([item], adapter.config)[0]
        assert isinstance(row, EncodedRow)
        return decode(
            adapter.config, row, item, classifier.logits([(row, adapter)])[0], DecodeOptions()
        )

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    @asynccontextmanager
    async def busy_device(self) -> AsyncIterator[None]:
        """Nothing runs on the device inside the block."""
        begun, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            go_on.wait(20)

        held = asyncio.create_task(self.engine.readiness._runner.call(hold))
        await asyncio.to_thread(begun.wait, 20)
        try:
            yield
        finally:
            go_on.set()
            await held


@asynccontextmanager
async def server_of(
    redis: Redis, base: FrozenBase, folder: Path, **settings: Any
) -> AsyncIterator[Server]:
    values: dict[str, Any] = {"data_dir": folder, "threads": 1, "reconcile_interval_s": 60.0}
    values |= {"canary_interval_s": 0, **settings}
    store, metrics = FolderStore(folder), Metrics(CollectorRegistry())
    async with serving(Settings(**values), base, store, redis, metrics) as engine:
        yield Server(base, store, Catalog(redis, Keys()), engine, metrics)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.001)

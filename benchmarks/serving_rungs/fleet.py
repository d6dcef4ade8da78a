"""The adapters of a server, written into its data directory before it starts."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from serving_rungs import population
from skhost.catalog import Catalog
from skhost.connection import connect
from skhost.keys import Keys
from skhost.settings import Settings
from skhost.store import ArtifactStore, Stores
from skhost.valkey import EmbeddedValkey
from sktuning import artifact
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import TextInput
from sktuning.decode import decide
from sktuning.golden import Golden, GoldenRow, dtype_name
from sktuning.tokens import EncodedRow

GOLDEN_TEXT = "a text that every adapter is tested by"
CARD = "Made by a benchmark.\n"


def name_of(number: int) -> str:
    """What an adapter of the fleet is called."""
    return f"adapter-{number:04}"


def make(classifier: Classifier, count: int, data_dir: Path) -> Sequence[Adapter]:
    """`count` adapters as they are served, published in `data_dir` under `name_of`."""
    adapters = population.make(classifier, count)
    settings = Settings(data_dir=data_dir)
    store = Stores(settings.store, data_dir / "cache").of(settings.tenant)
    with EmbeddedValkey(data_dir) as valkey:
        digests = [_stored(store, a, g) for a, g in with_golden(classifier, adapters)]
        asyncio.run(_publish(valkey.url, settings.tenant, adapters, digests))
    return adapters


def _stored(store: ArtifactStore, adapter: Adapter, rows: Golden) -> str:
    """Put an adapter into the store; its digest."""
    with tempfile.TemporaryDirectory() as folder:
        digest = artifact.write(Path(folder) / "artifact", adapter, rows, CARD)
        store.put(Path(folder) / "artifact", digest)
    return digest


def with_golden(
    classifier: Classifier, adapters: Sequence[Adapter]
) -> Sequence[tuple[Adapter, Golden]]:
    """Each with the one row it is tested by; they share forwards, as in serving."""
    item = TextInput(GOLDEN_TEXT)
    (row,) = classifier.encoder.encode([item], adapters[0].config)
    assert isinstance(row, EncodedRow)
    dtype, found = dtype_name(classifier.base.dtype), []
    for start in range(0, len(adapters), 64):
        some = adapters[start : start + 64]
        for adapter, logits in zip(some, classifier.logits([(row, a) for a in some]), strict=True):
            golden = GoldenRow(item, decide(adapter.config, logits), logits)
            found.append((adapter, Golden(dtype, (golden,))))
    return found


async def _publish(
    url: str, tenant: str, adapters: Sequence[Adapter], digests: Sequence[str]
) -> None:
    redis = connect(url)
    try:
        catalog = Catalog(redis, Keys(tenant))
        for number, (adapter, digest) in enumerate(zip(adapters, digests, strict=True)):
            config = adapter.config
            await catalog.publish(
                name_of(number),
                digest,
                base=config.base,
                task=config.task,
                labels=config.labels,
                nbytes=adapter.nbytes,
            )
    finally:
        await redis.aclose()

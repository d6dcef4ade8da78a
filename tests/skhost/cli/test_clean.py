"""`skhost clean`, on the registry and the store of a data directory."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from commands import Skhost
from plain_artifact import write_artifact

from skhost.catalog import Catalog
from skhost.connection import connect
from skhost.embedded import registry_url
from skhost.keys import Keys
from skhost.settings import Settings
from skhost.store import ArtifactStore
from sktuning.config import BaseIdentity

BASE = BaseIdentity("base", "sha256:" + "0" * 64)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """One with two artifacts, both two days old; the first one is a version."""
    monkeypatch.setenv("SKHOST_DATA_DIR", str(tmp_path / "data"))
    settings = Settings(data_dir=tmp_path / "data")
    store = ArtifactStore(settings.store, settings.tenant, tmp_path / "cache")
    first, second = (write_artifact(tmp_path / str(n), n) for n in (1, 2))
    store.put(tmp_path / "1", first)
    store.put(tmp_path / "2", second)
    then = time.time() - 48 * 3600
    for path in (tmp_path / "data" / "store").rglob("*"):
        os.utime(path, (then, then))

    async def publish() -> None:
        async with registry_url(settings) as url, connect(url) as redis:
            await Catalog(redis, Keys(settings.tenant)).publish(
                "a", first, base=BASE, task="single-label", labels=["x", "y"], nbytes=1
            )

    asyncio.run(publish())
    return store


def test_left_overs_are_listed_and_removed_only_when_asked(
    skhost: Skhost, store: ArtifactStore
) -> None:
    named, left = store.digests()
    listed = skhost("clean")
    assert listed.code == 0
    assert left in listed.out
    assert named not in listed.out
    assert "--remove" in listed.err
    assert skhost("clean", "--hours", "72").out == "Nothing is left over.\n"
    (found,) = skhost("clean", "--json").json
    assert (found["tenant"], found["entry"]) == ("default", left)
    assert store.digests() == [named, left]
    removed = skhost("clean", "--remove")
    assert (removed.code, removed.err) == (0, "removed\n")
    assert store.digests() == [named]
    assert skhost("clean").out == "Nothing is left over.\n"


def test_a_grace_of_minutes_is_refused(skhost: Skhost, store: ArtifactStore) -> None:
    assert skhost("clean", "--hours", "0.5", "--remove").code == 2
    assert len(store.digests()) == 2

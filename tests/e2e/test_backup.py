"""Backup and restore as docs/operations.md says: the registry first, then the store."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fleet import ROWS, WORK, start
from live_server import LiveServer, live_server, publish, wait_until
from redis import Redis

from skhost.access.record import Scope
from skhost.access.store import KeyStore
from skhost.client import ApiError, Client
from skhost.connection import connect
from skhost.settings import Settings
from skhost.valkey import EmbeddedValkey

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
TEXTS = ["a good text", "very bad text", "so-so"]


@pytest.mark.timeout(300)
def test_everything_is_there_after_a_restore(
    tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKHOST_BASE", str(tiny_bert_folder))
    (tmp_path / "rows.jsonl").write_text(ROWS)
    old, new, kept = tmp_path / "old", tmp_path / "new", tmp_path / "kept"

    with EmbeddedValkey(old) as valkey, _serving(old, valkey.url) as live:
        for seed in (1, 2, 3):
            publish(live, "mood", seed=seed)
        publish(live, "tone", seed=4)
        key, revoked = _make_keys(valkey.url)
        wait_until(lambda: live.services.keyring.has_keys)
        with Client(live.url, api_key=key) as client:
            client.promote("mood", 2)
            waiting = client.train(tmp_path / "rows.jsonl", "taste", epochs=1)["id"]
            cancelled = client.train(tmp_path / "rows.jsonl", "other", epochs=1)["id"]
            client.cancel(cancelled)
            before = _answers(client)
            catalogue = _catalogue(client)
            _save_registry(valkey.url, kept / "registry.rdb")
            client.delete("mood@1")  # what happens in between spoils nothing
            publish(live, "mood", seed=9, headers={"Authorization": f"Bearer {key}"})
        shutil.copytree(old / "store", kept / "store")
    shutil.rmtree(old)

    shutil.copytree(kept / "store", new / "store")
    _restore_registry(kept / "registry.rdb", new / "valkey")
    with EmbeddedValkey(new) as valkey, _serving(new, valkey.url) as live:
        wait_until(lambda: live.services.keyring.has_keys)
        for wrong, reason in ((None, "needs an API key"), (revoked, "is revoked")):
            with (
                Client(live.url, api_key=wrong) as nobody,
                pytest.raises(ApiError, match=reason),
            ):
                nobody.adapters()
        residency = live.services.engine.residency
        wait_until(lambda: residency.stats().device_adapters == 2)  # mood@2 and tone
        with Client(live.url, api_key=key) as client:
            assert _answers(client) == before
            assert _catalogue(client) == catalogue
            assert client.job(cancelled)["state"] == "cancelled"
            assert client.job(waiting)["state"] == "queued"
            monkeypatch.setenv("SKHOST_REDIS_URL", valkey.url)
            monkeypatch.setenv("SKHOST_STORE_URL", f"file://{new / 'store'}")
            with start(tmp_path / "worker", *WORK) as worker:
                try:
                    states = [e.data["state"] for e in client.events(waiting) if e.kind == "state"]
                finally:
                    worker.terminate()
            assert (states[0], states[-1]) == ("queued", "succeeded")
            assert client.classify("taste", texts=TEXTS)["version"] == 1


@contextmanager
def _serving(data_dir: Path, redis_url: str) -> Iterator[LiveServer]:
    with live_server(Settings(data_dir=data_dir, redis_url=redis_url, drain_timeout_s=1)) as live:
        yield live


def _make_keys(url: str) -> tuple[str, str]:
    """A key that works, and one that was revoked."""

    async def run() -> tuple[str, str]:
        async with connect(url) as redis:
            store = KeyStore(redis)
            (kept, _), (ended, _) = [await store.create("default", [Scope.ADMIN]) for _ in "ab"]
            await store.revoke(ended.id)
            return kept.text, ended.text

    return asyncio.run(run())


def _answers(client: Client) -> list[Any]:
    """What the promoted versions, and one that is not, answer."""
    asked = [client.classify(ref, texts=TEXTS) for ref in ("mood", "mood@1", "tone")]
    return [(each["version"], each["digest"], each["results"]) for each in asked]


def _catalogue(client: Client) -> list[Any]:
    return [client.adapter(name) for name in ("mood", "tone")]


def _save_registry(url: str, target: Path) -> None:
    """`BGSAVE`, and a copy of its file."""
    target.parent.mkdir()
    with Redis.from_url(url) as redis:
        redis.bgsave()
        wait_until(lambda: not redis.info("persistence")["rdb_bgsave_in_progress"])
        assert redis.info("persistence")["rdb_last_bgsave_status"] == "ok"
        folder, name = redis.config_get("dir")["dir"], redis.config_get("dbfilename")["dbfilename"]
    shutil.copy(Path(folder) / name, target)


def _restore_registry(saved: Path, folder: Path) -> None:
    """The page's own commands."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "appendonlydir" in block]
    commands = [line for line in block.splitlines() if "VALKEY_DIR" in line]
    assert len(commands) == 3
    folder.mkdir(parents=True)
    subprocess.run(
        ["sh", "-euc", "\n".join(commands)],
        cwd=saved.parent,
        env={"PATH": "/usr/bin:/bin", "VALKEY_DIR": str(folder)},
        check=True,
    )

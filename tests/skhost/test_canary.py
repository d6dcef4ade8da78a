"""Adapters that change in memory are found, refused, read anew, and lifted."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import torch
from engines import Server, server_of, until
from live_server import live_server, publish, wait_until
from redis.asyncio import Redis

from skhost.audit import LOGGER
from skhost.canary import Canary
from skhost.catalog import Catalog
from skhost.errors import AdapterQuarantined, AdapterUnusable, NotReady
from skhost.keys import Keys
from skhost.records import VersionRecord
from skhost.settings import Settings
from sktuning.base import FrozenBase

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> AsyncIterator[Server]:
    async with server_of(redis_client, tiny_bert, tmp_path) as made:
        yield made


@pytest.fixture
def canary(server: Server) -> Canary:
    return Canary(
        server.engine,
        server.store,
        server.metrics,
        catalog_of=lambda _: server.catalog,
        interval_s=0.01,
    )


def damage(server: Server, digest: str, factor: float = 3.0) -> None:
    adapter = server.engine.residency.peek(digest)
    assert adapter is not None
    with torch.inference_mode():
        adapter.head.weight.mul_(factor)


def looks(server: Server, result: str) -> float:
    return server.value("skhost_canary_looks_total", result=result)


async def resident(server: Server, name: str = "mood", seed: int = 0) -> VersionRecord:
    record = await server.publish(name, seed=seed)
    await server.classify(name, ["good"])
    return record


async def test_an_adapter_that_answers_as_it_did_stays(server: Server, canary: Canary) -> None:
    record = await resident(server)
    await canary.step(record)
    await canary.step(record)
    assert looks(server, "same") == 2
    assert server.value("skhost_quarantined_adapters") == 0
    await server.classify("mood", ["good"])


@pytest.mark.parametrize("looked_before", [False, True])
async def test_one_that_changed_in_memory_is_read_anew_and_answers_as_before(
    server: Server, canary: Canary, caplog: pytest.LogCaptureFixture, looked_before: bool
) -> None:
    record = await resident(server)
    (before,) = await server.classify("mood", ["good"])
    if looked_before:
        await canary.step(record)
    damage(server, record.digest, 1.001 if looked_before else 3.0)
    with caplog.at_level(logging.INFO):
        await canary.step(record)
    assert (looks(server, "changed"), looks(server, "healed")) == (1, 1)
    (after,) = await server.classify("mood", ["good"])
    assert after.results == before.results
    actions = [r.__dict__["action"] for r in caplog.records if r.name == LOGGER]
    assert actions == ["adapter.quarantine", "adapter.heal"]
    assert (await server.catalog.get("mood")).versions[0].quarantine is None


async def test_one_that_cannot_be_read_anew_is_refused_until_it_is_lifted(
    server: Server, canary: Canary
) -> None:
    record = await resident(server)
    await resident(server, "tone", seed=4)
    await canary.step(record)
    damage(server, record.digest)
    model = server.store.path(record.digest) / "adapter_model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    await canary.step(record)
    with pytest.raises(AdapterQuarantined, match="does not answer as it did"):
        await server.classify("mood", ["good"])
    await server.classify("tone", ["good"])
    assert server.value("skhost_quarantined_adapters") == 1
    (version,) = (await server.catalog.get("mood")).versions
    assert "does not answer as it did" in (version.quarantine or "")

    await server.catalog.quarantine("mood", 1, None)  # on another server
    await server.engine.registries.home.refresh("mood")
    await canary.step(None)
    with pytest.raises(AdapterUnusable):  # it is lifted, and its artifact still broken
        await server.classify("mood", ["good"])
    model.write_bytes(whole)
    server.engine.residency.unload(record.digest)
    await server.classify("mood", ["good"])
    assert server.value("skhost_quarantined_adapters") == 0


async def test_a_damaged_base_puts_no_adapter_into_quarantine(
    server: Server, canary: Canary
) -> None:
    record = await resident(server)
    weight = server.base.model.get_parameter("encoder.layer.0.output.dense.weight")
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.mul_(1.5)
        with pytest.raises(NotReady):
            await canary.step(record)
    finally:
        with torch.no_grad():
            weight.copy_(before)
    assert not server.engine.residency.is_quarantined(record.digest)


async def test_an_answer_that_was_under_way_is_not_given(server: Server) -> None:
    record = await resident(server)
    async with server.busy_device():
        asked = asyncio.create_task(server.classify("mood", ["good"]))
        await until(lambda: server.engine.batcher._running != {})
        server.engine.residency.quarantine(record.digest, "seen a moment ago")
    with pytest.raises(AdapterQuarantined, match="seen a moment ago"):
        await asked


async def test_without_the_catalogue_it_is_refused_all_the_same_and_told_later(
    server: Server,
) -> None:
    record = await resident(server)
    gone = Redis.from_url("unix:///nowhere.sock", decode_responses=True)
    catalogs = [Catalog(gone, Keys()), server.catalog]
    canary = Canary(
        server.engine,
        server.store,
        server.metrics,
        catalog_of=lambda _: catalogs[0],
        interval_s=0.01,
    )
    await canary.step(record)
    damage(server, record.digest)
    (server.store.path(record.digest) / "adapter_model.safetensors").unlink()
    await canary.step(record)
    assert server.engine.residency.is_quarantined(record.digest)
    assert (await server.catalog.get("mood")).versions[0].quarantine is None
    del catalogs[0]
    await canary.step(None)
    assert (await server.catalog.get("mood")).versions[0].quarantine is not None
    assert server.engine.residency.is_quarantined(record.digest)
    await gone.aclose()


async def test_a_look_at_what_nobody_uses_does_not_keep_it(server: Server, canary: Canary) -> None:
    old = await resident(server)
    new = await resident(server, "tone", seed=4)
    await canary.step(old)
    assert [r.digest for r in server.engine.residency.residents()] == [old.digest, new.digest]


def test_a_running_server_looks_by_itself_and_an_operator_lifts(
    tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skhost.canary.MAX_PAUSE_S", 0.1)  # however busy this machine is
    settings = Settings(data_dir=tmp_path, base=str(tiny_bert_folder), canary_interval_s=0.01)
    with live_server(settings) as live, httpx.Client(base_url=live.url, timeout=60) as http:
        version = publish(live, "mood")

        def ask() -> httpx.Response:
            return http.post("/classify?adapter=mood", json={"text": "good"})

        def found() -> str | None:
            said: str | None = http.get("/adapters/mood").json()["versions"][0]["quarantine"]
            return said

        before = ask().json()
        adapter = live.services.engine.residency.peek(version["digest"])
        assert adapter is not None
        wait_until(lambda: 'looks_total{result="same"}' in http.get("/metrics").text, 60)
        folder = next((tmp_path / "store").glob("*/adapters/sha256/*"))
        aside = folder.rename(tmp_path / "aside")
        with torch.inference_mode():
            adapter.head.weight.mul_(3)
        wait_until(lambda: found() is not None, 60)
        assert ask().json()["error"]["code"] == "adapter_quarantined"
        assert int(ask().headers["Retry-After"]) >= 1
        assert "skhost_quarantined_adapters 1.0" in http.get("/metrics").text
        aside.rename(folder)
        assert http.delete("/adapters/mood/versions/1/quarantine").status_code == 200
        assert found() is None
        assert ask().json()["results"] == before["results"]

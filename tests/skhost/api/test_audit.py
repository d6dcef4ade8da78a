"""Who changed what, and what a browser may not make a server without keys do."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_server import LiveServer, error_of, live_server, publish, wait_until
from redis.asyncio import Redis

from skhost import audit
from skhost.access.entrance import KeysNeeded, check_has_keys
from skhost.access.keyring import Keyring
from skhost.access.record import Scope
from skhost.access.store import KeyStore
from skhost.app import create_app
from skhost.connection import connect
from skhost.errors import Unauthorized
from skhost.keys import CommonKeys
from skhost.server import CannotStart, bind, serve
from skhost.settings import Settings
from skhost.valkey import EmbeddedValkey

ROWS = "".join(f'{{"text": "t {i}", "label": "l{i % 2}"}}\n' for i in range(20))


@pytest.fixture(scope="module")
def opened(
    tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server without keys."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("open"), base=str(tiny_bert_folder))
    with live_server(settings) as live:
        publish(live, "mood", seed=1)
        yield live


class Lines(logging.Handler):
    """What the audit log got, however logging was configured before."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the fields."""
        self.found.append({**vars(record), "text": record.getMessage()})


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """The audit lines of a test."""
    handler, level = Lines(), audit.log.level
    audit.log.addHandler(handler)
    audit.log.setLevel(logging.INFO)
    yield handler.found
    audit.log.removeHandler(handler)
    audit.log.setLevel(level)


def test_every_change_leaves_a_line(opened: LiveServer, lines: list[dict[str, Any]]) -> None:
    publish(opened, "other", seed=2)
    with httpx.Client(base_url=opened.url, timeout=60) as http:
        http.post("/adapters/mood/promote", json={"version": 1}, headers={"X-Request-ID": "r1"})
        http.post("/adapters/mood/rollback")
        http.put("/adapters/mood/aliases/a", json={"version": 1})
        http.delete("/adapters/mood/aliases/a")
        http.delete("/adapters/mood@7")
        http.delete("/adapters/other")
        http.post("/adapters", json={"name": "topic", "labels": []})
        job = http.post(
            "/train", data={"name": "n"}, files={"file": ("a.jsonl", ROWS.encode())}
        ).json()["id"]
        http.post(f"/train/{job}/cancel")
        http.post(f"/train/{job}/resume")
        http.post("/classify?adapter=mood", json={"text": "a"})
        http.get("/adapters")
    wait_until(lambda: len(lines) == 11)
    found = [(line["action"], line["on"], line["outcome"]) for line in lines]
    assert found == [
        ("adapter.import", "other", "done"),
        ("adapter.promote", "mood", "done"),
        ("adapter.rollback", "mood", "refused"),
        ("alias.set", "mood/a", "done"),
        ("alias.delete", "mood/a", "done"),
        ("adapter.delete", "mood@7", "refused"),
        ("adapter.delete", "other", "done"),
        ("adapter.create", "", "refused"),
        ("job.create", "n", "done"),
        ("job.cancel", job, "done"),
        ("job.resume", job, "done"),
    ]
    promoted, trained = lines[1], lines[8]
    assert (promoted["request_id"], promoted["by"], promoted["status"]) == ("r1", "anyone", 200)
    assert (trained["job"], trained["tenant"]) == (job, "default")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8080"},
        {"Host": "["},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ],
    ids=str,
)
def test_another_sites_page_is_no_caller(opened: LiveServer, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=opened.url, timeout=60) as http:
        for method, path in (("POST", "/classify?adapter=mood"), ("GET", "/adapters")):
            answer = http.request(method, path, headers=headers)
            error_of(answer, 403, "forbidden", "without API keys")
        refused = http.delete("/adapters/mood", headers=headers)
        error_of(refused, 403, "forbidden")
        assert http.get("/adapters/mood").status_code == 200
        assert http.get("/livez", headers=headers).status_code == 200


def test_a_page_of_its_own_and_a_link_may_call(opened: LiveServer) -> None:
    port = opened.url.rsplit(":", 1)[1]
    with httpx.Client(base_url=opened.url, timeout=60) as http:
        for headers in (
            {"Origin": opened.url, "Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            {"Sec-Fetch-Site": "none"},
            {"Host": f"localhost:{port}"},
            {"Host": f"[::1]:{port}"},
        ):
            assert http.get("/adapters", headers=headers).status_code == 200, headers


def test_the_first_key_shuts_a_running_server_and_is_told(
    tiny_bert_folder: Path, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    with EmbeddedValkey(tmp_path / "registry") as valkey:

        async def make_and_revoke() -> tuple[str, str]:
            async with connect(valkey.url) as redis:
                store = KeyStore(redis)
                token, _ = await store.create("default", [Scope.ADMIN], by="me@here")
                while not any(line["action"] == "key.create" for line in lines):
                    await asyncio.sleep(0.02)
                await store.revoke(token.id)
                return token.id, token.text

        settings = Settings(data_dir=tmp_path, redis_url=valkey.url, base=str(tiny_bert_folder))
        with live_server(settings) as live, httpx.Client(base_url=live.url, timeout=60) as http:
            assert http.get("/adapters").status_code == 200
            key_id, key = asyncio.run(make_and_revoke())
            wait_until(lambda: len(lines) == 2)
            error_of(http.get("/adapters"), 401, "unauthorized")  # the last key's end opens nothing
    found = [(line["action"], line["on"], line["by"]) for line in lines]
    assert found == [("key.create", key_id, "me@here"), ("key.revoke", key_id, "command line")]
    assert key.split("_")[2] not in str(lines)


def test_a_server_without_keys_listens_to_this_machine_only(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, base=str(tiny_bert_folder), host="0.0.0.0")
    with pytest.raises(KeysNeeded, match=r"host 0\.0\.0\.0 .*skhost keys create"):
        asyncio.run(check_has_keys(settings))
    with (
        bind("127.0.0.1", 0) as listener,
        pytest.raises(CannotStart, match="there are no API keys"),
    ):
        serve(create_app(settings), listener)
    for changes in ({"host": "::1"}, {"allow_remote": True}, {"require_keys": True}):
        asyncio.run(check_has_keys(settings.model_copy(update=changes)))
    with EmbeddedValkey(tmp_path) as valkey:

        async def make() -> None:
            async with connect(valkey.url) as redis:
                await KeyStore(redis).create("acme", [Scope.CLASSIFY])

        asyncio.run(make())
    asyncio.run(check_has_keys(settings))


def test_a_server_may_start_shut(tiny_bert_folder: Path, tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, base=str(tiny_bert_folder), host="0.0.0.0", require_keys=True
    )
    with live_server(settings) as live, httpx.Client(base_url=live.url, timeout=60) as http:
        error_of(http.get("/adapters"), 401, "unauthorized")
        assert http.get("/readyz").status_code == 200


@pytest.mark.anyio
async def test_a_record_that_cannot_be_read_opens_nothing(redis_client: Redis) -> None:
    await redis_client.hset(CommonKeys().api_keys(), "a" * 12, "{broken")
    store = KeyStore(redis_client)
    keyring = Keyring(store, "default", may_be_open=True)
    await keyring.look()
    assert not keyring.is_open
    with pytest.raises(Unauthorized):
        await keyring.identify(None)
    token, _ = await store.create("acme", [Scope.TRAIN])
    assert (await keyring.identify(token.text)).tenant == "acme"

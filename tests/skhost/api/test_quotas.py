"""How much a key and a tenant may ask."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx
import pytest
from duplex import conversation
from live_server import LiveServer, error_of, live_server, publish, wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from skhost.access import limits
from skhost.access.limits import Limiter
from skhost.access.record import Caller, Quotas, Scope
from skhost.access.store import KeyStore
from skhost.api import guard
from skhost.connection import connect
from skhost.metrics import Metrics
from skhost.settings import Settings
from skhost.valkey import EmbeddedValkey

Returned = TypeVar("Returned")
TEXTS = {"texts": ["one", "two", "three"]}


class Quota:
    """A server with a registry that can be stopped, and a way to change its keys."""

    def __init__(self, live: LiveServer, valkey: EmbeddedValkey) -> None:
        self.live = live
        self.valkey = valkey

    def change(self, work: Callable[[KeyStore], Awaitable[Returned]]) -> Returned:
        async def run() -> Returned:
            async with connect(self.valkey.url) as redis:
                return await work(KeyStore(redis))

        return asyncio.run(run())

    def client(self, tenant: str = "default", **quotas: str) -> httpx.Client:
        """A client with a key of its own."""
        token, _ = self.change(
            lambda store: store.create(tenant, [Scope.ADMIN], quotas=Quotas(**quotas))
        )
        headers = {"Authorization": f"Bearer {token.text}"}
        return httpx.Client(base_url=self.live.url, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def quota(tiny_bert_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quota]:
    folder = tmp_path_factory.mktemp("quota")
    with pytest.MonkeyPatch.context() as patch, EmbeddedValkey(folder / "registry") as valkey:
        patch.setattr(limits, "WITHIN_S", 10)  # on a busy machine Redis may be slow, too
        settings = Settings(
            data_dir=folder,
            redis_url=valkey.url,
            base=str(tiny_bert_folder),
            tenant_requests="100000/day",
        )
        with live_server(settings) as live:
            publish(live, "mood", seed=1)
            quota = Quota(live, valkey)
            quota.client().close()
            wait_until(lambda: live.services.keyring.has_keys)  # until then nobody is asked for one
            yield quota


def test_a_key_may_ask_so_often(quota: Quota) -> None:
    with quota.client(requests="3/hour") as http, quota.client() as other:
        answers = [http.get("/adapters") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        error = error_of(answers[3], 429, "rate_limited", "may use 3 requests a hour")
        assert error["details"] == {"policy": "key-requests"}
        assert 1 <= int(answers[3].headers["Retry-After"]) <= 3600
        assert '"key-requests";q=3;w=3600' in answers[0].headers["RateLimit-Policy"]
        assert '"tenant-requests";q=100000;w=86400' in answers[0].headers["RateLimit-Policy"]
        assert '"key-requests";r=2;t=' in answers[0].headers["RateLimit"]
        assert '"key-requests";r=0;t=' in answers[3].headers["RateLimit"]
        assert other.get("/adapters").status_code == 200
        sample = 'skhost_limited_total{policy="key-requests"} 2.0'
        assert sample in other.get("/metrics").text


def test_a_window_that_has_passed_is_forgotten(quota: Quota) -> None:
    with quota.client(requests="2/second") as http:
        assert [http.get("/adapters").status_code for _ in range(3)][-1] == 429
        wait_until(lambda: http.get("/adapters").status_code == 200)


def test_tokens_are_counted_as_they_were_used(quota: Quota) -> None:
    with quota.client(tokens="10/hour") as http:
        first = http.post("/classify?adapter=mood", json=TEXTS)
        used = first.json()["usage"]["tokens"]
        assert used >= 10
        assert '"key-tokens";q=10;qu="tokens";w=3600' in first.headers["RateLimit-Policy"]
        assert '"key-tokens";r=10;' in first.headers["RateLimit"]
        wait_until(lambda: http.get("/adapters").status_code == 429)
        error_of(http.get("/adapters"), 429, "rate_limited", "10 tokens a hour")


def test_a_stream_ends_where_its_tokens_are_used_up(
    quota: Quota, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "COUNT_EVERY_S", 0.0)
    with quota.client(tokens="100/hour") as http:
        key = {"Authorization": http.headers["Authorization"]}
        with conversation(quota.live.url, headers=key) as talk:
            talk.send(*[{"text": "one two three"}] * 100)  # and it does not say that this is all
            *items, last = talk.rest()
        assert last["end"]["tokens"] >= 100
        assert last["end"]["rows"] == len(items) <= 100
        assert last["end"]["error"]["code"] == "rate_limited"
        assert last["end"]["error"]["details"] == {"policy": "key-tokens"}
        error_of(http.get("/adapters"), 429, "rate_limited", "100 tokens a hour")


def test_the_keys_of_a_tenant_share_its_bound(quota: Quota) -> None:
    quota.change(lambda store: store.limit_tenant("acme", Quotas(requests="2/hour")))
    with quota.client("acme") as one, quota.client("acme") as two, quota.client() as other:
        wait_until(
            lambda: quota.live.services.keyring.tenants.get("acme", Quotas()).requests == "2/hour"
        )
        codes = [http.get("/adapters").status_code for http in (one, two, one, two)]
        assert codes == [200, 200, 429, 429]
        assert other.get("/adapters").status_code == 200


def test_without_the_registry_nobody_is_refused(quota: Quota) -> None:
    with quota.client(requests="1/hour") as http, quota.client() as other:
        assert [http.get("/adapters").status_code for _ in range(2)] == [200, 429]
        quota.valkey.stop()
        try:
            for _ in range(3):
                answer = http.post("/classify?adapter=mood", json=TEXTS)
                assert answer.status_code == 200, answer.text
                assert "RateLimit" not in answer.headers
            metrics = other.get("/metrics").text
            assert "skhost_limits_skipped_total 0.0" not in metrics
        finally:
            quota.valkey.start()


@pytest.mark.anyio
async def test_without_bounds_redis_is_not_asked(redis_client: Redis) -> None:
    limiter = Limiter(redis_client, Quotas(), Quotas(), Metrics(CollectorRegistry()))
    caller = Caller("default", frozenset(Scope), "a")
    policies = limiter.policies(caller, None)
    assert policies == []
    before = (await redis_client.info("stats"))["total_commands_processed"]
    assert await limiter.admit(policies) == []
    await limiter.charge(policies, 5)
    after = (await redis_client.info("stats"))["total_commands_processed"]
    assert after - before == 1  # the question itself

"""Who may stay: looked up again while somebody is there."""

import json
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from skhost.access.keyring import Keyring
from skhost.access.record import Scope
from skhost.access.store import KeyStore
from skhost.errors import Unauthorized
from skhost.keys import CommonKeys

pytestmark = pytest.mark.anyio


async def test_who_had_no_key_goes_when_there_are_some(redis_client: Redis) -> None:
    store = KeyStore(redis_client)
    keyring = Keyring(store, "default", may_be_open=True)
    await keyring.look()
    caller = await keyring.identify(None)
    keyring.recheck(caller)
    await store.create("default", [Scope.ADMIN])
    await keyring.look()
    with pytest.raises(Unauthorized, match="needs an API key"):
        keyring.recheck(caller)


async def test_who_had_a_key_goes_with_it(redis_client: Redis) -> None:
    store = KeyStore(redis_client)
    keyring = Keyring(store, "default", may_be_open=False)
    made = [await store.create("default", [Scope.TRAIN]) for _ in range(3)]
    callers = [await keyring.identify(token.text) for token, _ in made]
    for caller in callers:
        keyring.recheck(caller)
    revoked, rotated, _ = [record.id for _, record in made]
    await store.revoke(revoked)
    await store.rotate(rotated, keep_s=0.0)
    time.sleep(0.01)  # past the moment at which the rotated one ends
    await keyring.look()
    for caller, reason in zip(callers, ("is revoked", "is expired"), strict=False):
        with pytest.raises(Unauthorized, match=reason):
            keyring.recheck(caller)
    keyring.recheck(callers[2])
    await redis_client.flushall()
    keyring._read_at = float("-inf")
    await keyring.look()
    with pytest.raises(Unauthorized, match="none of this server's"):
        keyring.recheck(callers[2])


@pytest.mark.parametrize("newer", [{"scopes": ["admin", "future"]}, {"future": 1}])
async def test_a_key_of_a_newer_release_opens_nothing_and_stands_in_nobodys_way(
    redis_client: Redis, newer: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    store = KeyStore(redis_client)
    keyring = Keyring(store, "default", may_be_open=True)
    (ours, _), (theirs, record) = [await store.create("default", [Scope.ADMIN]) for _ in "ab"]
    text = json.dumps({**json.loads(record.to_json()), **newer})
    await redis_client.hset(CommonKeys().api_keys(), record.id, text)
    assert (await keyring.identify(ours.text)).scopes == {Scope.ADMIN}
    with pytest.raises(Unauthorized, match="none of this server's"):
        await keyring.identify(theirs.text)
    assert f"API key {record.id} cannot be read" in caplog.text

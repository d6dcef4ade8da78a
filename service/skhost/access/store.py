"""Keys and tenants in Redis or Valkey. Every change counts a revision up, in the same step."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from skhost.access.record import Granted, KeyRecord, KeyState, Quotas, Scope
from skhost.access.token import Token, new_token
from skhost.connection import registry_errors
from skhost.errors import InvalidRequest
from skhost.keys import CommonKeys

log = logging.getLogger(__name__)


class KeyStore:
    """All keys of all tenants.

    Every method raises RegistryUnavailable when Redis or Valkey does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._keys = CommonKeys()

    async def create(
        self,
        tenant: str,
        scopes: Iterable[Scope],
        *,
        name: str = "",
        by: str = "",
        expires_at: float | None = None,
        quotas: Quotas | None = None,
    ) -> tuple[Token, KeyRecord]:
        """A new key: the token, which nobody can ask for again, and its record."""
        token = new_token()
        record = KeyRecord(
            id=token.id,
            hash=token.hash,
            tenant=tenant,
            scopes=frozenset(scopes),
            name=name,
            created_at=time.time(),
            created_by=by,
            expires_at=expires_at,
            quotas=quotas or Quotas(),
        )
        await self._put(record)
        return token, record

    async def list(self) -> list[KeyRecord]:
        """All keys, also those that open nothing any more; the oldest first."""
        granted = await self.read()
        return sorted(granted.keys.values(), key=lambda record: record.created_at)

    async def revoke(self, key_id: str) -> KeyRecord:
        """End a key; once more changes nothing.

        Raises:
            InvalidRequest: there is no such key.
        """

        def end(record: KeyRecord) -> KeyRecord:
            if record.state() is KeyState.REVOKED:
                return record
            return replace(record, revoked_at=time.time())

        return await self._change(key_id, end)

    async def rotate(self, key_id: str, keep_s: float, by: str = "") -> tuple[Token, KeyRecord]:
        """A key like this one, which goes on for `keep_s` and then expires.

        Raises:
            InvalidRequest: there is no such key, or it opens nothing.
        """
        ends_at = time.time() + keep_s

        def expire(record: KeyRecord) -> KeyRecord:
            if record.state() is not KeyState.ACTIVE:
                raise InvalidRequest(f"key {key_id} is {record.state()}; create a new one")
            return replace(record, expires_at=min(ends_at, record.expires_at or ends_at))

        before = (await self.read()).keys.get(key_id)
        old = await self._change(key_id, expire)
        expires_at = None if before is None else before.expires_at
        return await self.create(
            old.tenant, old.scopes, name=old.name, by=by, expires_at=expires_at, quotas=old.quotas
        )

    async def limit_tenant(self, tenant: str, quotas: Quotas) -> None:
        """Give a tenant bounds of its own in place of the server's default ones."""
        with registry_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(self._keys.tenants(), tenant, json.dumps(quotas.to_dict()))
                pipe.incr(self._keys.access_revision())
                await pipe.execute()

    async def revision(self) -> int:
        """A number that every change raises."""
        with registry_errors():
            return int(await self._redis.get(self._keys.access_revision()) or 0)

    async def read(self) -> Granted:
        """Everything, as of one moment."""
        with registry_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.get(self._keys.access_revision())
                pipe.hgetall(self._keys.api_keys())
                pipe.hgetall(self._keys.tenants())
                revision, keys, tenants = await pipe.execute()
        return Granted(
            revision=int(revision or 0),
            keys=_readable(keys),
            num_keys=len(keys),
            tenants={tenant: Quotas(**json.loads(text)) for tenant, text in tenants.items()},
        )

    async def _put(self, record: KeyRecord) -> None:
        with registry_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                self._queue(pipe, record)
                await pipe.execute()

    async def _change(self, key_id: str, change: Callable[[KeyRecord], KeyRecord]) -> KeyRecord:
        async def attempt(pipe: Pipeline) -> KeyRecord:
            await pipe.watch(self._keys.api_keys())
            reading: Awaitable[Any] = pipe.hget(self._keys.api_keys(), key_id)
            text = await reading
            if text is None:
                raise InvalidRequest(
                    f"there is no key {key_id!r:.100}; `skhost keys ls` lists them"
                )
            record = change(KeyRecord.from_json(str(text)))
            pipe.multi()  # type: ignore[no-untyped-call]
            self._queue(pipe, record)
            await pipe.execute()
            return record

        while True:
            with registry_errors():
                async with self._redis.pipeline(transaction=True) as pipe:
                    try:
                        return await attempt(pipe)
                    except WatchError:  # someone else changed a key: look again
                        continue

    def _queue(self, pipe: Pipeline, record: KeyRecord) -> None:
        pipe.hset(self._keys.api_keys(), record.id, record.to_json())
        pipe.hsetnx(self._keys.tenants(), record.tenant, json.dumps(Quotas().to_dict()))
        pipe.incr(self._keys.access_revision())


def _readable(stored: Mapping[str, str]) -> dict[str, KeyRecord]:
    """The records; one that cannot be read opens nothing and keeps no other from opening."""
    found = {}
    for key_id, text in stored.items():
        try:
            found[key_id] = KeyRecord.from_json(text)
        except (ValueError, KeyError, TypeError) as error:
            log.error("the record of API key %s cannot be read: %r", key_id, error)
    return found

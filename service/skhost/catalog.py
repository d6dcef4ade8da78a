"""The catalogue: which adapters, versions and aliases there are, kept in Redis or Valkey.

Every change is one Lua script: whole or not at all, counted by a revision, and announced.
Knows nothing of tensors, files or HTTP.
"""

import json
import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis

from skhost.connection import registry_errors
from skhost.errors import AdapterNotFound, ArtifactRefused, Conflict, ServiceError
from skhost.keys import Keys
from skhost.names import DEFAULT_ALIAS, check_alias, check_name, near_names
from skhost.records import (
    AdapterRecord,
    Origin,
    VersionRecord,
    VersionState,
    finite,
    no_alias,
    no_version,
    read_adapter,
)
from skhost.scripts import Answer, Scripts
from sktuning.config import BaseIdentity
from sktuning.manifest import DIGEST

__all__ = ["AdapterRecord", "Catalog", "Changes", "Page", "VersionRecord", "VersionState"]

_READ_AT_ONCE = 200  # adapters a round trip
_WATCH_S = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """Some adapters in the order of their names."""

    adapters: tuple[AdapterRecord, ...]
    cursor: str | None  # of the next page; None: this was the last


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since a revision."""

    revision: int  # now
    adapters: Mapping[str, AdapterRecord]  # as they are now
    gone: frozenset[str]  # retired adapters
    is_complete: bool  # whether `adapters` are all there are, not only the changed ones


class Catalog:
    """All adapters of one tenant.

    Every method raises RegistryUnavailable when Redis or Valkey does not answer, and
    InvalidRequest for names that nothing can have.

    Args:
        redis: a client that answers text, as `skhost.connection.connect` makes it.
        keys: the tenant's keys.
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._scripts = Scripts(redis, keys)

    @property
    def tenant(self) -> str:
        """Whose adapters these are."""
        return self._keys.tenant

    async def publish(
        self,
        name: str,
        digest: str,
        *,
        base: BaseIdentity,
        task: str,
        labels: Sequence[str],
        nbytes: int,
        metrics: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        origin: Origin | None = None,
        is_first: bool = False,
        promote_to: str | None = DEFAULT_ALIAS,
        note: str | None = None,
        publish_token: str | None = None,
        fence: int | None = None,
    ) -> VersionRecord:
        """Add the next version of `name`, and point the alias `promote_to` at it.

        Args:
            origin: None: a training if it has a `job_id`, else an import.
            is_first: refuse if the adapter has versions already.
            promote_to: None leaves it a candidate, for the reason in `note`.
            publish_token: the same token again gets the version that it already became.
            fence: the token of the job's claim (`Keys.job_fence`); needs `job_id`.

        Raises:
            Conflict: another worker has claimed the job since, or there are versions already.
            ArtifactRefused: `digest` is none.
        """
        if not DIGEST.fullmatch(digest):
            raise ArtifactRefused(f"{digest[:100]!r} is not the digest of an artifact")
        record = {
            **{"digest": digest, "base": asdict(base), "task": str(task), "labels": list(labels)},
            **{"created_at": time.time(), "job_id": job_id, "nbytes": nbytes},
            **({} if origin is None else {"origin": origin.value}),
            "metrics": finite(dict(metrics or {})),
        }
        alias = check_alias(promote_to) if promote_to is not None else ""
        token, guard = publish_token or "", "" if fence is None else str(fence)
        answer = await self._scripts.run(
            "publish",
            check_name(name),
            *(json.dumps(record), digest, alias, note or "", token, guard, "1" if is_first else ""),
            extra_keys=(self._keys.publish_tokens(name), self._keys.job_fence(job_id or "")),
        )
        if answer.refusal == "exists":
            raise taken(name)
        if answer.refusal is not None:
            raise _stale(job_id, fence, answer.detail)
        return _version(
            read_adapter(self.tenant, name, answer.fields, answer.versions), int(answer.detail)
        )

    async def promote(self, name: str, version: int, alias: str = DEFAULT_ALIAS) -> AdapterRecord:
        """Point `alias` at `version`.

        Raises:
            AdapterNotFound, VersionNotFound: there is none, or it was retired.
        """
        return await self._change("promote", name, check_alias(alias), str(version))

    async def set_alias(self, name: str, alias: str, version: int) -> AdapterRecord:
        """The same as `promote`, in the words of ``PUT …/aliases/{alias}``."""
        return await self.promote(name, version, alias)

    async def rollback(self, name: str, alias: str = DEFAULT_ALIAS) -> AdapterRecord:
        """Point `alias` at what it pointed at before; twice goes two back.

        Raises:
            AdapterNotFound, AliasNotFound: there is none.
            Conflict: there is nothing before.
        """
        return await self._change("rollback", name, check_alias(alias), secrets.token_hex(8))

    async def delete_alias(self, name: str, alias: str) -> AdapterRecord:
        """Remove an alias; its versions stay.

        Raises:
            AdapterNotFound, AliasNotFound: there is none.
        """
        return await self._change("delete_alias", name, check_alias(alias))

    async def pin(self, name: str, *, is_pinned: bool) -> AdapterRecord:
        """Have servers keep what the adapter's aliases point at in memory, or let go of it.

        Raises:
            AdapterNotFound: there is none.
        """
        return await self._change("pin", name, "1" if is_pinned else "")

    async def quarantine(self, name: str, version: int, reason: str | None) -> AdapterRecord:
        """Say that a server found a version to answer differently; None: that this is over.

        Raises:
            AdapterNotFound, VersionNotFound: there is none, or it was retired.
        """
        return await self._change("quarantine", name, str(version), reason or "")

    async def retire(self, name: str, version: int | None = None) -> AdapterRecord:
        """Take a version out of use, or without one the whole adapter with its aliases.

        Raises:
            AdapterNotFound, VersionNotFound: there is none.
            Conflict: an alias points at the version.
        """
        if version is None:
            return await self._change("retire_adapter", name)
        return await self._change("retire_version", name, str(version))

    async def get(self, name: str) -> AdapterRecord:
        """The adapter as it is now.

        Raises:
            AdapterNotFound: there is none; ``details["near"]`` has names that look like it.
        """
        found = await self._read([check_name(name)])
        if name not in found:
            raise await self._not_found(name)
        return found[name]

    async def names(self) -> tuple[str, ...]:
        """The names of all adapters, sorted."""
        with registry_errors():
            return _texts(await self._redis.zrange(self._keys.adapters(), 0, -1))

    async def list(self, cursor: str | None = None, limit: int = 100) -> Page:
        """Up to `limit` adapters whose names come after `cursor`."""
        start = "-" if cursor is None else f"({check_name(cursor)}"
        with registry_errors():
            key = self._keys.adapters()
            names = _texts(await self._redis.zrangebylex(key, start, "+", 0, limit + 1))
        page = names[:limit]
        found = await self._read(page)
        records = tuple(found[name] for name in page if name in found)
        return Page(records, page[-1] if len(names) > limit else None)

    async def revision(self) -> int:
        """A number that every change raises by one."""
        with registry_errors():
            return int(await self._redis.get(self._keys.revision()) or 0)

    async def changes(self, since: int = 0) -> Changes:
        """What has changed since the revision `since`; one GET when nothing has.

        Everything is read for 0, and when the counter has gone back (another or an older Redis).
        """
        now = await self.revision()
        if now == since:
            return Changes(now, {}, frozenset(), is_complete=since == 0)
        is_complete = since == 0 or now < since
        names = await self.names() if is_complete else await self._changed_names(since)
        found = await self._read(names)
        return Changes(now, found, frozenset(names) - found.keys(), is_complete)

    async def snapshot(self) -> dict[str, AdapterRecord]:
        """All adapters by name."""
        return dict((await self.changes()).adapters)

    async def watch(self) -> AsyncGenerator[str, None]:
        """The names of adapters as they change, until the caller stops.

        A message may be lost with the connection; `changes` finds what was missed.
        """
        with registry_errors():
            async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(self._keys.notices())
                while True:
                    message = await channel.get_message(timeout=_WATCH_S)
                    if message is not None:
                        yield json.loads(message["data"])["name"]

    async def take_orphans(self, min_age_s: float = 3600.0, limit: int = 100) -> Sequence[str]:
        """Digests that no version has used for `min_age_s`; the caller deletes their artifacts.

        The age keeps artifacts that were stored a moment ago and are about to be published.
        """
        return await self._scripts.take_orphans(min_age_s, limit)

    async def _change(self, script: str, name: str, *args: str) -> AdapterRecord:
        answer = await self._scripts.run(script, check_name(name), *args)
        if answer.refusal is not None:
            raise await self._refusal(name, answer, args)
        return read_adapter(self.tenant, name, answer.fields, answer.versions)

    async def _refusal(self, name: str, answer: Answer, args: Sequence[str]) -> ServiceError:
        if answer.refusal == "no adapter":
            return await self._not_found(name)
        record = await self.get(name)
        if answer.refusal == "no alias":
            return no_alias(name, answer.detail, record.aliases)
        if answer.refusal == "pointed at":
            aliases = answer.detail.split(",")
            return Conflict(
                f"version {args[0]} of {name!r} is what {', '.join(aliases)} points at; "
                "promote another version first, or remove the whole adapter",
                details={"aliases": aliases},
            )
        if answer.refusal == "no history":
            return Conflict(
                f"alias {args[0]!r} of {name!r} points at version {answer.detail} and at nothing "
                "usable before it; promote a version by its number",
                details={"version": int(answer.detail)},
            )
        was_retired = answer.refusal == "retired"
        return no_version(name, int(answer.detail), record.versions, was_retired=was_retired)

    async def _not_found(self, name: str) -> AdapterNotFound:
        near = near_names(name, await self.names())
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return AdapterNotFound(f"no adapter is called {name!r}{hint}", details={"near": near})

    async def _changed_names(self, since: int) -> tuple[str, ...]:
        with registry_errors():
            key = self._keys.changes()
            return _texts(await self._redis.zrangebyscore(key, f"({since}", "+inf"))

    async def _read(self, names: Sequence[str]) -> dict[str, AdapterRecord]:
        """The adapters of these names that exist; each as of one moment."""
        found: dict[str, AdapterRecord] = {}
        for start in range(0, len(names), _READ_AT_ONCE):
            some = names[start : start + _READ_AT_ONCE]
            with registry_errors():
                async with self._redis.pipeline(transaction=True) as pipe:
                    for name in some:
                        pipe.hgetall(self._keys.adapter(name))
                        pipe.hgetall(self._keys.versions(name))
                    hashes = await pipe.execute()
            for name, fields, versions in zip(some, hashes[::2], hashes[1::2], strict=True):
                if fields and "retired" not in fields:
                    found[name] = read_adapter(self.tenant, name, fields, versions)
        return found


def _texts(members: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(member) for member in members)


def _version(record: AdapterRecord, number: int) -> VersionRecord:
    return next(version for version in record.versions if version.version == number)


def taken(name: str) -> Conflict:
    """The error for a first version of an adapter that has versions already."""
    return Conflict(
        f"an adapter is called {name!r} already; train or import its next version, take another "
        "name, or remove it first"
    )


def _stale(job_id: str | None, fence: int | None, current: str) -> Conflict:
    return Conflict(
        f"job {job_id} was claimed again by another worker (token {fence}, now {current}); "
        "this one may publish nothing",
        details={"reason": "stale_fence"},
    )

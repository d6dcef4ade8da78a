"""Which version answers to a name on this replica: a view of the catalogue that never blocks.

Readers look into one mapping without a lock; writers replace it by one assignment. An alias moves
to another version only after that version has been loaded and has passed its self-test here; until
then, and if it fails, the version before it keeps answering. Without the catalogue the view stays
as it is.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from skhost.background import Background
from skhost.catalog import Catalog, Changes
from skhost.errors import (
    AdapterNotFound,
    AliasNotFound,
    RegistryUnavailable,
    ServiceError,
    VersionNotFound,
)
from skhost.metrics import Metrics
from skhost.misses import Misses
from skhost.names import DEFAULT_ALIAS, AdapterRef, near_names
from skhost.records import AdapterRecord, VersionRecord, VersionState
from skhost.residency import Residency

log = logging.getLogger(__name__)

MISS_TTL_S = 1.0  # how soon an unknown name is looked up again

_NotFound = (AdapterNotFound, VersionNotFound, AliasNotFound)


@dataclass(frozen=True, slots=True)
class Held:
    """An alias whose new version cannot serve here, so that the old one still answers."""

    name: str
    alias: str
    serving: int
    wanted: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unserved:
    """An alias whose version cannot be used here, and that no earlier one answers for."""

    name: str
    alias: str
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class RegistryStats:
    """How well this replica knows the catalogue."""

    adapters: int
    revision: int
    staleness_s: float  # since the catalogue was last read
    is_degraded: bool
    held: tuple[Held, ...]
    unserved: tuple[Unserved, ...]


class Registry:
    """The adapters that this replica answers for.

    Args:
        interval_s: how often the catalogue is read even if it announces nothing.
    """

    def __init__(
        self, catalog: Catalog, residency: Residency, metrics: Metrics, *, interval_s: float = 2.0
    ) -> None:
        self._catalog = catalog
        self._residency = residency
        self._metrics = metrics
        self._interval_s = interval_s
        self._live: Mapping[str, AdapterRecord] = {}  # aliases as they are served here
        self._gone: dict[str, int] = {}  # name → revision at which it was known to be gone
        self._held: dict[tuple[str, str], Held] = {}
        self._misses = Misses(MISS_TTL_S)
        self._revision = 0
        self._synced_at: float | None = None
        self._started_at = time.monotonic()
        self._is_degraded = False
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._noticed: set[str] = set()
        self._background = Background()
        self._to_warm: asyncio.Queue[VersionRecord] = asyncio.Queue()

    @property
    def is_synced(self) -> bool:
        """Whether the catalogue has ever been read."""
        return self._synced_at is not None

    @property
    def is_degraded(self) -> bool:
        """Whether the catalogue did not answer when it was last asked."""
        return self._is_degraded

    @property
    def staleness_s(self) -> float:
        """Seconds since the catalogue was last read, or since the start."""
        return time.monotonic() - (self._synced_at or self._started_at)

    @property
    def live(self) -> Mapping[str, AdapterRecord]:
        """All adapters by name, with aliases as they are served here; never changed in place."""
        return self._live

    def stats(self) -> RegistryStats:
        """How well this replica knows the catalogue."""
        return RegistryStats(
            adapters=len(self._live),
            revision=self._revision,
            staleness_s=self.staleness_s,
            is_degraded=self._is_degraded,
            held=tuple(self._held.values()),
            unserved=tuple(self._unserved()),
        )

    def resolve(self, ref: AdapterRef) -> VersionRecord:
        """The version that answers to `ref` here and now; asks nobody.

        Raises:
            AdapterNotFound, VersionNotFound, AliasNotFound: as far as is known here.
        """
        record = self._live.get(ref.name)
        if record is not None:
            return record.select(ref.selector)
        near = near_names(ref.name, self._live)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise AdapterNotFound(f"no adapter is called {ref.name!r}{hint}", details={"near": near})

    async def find(self, ref: AdapterRef) -> VersionRecord:
        """As `resolve`, but asks the catalogue once for what is not known here (yet).

        Raises:
            RegistryUnavailable: it is not known here, and the catalogue does not answer.
        """
        try:
            return self.resolve(ref)
        except _NotFound:
            if str(ref) in self._misses:
                raise
        if self._is_degraded:
            raise RegistryUnavailable(
                f"{ref} is not known here, and the registry does not answer now",
                retry_after_s=self._interval_s,
            )
        await self._look_up(ref)
        return self.resolve(ref)

    async def refresh(self, name: str) -> None:
        """Read one adapter from the catalogue; when this returns, its aliases serve what they can.

        Raises:
            RegistryUnavailable: the catalogue does not answer.
        """
        async with self._lock(name):
            await self._read(name)

    async def sync(self) -> None:
        """Read all that has changed since the last time; new versions load in the background.

        Raises:
            RegistryUnavailable: the catalogue does not answer; the view stays as it is.
        """
        try:
            changes = await self._catalog.changes(self._revision)
        except RegistryUnavailable:
            self._is_degraded = True
            raise
        self._is_degraded = False
        self._synced_at = time.monotonic()
        self._apply(changes)
        for name in {held.name for held in self._held.values()}:
            self._refresh_soon(name)

    async def run(self) -> None:
        """Follow the catalogue until cancelled."""
        self._background.start(self._follow(), "following the registry")
        self._background.start(self._warm(), "warming adapters")
        self._background.start(self._try_again(), "trying broken adapters again")
        try:
            while True:
                await self._background.guard(self.sync(), "reading the registry")
                self._measure()
                await asyncio.sleep(self._interval_s)
        finally:
            await self._background.close()

    def _apply(self, changes: Changes) -> None:
        """Take over at once what needs no loading; begin to load the rest."""
        if changes.is_complete and changes.revision < self._revision:
            log.warning("the registry's revision went back to %d: starting over", changes.revision)
            self._live, self._gone = {}, {}
            self._held.clear()
        self._revision = changes.revision
        gone = set(changes.gone)
        if changes.is_complete:
            gone |= self._live.keys() - changes.adapters.keys()
        for name in gone:
            self._forget(name, changes.revision)
        at_once = {r.name: r for r in changes.adapters.values() if not self._needs_loading(r)}
        self._assign({name: r for name, r in at_once.items() if self._is_newer(r)})
        for name in changes.adapters.keys() - at_once.keys():
            self._background.start(self._adopt_later(changes.adapters[name]), f"adopting {name}")

    def _needs_loading(self, record: AdapterRecord) -> bool:
        """Whether an alias that is served would move to another version."""
        current = self._live.get(record.name)
        if current is None:
            return False
        moved = record.aliases.items() - current.aliases.items()
        return any(alias in current.aliases for alias, _ in moved)

    def _is_newer(self, record: AdapterRecord) -> bool:
        current = self._live.get(record.name)
        known = current.revision if current else self._gone.get(record.name, -1)
        return record.revision > known

    async def _adopt_later(self, record: AdapterRecord) -> None:
        async with self._lock(record.name):
            await self._adopt(record)

    async def _read(self, name: str) -> None:
        """Under the name's lock."""
        try:
            record = await self._catalog.get(name)
        except AdapterNotFound:
            current = self._live.get(name)
            self._forget(name, max(self._revision, current.revision if current else 0))
        else:
            await self._adopt(record)

    async def _adopt(self, record: AdapterRecord) -> None:
        """Under the name's lock: ready the versions that aliases move to, then assign."""
        if not self._is_newer(record) and not self._is_held(record.name):
            return
        before = self._live.get(record.name)
        held = [
            kept
            for alias, version in record.aliases.items()
            if (kept := await self._ready(record, alias, version, before)) is not None
        ]
        current = self._live.get(record.name)  # an assignment may have come meanwhile
        if current is before or self._is_newer(record):
            self._assign({record.name: record}, held)

    async def _ready(
        self, record: AdapterRecord, alias: str, wanted: int, before: AdapterRecord | None
    ) -> Held | None:
        """Have the wanted version loaded and tested; if it cannot serve, what serves instead."""
        serving = before.aliases.get(alias) if before else None
        if serving is None or serving == wanted or not _is_usable(record, serving):
            return None
        try:
            await self._residency.prefetch(record.select(wanted))
        except ServiceError as error:
            log.error("%s@%s stays at version %d: %s", record.name, alias, serving, error.message)
            return Held(record.name, alias, serving, wanted, error.message)
        log.info("%s@%s: version %d answers, was %d", record.name, alias, wanted, serving)
        return None

    def _assign(self, records: Mapping[str, AdapterRecord], held: Iterable[Held] = ()) -> None:
        """One assignment: readers see all of it or nothing."""
        replaced = [self._live[name] for name in records if name in self._live]
        self._release(records)
        self._held.update({(each.name, each.alias): each for each in held})
        self._live = {**self._live, **{name: self._as_served(r) for name, r in records.items()}}
        self._keep_pinned()
        for name in records:
            self._gone.pop(name, None)
            for version in _to_have_ready(self._live[name]):
                self._to_warm.put_nowait(version)
        self._unload_unused(replaced)

    def _keep_pinned(self) -> None:
        pinned = [record for record in self._live.values() if record.is_pinned]
        ready = (version for record in pinned for version in _to_have_ready(record))
        self._residency.keep(self._catalog.tenant, ready)

    def _as_served(self, record: AdapterRecord) -> AdapterRecord:
        held = [each for each in self._held.values() if each.name == record.name]
        return replace(
            record, aliases={**record.aliases, **{each.alias: each.serving for each in held}}
        )

    def _release(self, names: Iterable[str]) -> None:
        gone = set(names)
        self._held = {key: each for key, each in self._held.items() if each.name not in gone}

    def _forget(self, name: str, revision: int) -> None:
        self._gone[name] = revision
        self._release([name])
        if name in self._live:
            record = self._live[name]
            self._live = {n: r for n, r in self._live.items() if n != name}
            self._keep_pinned()
            self._unload_unused([record])
            log.info("adapter %s is gone", name)

    def _unload_unused(self, before: list[AdapterRecord]) -> None:
        """Free versions that were usable in `before` and are not any more."""
        candidates = {digest for record in before for digest in _usable_digests(record)}
        candidates -= {
            d for r in before if (now := self._live.get(r.name)) for d in _usable_digests(now)
        }
        if candidates:
            candidates -= {d for record in self._live.values() for d in _usable_digests(record)}
        for digest in candidates:
            self._residency.unload(digest)

    def _is_held(self, name: str) -> bool:
        return any(each.name == name for each in self._held.values())

    async def _look_up(self, ref: AdapterRef) -> None:
        async with self._lock(ref.name):
            if str(ref) in self._misses:  # whoever had the lock before has asked
                return
            await self._read(ref.name)
            try:
                self.resolve(ref)
            except _NotFound:
                self._misses.add(str(ref))

    def _lock(self, name: str) -> asyncio.Lock:
        """One change of a name at a time, so that a slow load cannot undo a newer change."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def _follow(self) -> None:
        """Act on the catalogue's notices; whatever is missed, `sync` finds."""
        while True:
            await self._background.guard(self._watch(), "following the registry")
            await asyncio.sleep(self._interval_s)

    async def _watch(self) -> None:
        async with aclosing(self._catalog.watch()) as names:
            async for name in names:
                self._refresh_soon(name)

    def _refresh_soon(self, name: str) -> None:
        if name not in self._noticed:
            self._noticed.add(name)
            self._background.start(self._refresh_noticed(name), f"refreshing {name}")

    async def _refresh_noticed(self, name: str) -> None:
        async with self._lock(name):
            self._noticed.discard(name)  # a notice from here on may be of a later change
            await self._read(name)

    async def _warm(self) -> None:
        """Bring what answers into memory before it is asked for: pinned, or while there is room."""
        while True:
            record = await self._to_warm.get()
            stats = self._residency.stats()
            has_room = stats.device_bytes + record.nbytes <= stats.device_budget_bytes
            if has_room or self._residency.keeps(record.digest):
                await self._background.guard(
                    self._residency.prefetch(record), f"warming {record.name}"
                )

    async def _try_again(self) -> None:
        """Whatever could not be used may have been mended, and nobody need ask for it first."""
        while True:
            await asyncio.sleep(self._interval_s)
            for each in self._unserved():
                await self._background.guard(self._prefetch(each), f"trying {each.name} again")

    async def _prefetch(self, unserved: Unserved) -> None:
        with suppress(ServiceError):  # it is in the log, and stays unserved
            record = self.resolve(AdapterRef(unserved.name, unserved.alias))
            await self._residency.prefetch(record)

    def _unserved(self) -> list[Unserved]:
        broken = self._residency.broken
        return [
            Unserved(name, alias, version, broken[digest])
            for name, record in (self._live.items() if broken else ())
            for alias, version in record.aliases.items()
            if (digest := record.select(alias).digest) in broken
        ]

    def _measure(self) -> None:
        self._metrics.registry_state(
            len(self._live),
            self.staleness_s,
            is_degraded=self._is_degraded,
            held=len(self._held),
            unserved=len(self._unserved()),
            tenant=self._catalog.tenant,
        )


def _to_have_ready(record: AdapterRecord) -> list[VersionRecord]:
    """What answers by default; of a pinned adapter, what any alias points at."""
    aliases = [alias for alias in record.aliases if record.is_pinned or alias == DEFAULT_ALIAS]
    return [record.select(alias) for alias in aliases]


def _is_usable(record: AdapterRecord, version: int) -> bool:
    return any(
        v.version == version and v.state is not VersionState.RETIRED for v in record.versions
    )


def _usable_digests(record: AdapterRecord) -> set[str]:
    return {v.digest for v in record.versions if v.state is not VersionState.RETIRED}

"""Which adapters are in memory: brings them in off the batch path, and lets go of the unused.

Tiers: the device (ready to classify), host memory (of use where the device has memory of its own),
and the store. Everything is keyed by content digest. State belongs to the event loop's thread;
reading and copying happen on threads of its own.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from skhost.background import end
from skhost.budgets import Budgets
from skhost.errors import (
    AdapterQuarantined,
    AdapterUnusable,
    ArtifactRefused,
    BaseIncompatible,
    Overloaded,
    ServiceError,
    StoreUnavailable,
)
from skhost.metrics import Metrics
from skhost.records import VersionRecord
from skhost.reference import check_shapes
from skhost.self_tests import SelfTests
from skhost.shelf import NoRoom, Shelf, Shelved
from sktuning import artifact
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.errors import BaseMismatch, SKTuningError

log = logging.getLogger(__name__)

ROOM_RETRY_S = 1.0
QUARANTINE_RETRY_S = 5.0  # another server may answer, or this one has read it anew by then
KEPT_SHARE = 0.75  # of the device budget that pinned adapters may take: others need room, too

Returned = TypeVar("Returned")


class Tier(StrEnum):
    """Where an adapter is, the fastest first."""

    DEVICE = "device"
    HOST = "host"
    STORE = "store"


class Fetches(Protocol):
    """Where artifacts come from; called on a thread."""

    def fetch(self, digest: str, tenant: str, /) -> Path:
        """A local folder with the tenant's artifact."""


@dataclass(frozen=True, slots=True)
class Resident:
    """An adapter in memory, for people."""

    digest: str
    tier: Tier
    nbytes: int
    pins: int  # requests that hold it now
    idle_s: float  # since it was last asked for
    is_kept: bool  # pinned by an operator


@dataclass(frozen=True, slots=True)
class ResidencyStats:
    """What is in memory and what may be."""

    device_adapters: int
    device_bytes: int
    device_budget_bytes: int
    host_adapters: int
    host_bytes: int
    host_budget_bytes: int
    kept_adapters: int  # pinned by an operator, and in memory or on the way
    kept_bytes: int
    loading: int
    broken: int
    capacity: int  # adapters of reference size that fit the device budget
    reference_bytes: int


@dataclass(frozen=True, slots=True)
class _Broken:
    error: AdapterUnusable
    until: float  # monotonic


class Residency:
    """Adapters in memory, by digest.

    Args:
        store: where artifacts come from.
        base: what they must fit.
        reference: an adapter of usual size on that base.
        self_tests: what a newly read adapter must pass.
    """

    def __init__(
        self,
        store: Fetches,
        base: FrozenBase,
        reference: Adapter,
        self_tests: SelfTests,
        budgets: Budgets,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._base = base
        self._reference = reference
        self._self_tests = self_tests
        self._budgets = budgets
        self._metrics = metrics
        self._device: Shelf[Adapter] = Shelf(budgets.device_bytes)
        self._host: Shelf[Adapter] = Shelf(budgets.host_bytes)
        self._pins: Counter[str] = Counter()
        self._kept_by: dict[str, Mapping[str, int]] = {}  # of each owner, bytes by digest
        self._leaving: set[str] = set()
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._broken: dict[str, _Broken] = {}
        self._quarantined: dict[str, str] = {}  # digest → what was found
        self._threads = ThreadPoolExecutor(budgets.max_loads, "skhost-load")
        self._slots = asyncio.Semaphore(budgets.max_loads)
        metrics.budgets(
            {Tier.DEVICE: self._device.budget_bytes, Tier.HOST: self._host.budget_bytes},
            self.capacity(),
        )

    @asynccontextmanager
    async def pin(self, record: VersionRecord) -> AsyncIterator[Adapter]:
        """The adapter, on the device, which stays there until the end of the block.

        Raises:
            BaseIncompatible: it belongs to another base.
            AdapterUnusable: its artifact is broken or fails its self-test.
            AdapterQuarantined: it was seen to answer differently than before.
            Overloaded: adapters in use take all the memory there is for them.
            StoreUnavailable: its artifact cannot be read now.
        """
        self._pins[record.digest] += 1
        try:
            yield await self._on_device(record)
        finally:
            self._unpin(record.digest)

    async def prefetch(self, record: VersionRecord) -> None:
        """Have the adapter read, tested and in memory; raises what `pin` does."""
        async with self.pin(record):
            pass

    def peek(self, digest: str) -> Adapter | None:
        """The adapter if it is on the device; this does not count as a use."""
        return self._device.peek(digest)

    def quarantine(self, digest: str, reason: str) -> None:
        """From now on whoever wants this adapter is told that it cannot be believed."""
        self._quarantined[digest] = reason
        self._metrics.quarantined(len(self._quarantined))

    def lift(self, digest: str) -> None:
        """Let a quarantined adapter answer again; it is read and tested anew."""
        if digest in self._quarantined:
            self._forget(digest)
            self.release(digest)

    def release(self, digest: str) -> None:
        """Let an adapter answer again that was read and tested anew."""
        self._quarantined.pop(digest, None)
        self._metrics.quarantined(len(self._quarantined))

    def is_quarantined(self, digest: str) -> bool:
        """Whether whoever wants this adapter is refused."""
        return digest in self._quarantined

    def check_quarantine(self, record: VersionRecord) -> None:
        """Return if the adapter's answers can be believed, as far as is known.

        Raises:
            AdapterQuarantined: they cannot.
        """
        if (reason := self._quarantined.get(record.digest)) is not None:
            raise AdapterQuarantined(
                f"version {record.version} of {record.name!r} is in quarantine on this server: "
                f"{reason}. Promote another version, or lift it",
                details={"version": record.version, "digest": record.digest},
                retry_after_s=QUARANTINE_RETRY_S,
            )

    async def reload(self, record: VersionRecord) -> Adapter:
        """Read an adapter from the store and test it, whatever is in memory and was remembered.

        Raises:
            As `pin`, where it cannot be used.
        """
        self._forget(record.digest)
        await asyncio.shield(self._loading.get(record.digest) or self._start_load(record))
        if (adapter := self.peek(record.digest)) is None:
            raise Overloaded(f"there is no room for {record.name!r}", retry_after_s=ROOM_RETRY_S)
        return adapter

    def unload(self, digest: str) -> int:
        """Let go of an adapter, at once or when the last request that uses it ends.

        Returns:
            Bytes that are free now.
        """
        self._broken.pop(digest, None)
        if self._pins[digest]:
            self._leaving.add(digest)
            return 0
        freed = self._device.drop(digest) + self._host.drop(digest)
        self._measure()
        return freed

    def keep(self, owner: str, versions: Iterable[VersionRecord]) -> None:
        """From now on these stay on the device once they are there, and no others of the owner's.

        Those that do not fit the share of the budget for them come and go as all others.
        """
        kept: dict[str, int] = {}
        for version in versions:
            if version.base.digest == self._base.identity.digest:
                kept[version.digest] = version.nbytes
        while sum(kept.values()) > self.keepable_bytes(owner):
            digest, _ = kept.popitem()
            log.warning("%s is pinned, and not kept: pinned adapters take too much", digest)
        self._kept_by[owner] = kept
        self._metrics.kept(len(self._kept))

    def keeps(self, digest: str) -> bool:
        """Whether a digest stays once it is on the device."""
        return any(digest in kept for kept in self._kept_by.values())

    def keepable_bytes(self, owner: str) -> int:
        """How much an owner's pinned adapters may take together, with what others have pinned."""
        others = [kept for name, kept in self._kept_by.items() if name != owner]
        taken = sum(sum(kept.values()) for kept in others)
        return max(int(self._device.budget_bytes * KEPT_SHARE) - taken, 0)

    @property
    def _kept(self) -> Mapping[str, int]:
        return {digest: size for kept in self._kept_by.values() for digest, size in kept.items()}

    @property
    def broken(self) -> Mapping[str, str]:
        """What could not be used when it was last read, and why, by digest."""
        return {digest: known.error.message for digest, known in self._broken.items()}

    def tier(self, digest: str) -> Tier:
        """Where the adapter is now."""
        if digest in self._device:
            return Tier.DEVICE
        return Tier.HOST if digest in self._host else Tier.STORE

    def capacity(self) -> int:
        """How many adapters of the reference size fit the device budget."""
        return self._device.budget_bytes // self._reference.nbytes

    def residents(self) -> list[Resident]:
        """Everything in memory, the least recently used first in each tier."""
        return [
            self._describe(digest, tier, item)
            for tier, shelf in ((Tier.DEVICE, self._device), (Tier.HOST, self._host))
            for digest, item in shelf.items()
        ]

    def stats(self) -> ResidencyStats:
        """What is in memory and what may be."""
        return ResidencyStats(
            device_adapters=len(self._device),
            device_bytes=self._device.used_bytes,
            device_budget_bytes=self._device.budget_bytes,
            host_adapters=len(self._host),
            host_bytes=self._host.used_bytes,
            host_budget_bytes=self._host.budget_bytes,
            kept_adapters=len(self._kept),
            kept_bytes=sum(self._kept.values()),
            loading=len(self._loading),
            broken=len(self._broken),
            capacity=self.capacity(),
            reference_bytes=self._reference.nbytes,
        )

    async def close(self) -> None:
        """Stop loading."""
        await end(self._loading.values())
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _on_device(self, record: VersionRecord) -> Adapter:
        """The caller has pinned the digest, so that what comes stays."""
        self._check_base(record)
        self.check_quarantine(record)
        self._leaving.discard(record.digest)
        while (adapter := self._device.get(record.digest)) is None:
            self._check_known_broken(record.digest)
            await asyncio.shield(self._loading.get(record.digest) or self._start_load(record))
        return adapter

    def _unpin(self, digest: str) -> None:
        self._pins[digest] -= 1
        if self._pins[digest] == 0:
            del self._pins[digest]
            if digest in self._leaving:
                self._leaving.discard(digest)
                self.unload(digest)

    def _forget(self, digest: str) -> None:
        self._self_tests.doubt(digest)
        self._broken.pop(digest, None)
        self._device.drop(digest)
        self._host.drop(digest)

    def _may_leave(self, digest: str) -> bool:
        return digest not in self._pins and not self.keeps(digest)

    def _start_load(self, record: VersionRecord) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._load(record), name=f"skhost-load-{record.digest}")
        self._loading[record.digest] = task
        task.add_done_callback(lambda done: self._loaded(record.digest, done))
        return task

    def _loaded(self, digest: str, task: "asyncio.Task[None]") -> None:
        del self._loading[digest]
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may have waited to the end

    async def _load(self, record: VersionRecord) -> None:
        async with self._slots:
            tier, started_at = self.tier(record.digest), time.monotonic()
            result = "failed"
            try:
                await self._place(record, await self._read(record))
                self._broken.pop(record.digest, None)
                result = "ok"
            except BaseMismatch as error:
                raise BaseIncompatible(f"adapter {record.name!r}: {error}") from error
            except (SKTuningError, ArtifactRefused) as error:
                raise self._remember_broken(record, error) from error
            except ServiceError:
                raise
            except OSError as error:
                raise StoreUnavailable(
                    f"the artifact of {record.name!r} cannot be read: {error}"
                ) from error
            finally:
                self._metrics.load(tier, result, time.monotonic() - started_at)

    async def _read(self, record: VersionRecord) -> Adapter:
        """The adapter's tensors on the device, checked and tested."""
        waiting = self._host.get(record.digest)
        if waiting is not None:
            return await self._in_thread(waiting.to, self._base.device, self._base.dtype)
        folder = await self._in_thread(self._store.fetch, record.digest, record.tenant)
        adapter = await self._in_thread(_read, folder, self._base.device, self._base.dtype)
        self._base.check(adapter.config.base)
        check_shapes(adapter, self._reference, self._base.embedding_size)
        await self._self_tests.ensure(record.digest, folder, adapter)
        return adapter

    async def _place(self, record: VersionRecord, adapter: Adapter) -> None:
        digest, nbytes = record.digest, adapter.nbytes
        if nbytes > self._device.budget_bytes:
            raise AdapterUnusable(
                f"adapter {record.name!r} takes {nbytes} bytes; "
                f"this server gives adapters {self._device.budget_bytes}"
            )
        try:
            gone = self._device.put(digest, adapter, nbytes, may_leave=self._may_leave)
        except NoRoom as error:
            raise Overloaded(
                f"the adapters in use take all of the {self._device.budget_bytes} bytes that "
                f"this server gives adapters; try {record.name!r} again in {ROOM_RETRY_S:.0f} s",
                retry_after_s=ROOM_RETRY_S,
            ) from error
        self._host.drop(digest)
        for victim, leaver in gone:
            self._metrics.evicted(Tier.DEVICE)
            await self._demote(victim, leaver)
        self._measure()

    async def _demote(self, digest: str, adapter: Adapter) -> None:
        """From the device to host memory, where that is another place and has room."""
        if adapter.nbytes > self._host.budget_bytes:
            return
        copy = await self._in_thread(adapter.to, "cpu", self._base.dtype)
        if digest not in self._device:  # it may have been asked for meanwhile
            gone = self._host.put(digest, copy, copy.nbytes, may_leave=lambda _: True)
            for _ in gone:
                self._metrics.evicted(Tier.HOST)

    def _check_base(self, record: VersionRecord) -> None:
        if record.base.digest != self._base.identity.digest:
            raise BaseIncompatible(
                f"adapter {record.name!r} was trained on {record.base}; "
                f"this server holds {self._base.identity}",
                details={"adapter_base": record.base.digest, "base": self._base.identity.digest},
            )

    def _check_known_broken(self, digest: str) -> None:
        known = self._broken.get(digest)
        if known is not None and known.until > time.monotonic():
            # a new one each time: a raised exception gathers tracebacks
            raise AdapterUnusable(known.error.message, details=known.error.details)

    def _remember_broken(self, record: VersionRecord, error: Exception) -> AdapterUnusable:
        unusable = AdapterUnusable(
            f"adapter {record.name!r} version {record.version} cannot be used: {error}",
            details={"digest": record.digest, "reason": type(error).__name__},
        )
        log.error("%s", unusable.message)
        until = time.monotonic() + self._budgets.broken_ttl_s
        self._broken[record.digest] = _Broken(unusable, until)
        return unusable

    def _describe(self, digest: str, tier: Tier, item: Shelved[Adapter]) -> Resident:
        idle_s = time.monotonic() - item.used_at
        pins, is_kept = self._pins.get(digest, 0), self.keeps(digest)
        return Resident(digest, tier, item.nbytes, pins, idle_s, is_kept)

    def _measure(self) -> None:
        self._metrics.resident(Tier.DEVICE, len(self._device), self._device.used_bytes)
        self._metrics.resident(Tier.HOST, len(self._host), self._host.used_bytes)

    async def _in_thread(self, fn: Callable[..., Returned], *args: object) -> Returned:
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn, *args)


def _read(folder: Path, device: torch.device, dtype: torch.dtype) -> Adapter:
    return artifact.load(folder, device=device, dtype=dtype)

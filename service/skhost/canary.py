"""Whether adapters in memory, and the base, still answer as they did; looked at all the time.

One adapter a step: its golden inputs are answered again while nobody waits for the device. One
that answers differently is refused from then on (quarantine), and read from the store once; if
that does not help, the catalogue says so until an operator lifts it.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from skhost import audit
from skhost.background import Background
from skhost.catalog import Catalog
from skhost.engine import Engine
from skhost.errors import ServiceError
from skhost.metrics import Metrics
from skhost.records import VersionRecord, VersionState
from skhost.residency import Fetches
from sktuning import artifact, golden
from sktuning.adapter import Adapter
from sktuning.errors import SelfTestFailed, SKTuningError
from sktuning.golden import NUM_ROWS, REPEATED, TOLERANCE, Golden, dtype_name

log = logging.getLogger(__name__)

MAX_SHARE: Final = 0.01  # of the time
MAX_PAUSE_S: Final = 30.0  # for that: a step that others held up says nothing of the next
PATIENCE_S: Final = 5.0  # that a look waits for a moment without other work
POLL_S: Final = 0.02
BASE_TIMEOUT_S: Final = 30.0
WHO: Final = "canary"


class Canary:
    """Looks after what is on the device, a step at a time.

    Args:
        catalog_of: a tenant's catalogue.
        interval_s: between two steps, at least.
    """

    def __init__(
        self,
        engine: Engine,
        store: Fetches,
        metrics: Metrics,
        *,
        catalog_of: Callable[[str], Catalog],
        interval_s: float,
    ) -> None:
        self._engine = engine
        self._registries = engine.registries
        self._residency = engine.residency
        self._store = store
        self._metrics = metrics
        self._catalog_of = catalog_of
        self._interval_s = interval_s
        self._background = Background()
        self._known: dict[str, Golden] = {}  # digest → what it answers here
        self._untold: dict[str, tuple[VersionRecord, str]] = {}  # the catalogue is yet to know
        self._told: dict[str, VersionRecord] = {}  # in quarantine until the catalogue forgets it
        self._spent_s = 0.0  # in the last step

    async def run(self) -> None:
        """Go round until cancelled."""
        while True:
            resident = [*self._resident()]
            digests = {record.digest for record in resident}
            self._known = {d: g for d, g in self._known.items() if d in digests}
            turns: list[VersionRecord | None] = [*resident]
            for record in turns or [None]:
                await self._background.guard(self.step(record), "looking after adapters")
                rest_s = min(self._spent_s / MAX_SHARE, MAX_PAUSE_S)
                await asyncio.sleep(max(self._interval_s, rest_s))

    async def step(self, record: VersionRecord | None) -> None:
        """Look at the base, and at one adapter.

        Raises:
            NotReady: the base does not answer as it did, or not in time.
        """
        self._spent_s = 0.0
        await self._keep_in_step()
        await self._wait_for_quiet()
        began = time.monotonic()
        await self._engine.readiness.check_base(BASE_TIMEOUT_S)
        adapter = None if record is None else self._residency.peek(record.digest)
        if record is not None and adapter is not None:
            await self._look(record, adapter)
        self._spent_s = time.monotonic() - began

    def _resident(self) -> Iterator[VersionRecord]:
        """A version of each digest on the device."""
        seen = set()
        for registry in tuple(self._registries.all.values()):
            for adapter in registry.live.values():
                for record in adapter.versions:
                    is_there = self._residency.peek(record.digest) is not None
                    if is_there and record.digest not in seen:
                        seen.add(record.digest)
                        yield record

    async def _wait_for_quiet(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self._engine.batcher.num_waiting and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)

    async def _look(self, record: VersionRecord, adapter: Adapter) -> None:
        if self._residency.is_quarantined(record.digest):
            return
        try:
            expected, tolerance = await self._expected(record)
        except (ServiceError, SKTuningError, OSError) as error:
            log.warning("the golden inputs of %s cannot be read: %s", record.name, error)
            self._metrics.looked("unread", 0.0)
            return
        began = time.monotonic()
        try:
            seen = await self._engine.runner.call(
                golden.replay, expected, adapter, self._engine.classifier, tolerance
            )
        except SelfTestFailed as error:
            self._metrics.looked("changed", time.monotonic() - began)
            await self._quarantine(record, str(error))
            return
        self._metrics.looked("same", time.monotonic() - began)
        self._known.setdefault(record.digest, seen)

    async def _expected(self, record: VersionRecord) -> tuple[Golden, float]:
        """What the adapter answered at the first look; before it, what its artifact says."""
        dtype = dtype_name(self._engine.classifier.base.dtype)
        if (known := self._known.get(record.digest)) is not None:
            return known, REPEATED[dtype]
        folder = await asyncio.to_thread(self._store.fetch, record.digest, record.tenant)
        made = await asyncio.to_thread(artifact.load_golden, folder)
        return replace(made, rows=made.rows[:NUM_ROWS]), max(
            TOLERANCE[made.dtype], TOLERANCE[dtype]
        )

    async def _quarantine(self, record: VersionRecord, found: str) -> None:
        """Refuse it at once, then read it anew."""
        reason = f"it does not answer as it did: {found}"
        self._residency.quarantine(record.digest, reason)
        self._known.pop(record.digest, None)
        self._report(record, "quarantine", reason)
        try:
            await self._residency.reload(record)
        except ServiceError as error:
            reason = f"{reason}; read again, {error.message}"
            self._residency.quarantine(record.digest, reason)
            self._untold[record.digest] = (record, f"{socket.gethostname()}: {reason}")
            await self._keep_in_step()
            return
        self._residency.release(record.digest)
        self._metrics.looked("healed", 0.0)
        self._report(record, "heal", "read anew from the store, it answers as it did")

    async def _keep_in_step(self) -> None:
        """Tell the catalogue what is in quarantine here, and lift what an operator lifted."""
        for digest, (record, reason) in tuple(self._untold.items()):
            if not self._residency.is_quarantined(digest):
                del self._untold[digest]
                continue
            try:
                catalog = self._catalog_of(record.tenant)
                await catalog.quarantine(record.name, record.version, reason)
                await self._registries.of(record.tenant).refresh(record.name)
            except ServiceError as error:
                log.warning("the quarantine of %s cannot be recorded: %s", record.name, error)
                return
            del self._untold[digest]
            self._told[digest] = record
        for digest, record in tuple(self._told.items()):
            if self._is_lifted(record):
                del self._told[digest]
                self._residency.lift(digest)

    def _is_lifted(self, record: VersionRecord) -> bool:
        """Whether the catalogue, as it is known here, says nothing of the quarantine any more."""
        live = self._registries.of(record.tenant).live.get(record.name)
        versions = () if live is None else live.versions
        now = next((v for v in versions if v.version == record.version), None)
        return now is None or now.quarantine is None or now.state is VersionState.RETIRED

    def _report(self, record: VersionRecord, action: str, reason: str) -> None:
        on = f"{record.name}@{record.version}"
        log.error("%s: %s", on, reason)
        audit.record(
            f"adapter.{action}", on, by=WHO, tenant=record.tenant, outcome="done", reason=reason
        )

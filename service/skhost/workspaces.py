"""What each tenant has: its adapters, jobs and what changes them; and the shared ones to read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from skhost.access.record import SHARED
from skhost.admission import Admission
from skhost.background import Background
from skhost.catalog import AdapterRecord, Catalog, Page
from skhost.creation import Creation
from skhost.errors import AdapterNotFound
from skhost.housekeeping import Housekeeping
from skhost.jobs import Jobs
from skhost.registry import Registry
from skhost.releases import Releases
from skhost.transfer import Transfer

OPEN_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Workspace:
    """One tenant's. Everything but `find`, `list` and `exports` knows of no other tenant."""

    tenant: str
    catalog: Catalog
    registry: Registry
    releases: Releases
    transfer: Transfer
    creation: Creation
    jobs: Jobs
    admission: Admission
    keeping: Housekeeping
    shared: "Workspace | None"  # whose adapters this tenant reads; None: they are its own

    async def find(self, name: str) -> AdapterRecord:
        """The adapter of this name: the tenant's own, else the shared one.

        Raises:
            AdapterNotFound: there is neither.
        """
        try:
            return await self.catalog.get(name)
        except AdapterNotFound as missing:
            if self.shared is None:
                raise
            try:
                return await self.shared.catalog.get(name)
            except AdapterNotFound:
                raise missing from None

    async def list(self, cursor: str | None, limit: int) -> Page:
        """Own adapters and shared ones by name; of two with one name, the tenant's own."""
        own = await self.catalog.list(cursor, limit)
        if self.shared is None:
            return own
        theirs = await self.shared.catalog.list(cursor, limit)
        both = {record.name: record for record in (*theirs.adapters, *own.adapters)}
        names = sorted(both)
        has_more = len(names) > limit or own.cursor is not None or theirs.cursor is not None
        page = tuple(both[name] for name in names[:limit])
        return Page(page, page[-1].name if has_more and page else None)

    def exports(self, record: AdapterRecord) -> Transfer:
        """Where an adapter that `find` found is exported from."""
        if self.shared is None or record.tenant == self.tenant:
            return self.transfer
        return self.shared.transfer


class Workspaces:
    """A workspace a tenant, made when it is first asked for.

    Args:
        make: a tenant's workspace, given the shared one.
        home: the tenant of callers without a key.
    """

    def __init__(self, make: Callable[[str, Workspace | None], Workspace], home: str) -> None:
        self._make = make
        self._made: dict[str, Workspace] = {}
        self._background = Background()
        self._is_running = False
        self._home = home
        self._shared = self._new(SHARED, None)
        self.of(home)

    @property
    def home(self) -> Workspace:
        """That of callers without a key."""
        return self._made[self._home]

    def of(self, tenant: str) -> Workspace:
        """The tenant's workspace."""
        return self._made.get(tenant) or self._new(tenant, self._shared)

    @asynccontextmanager
    async def running(self, tenants: Callable[[], Iterable[str]]) -> AsyncIterator[None]:
        """Keep house inside the block, also for `tenants` that nobody has asked for here."""
        self._is_running = True
        for workspace in self._made.values():
            self._keep(workspace)
        self._background.start(self._open(tenants), "opening workspaces")
        try:
            yield
        finally:
            self._is_running = False
            await self._background.close()

    async def _open(self, tenants: Callable[[], Iterable[str]]) -> None:
        while True:
            for tenant in tuple(tenants()):
                self.of(tenant)
            await asyncio.sleep(OPEN_EVERY_S)

    def _new(self, tenant: str, shared: Workspace | None) -> Workspace:
        workspace = self._made[tenant] = self._make(tenant, shared)
        if self._is_running:
            self._keep(workspace)
        return workspace

    def _keep(self, workspace: Workspace) -> None:
        self._background.start(workspace.keeping.run(), f"keeping house for {workspace.tenant}")

"""The registries of all tenants that this replica answers for, and who may use whose adapters."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from skhost.access.record import SHARED
from skhost.errors import AdapterNotFound
from skhost.names import AdapterRef
from skhost.records import VersionRecord
from skhost.registry import Registry


class Registries:
    """A registry a tenant, made when it is first asked for.

    Args:
        make: a tenant's registry.
        home: the tenant of references that name none.
    """

    def __init__(self, make: Callable[[str], Registry], home: str) -> None:
        self._make = make
        self._home = home
        self._made: dict[str, Registry] = {}
        self._tasks: list[asyncio.Task[None]] | None = None  # None: not running
        self.of(home)
        self.of(SHARED)

    @property
    def home(self) -> Registry:
        """That of references that name no tenant."""
        return self._made[self._home]

    @property
    def all(self) -> Mapping[str, Registry]:
        """Those that were made, by tenant."""
        return self._made

    def of(self, tenant: str) -> Registry:
        """The tenant's registry, followed from now on."""
        if tenant not in self._made:
            self._made[tenant] = self._make(tenant)
            self._start(tenant)
        return self._made[tenant]

    async def find(self, ref: AdapterRef) -> VersionRecord:
        """The version that answers to `ref`: the tenant's own, else the shared one.

        Raises:
            AdapterNotFound, VersionNotFound, AliasNotFound: there is none for this tenant.
            RegistryUnavailable: it is not known here, and the catalogue does not answer.
        """
        own, shared = self.of(ref.tenant or self._home), self._made[SHARED]
        for registry in (own, shared):
            if ref.name in registry.live:
                return await registry.find(ref)
        try:
            return await own.find(ref)
        except AdapterNotFound as missing:
            try:
                return await shared.find(ref)
            except AdapterNotFound:
                raise missing from None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All of them follow their catalogues inside the block, also those made in it."""
        self._tasks = []
        for tenant in self._made:
            self._start(tenant)
        try:
            yield
        finally:
            tasks, self._tasks = self._tasks, None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, tenant: str) -> None:
        if self._tasks is not None:
            work = self._made[tenant].run()
            self._tasks.append(asyncio.create_task(work, name=f"skhost-registry-{tenant}"))

"""Which version answers: moved only once this server has loaded and tested it."""

from skhost.catalog import AdapterRecord, Catalog, VersionRecord, VersionState
from skhost.errors import Conflict
from skhost.names import AdapterRef, check_alias
from skhost.registry import Registry
from skhost.residency import Residency


class Releases:
    """Changes of the catalogue that this server can vouch for, and serves when they return."""

    def __init__(self, catalog: Catalog, residency: Residency, registry: Registry) -> None:
        self._catalog = catalog
        self._residency = residency
        self._registry = registry

    async def promote(self, name: str, version: int, alias: str) -> AdapterRecord:
        """Point `alias` at `version`, which is loaded and tested first.

        Raises:
            AdapterNotFound, VersionNotFound: there is none.
            BaseIncompatible, AdapterUnusable, Overloaded: it cannot serve; nothing has moved.
        """
        check_alias(alias)
        record = await self._catalog.get(name)
        await self._residency.prefetch(record.select(version))
        moved = await self._catalog.promote(name, version, alias)
        await self._registry.refresh(name)
        return moved

    async def rollback(self, name: str, alias: str) -> AdapterRecord:
        """Point `alias` back at what it pointed at before.

        Raises:
            AdapterNotFound, AliasNotFound, Conflict: there is nothing to go back to.
            BaseIncompatible, AdapterUnusable, Overloaded: that cannot serve; nothing has moved.
        """
        check_alias(alias)
        record = await self._catalog.get(name)
        before = _before(record, alias)
        if before is not None:
            await self._residency.prefetch(before)
        moved = await self._catalog.rollback(name, alias)
        await self._registry.refresh(name)
        return moved

    async def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias.

        Raises:
            AdapterNotFound, AliasNotFound: there is none.
        """
        await self._catalog.delete_alias(name, alias)
        await self._registry.refresh(name)

    async def pin(self, name: str, *, is_pinned: bool) -> AdapterRecord:
        """Keep what the adapter's aliases point at in memory, or let go of it.

        Raises:
            AdapterNotFound: there is none.
            Conflict: pinned adapters would leave too little memory for others.
        """
        if is_pinned:
            self._check_room(await self._catalog.get(name))
        record = await self._catalog.pin(name, is_pinned=is_pinned)
        await self._registry.refresh(name)
        return record

    async def lift_quarantine(self, name: str, version: int) -> AdapterRecord:
        """Let a version answer again that servers have found to answer differently.

        Raises:
            AdapterNotFound, VersionNotFound: there is none.
        """
        record = await self._catalog.quarantine(name, version, None)
        self._residency.lift(record.select(version).digest)
        await self._registry.refresh(name)
        return record

    def _check_room(self, record: AdapterRecord) -> None:
        live = {**self._registry.live, record.name: record}
        pinned = [each for each in live.values() if each.is_pinned or each.name == record.name]
        sizes = {v.digest: v.nbytes for each in pinned for v in map(each.select, each.aliases)}
        room = self._residency.keepable_bytes(self._catalog.tenant)
        if sum(sizes.values()) > room:
            raise Conflict(
                f"pinned adapters would take {sum(sizes.values())} bytes; this server keeps {room} "
                "at most: unpin another, or give adapters more memory (SKHOST_DEVICE_BUDGET_BYTES)",
                details={"bytes": sum(sizes.values()), "max_bytes": room},
            )

    async def retire(self, ref: AdapterRef) -> None:
        """Take an adapter, or one version of it, out of use.

        Raises:
            AdapterNotFound, VersionNotFound: there is none.
            Conflict: an alias points at the version, or an alias was named.
        """
        if isinstance(ref.selector, str):
            raise Conflict(
                f"{ref} is an alias; remove it with DELETE /adapters/{ref.name}/aliases/"
                f"{ref.selector}, or a version by its number"
            )
        await self._catalog.retire(ref.name, ref.selector)
        await self._registry.refresh(ref.name)


def _before(record: AdapterRecord, alias: str) -> VersionRecord | None:
    """The version that a rollback goes to, as the catalogue will choose it."""
    usable = {v.version: v for v in record.versions if v.state is not VersionState.RETIRED}
    usable.pop(record.aliases.get(alias, 0), None)
    past = record.history.get(alias, ())
    return next((usable[version] for version in past if version in usable), None)

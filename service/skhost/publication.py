"""From an artifact in a folder to a version: checked, stored, tested as in serving, announced."""

import asyncio
import time
from pathlib import Path

from skhost.catalog import Catalog, VersionRecord, VersionState
from skhost.errors import AdapterNotFound, AdapterUnusable, ArtifactRefused, Conflict
from skhost.names import DEFAULT_ALIAS
from skhost.records import Origin
from skhost.registry import Registry
from skhost.residency import Residency
from skhost.store import ArtifactStore
from sktuning import artifact
from sktuning.config import AdapterConfig
from sktuning.errors import ArtifactError

CANDIDATE_NOTE = "imported; promote it to let it answer"


class Publication:
    """Publishes artifacts that this server has tested; what is refused leaves nothing behind."""

    def __init__(
        self, catalog: Catalog, store: ArtifactStore, residency: Residency, registry: Registry
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._residency = residency
        self._registry = registry

    async def publish(
        self,
        name: str,
        folder: Path,
        origin: Origin,
        *,
        promote: bool | None = None,
        is_first: bool = False,
    ) -> VersionRecord:
        """The artifact in `folder` as the next version of `name`.

        Args:
            promote: None: if the adapter has no version that answers.
            is_first: refuse if the adapter has versions already.

        Raises:
            ArtifactRefused: it is broken or hostile, or does not answer as it says.
            BaseIncompatible: it belongs to another base.
            Conflict: it cannot be the first.
        """
        config, digest = await asyncio.to_thread(_checked, folder)
        existed = await asyncio.to_thread(self._store.exists, digest)
        await asyncio.to_thread(self._store.put, folder, digest)
        try:
            nbytes = await self._try_out(name, digest, config)
            alias = DEFAULT_ALIAS if await self._is_promoted(name, promote) else None
            record = await self._catalog.publish(
                name,
                digest,
                base=config.base,
                task=config.task,
                labels=config.labels,
                nbytes=nbytes,
                origin=origin,
                is_first=is_first,
                promote_to=alias,
                note=None if alias else CANDIDATE_NOTE,
            )
        except Conflict:
            raise  # whoever was first may have published this very artifact
        except BaseException:
            if not existed:
                await asyncio.to_thread(self._store.delete, digest)
            raise
        await asyncio.to_thread(self._store.keep, folder, digest)
        await self._registry.refresh(name)
        return record

    async def _try_out(self, name: str, digest: str, config: AdapterConfig) -> int:
        """Load and test the artifact as serving would; its size in memory."""
        provisional = VersionRecord(
            name=name,
            version=0,
            digest=digest,
            base=config.base,
            task=config.task,
            labels=config.labels,
            created_at=time.time(),
            job_id=None,
            metrics={},
            nbytes=0,
            state=VersionState.CANDIDATE,
            tenant=self._catalog.tenant,
        )
        try:
            async with self._residency.pin(provisional) as adapter:
                return adapter.nbytes
        except AdapterUnusable as error:
            self._residency.unload(digest)  # a corrected one may have the same digest
            reason = error.__cause__ or error
            raise ArtifactRefused(f"the adapter cannot be used here: {reason}") from error

    async def _is_promoted(self, name: str, promote: bool | None) -> bool:
        if promote is not None:
            return promote
        try:
            return DEFAULT_ALIAS not in (await self._catalog.get(name)).aliases
        except AdapterNotFound:
            return True


def _checked(folder: Path) -> tuple[AdapterConfig, str]:
    try:
        return artifact.read_config(folder), artifact.verify(folder)
    except ArtifactError as error:
        raise ArtifactRefused(str(error)) from error

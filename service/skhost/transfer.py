"""Adapters out of this server as archives, and into it."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from skhost import archive
from skhost.archive import ArchiveLimits
from skhost.catalog import Catalog, VersionRecord
from skhost.conversion import Conversion
from skhost.errors import InvalidRequest, PayloadTooLarge
from skhost.names import AdapterRef
from skhost.publication import Publication
from skhost.records import Origin
from skhost.store import ArtifactStore
from sktuning.peft.options import ImportOptions


class Form(StrEnum):
    """What an export is."""

    ARTIFACT = "artifact"  # what another server imports
    PEFT = "peft"  # what PEFT loads


@dataclass(frozen=True, slots=True)
class Parcel:
    """An archive on disk, ready to be sent."""

    record: VersionRecord
    path: Path

    def remove(self) -> None:
        """Once it has been sent."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


class Transfer:
    """Exports and imports.

    Args:
        folder: where archives lie while they come or go.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: ArtifactStore,
        publication: Publication,
        conversion: Conversion,
        folder: Path,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._publication = publication
        self._conversion = conversion
        self._folder = folder

    async def export(self, ref: AdapterRef, form: Form = Form.ARTIFACT) -> Parcel:
        """The archive of one version; the caller removes it.

        Raises:
            AdapterNotFound, VersionNotFound, AliasNotFound: no such thing.
            ArtifactRefused, StoreUnavailable: its artifact cannot be read.
            Conflict, BaseMismatch: it has no such form.
        """
        record = (await self._catalog.get(ref.name)).select(ref.selector)
        pack = self._pack if form is Form.ARTIFACT else self._pack_as_peft
        return Parcel(record, await asyncio.to_thread(pack, record.digest))

    @asynccontextmanager
    async def receive(self, chunks: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[Path]:
        """An archive as it arrives, on disk until the block ends.

        Raises:
            PayloadTooLarge: more than `max_bytes`.
        """
        folder = await asyncio.to_thread(self._new_folder)
        try:
            path = folder / "archive.tar.gz"
            await _write(chunks, path, max_bytes)
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def publish(
        self, name: str, path: Path, promote: bool | None, options: ImportOptions | None = None
    ) -> VersionRecord:
        """Check an archive, test what is in it, and publish it as the next version of `name`.

        Args:
            promote: None: if the adapter has no version that answers.
            options: what a PEFT checkpoint does not say of itself; for artifacts there are none.

        Raises:
            ArtifactRefused: it is broken or hostile, or does not answer as it says.
            BaseIncompatible: it belongs to another base.
            InvalidRequest: options for an artifact.
        """
        target = await self._unpacked(path, options or ImportOptions())
        return await self._publication.publish(name, target, Origin.IMPORT, promote=promote)

    async def _unpacked(self, path: Path, options: ImportOptions) -> Path:
        """The artifact that an archive holds, or that its PEFT checkpoint makes."""
        folder, target = path.with_name("unpacked"), path.with_name("artifact")
        if await asyncio.to_thread(_unpack, path, folder) is None:
            await self._conversion.to_artifact(folder, target, options)
            return target
        if options != ImportOptions():
            raise InvalidRequest(
                "labels, task and pairs are for PEFT checkpoints; this artifact states its own"
            )
        return folder

    def _pack(self, digest: str) -> Path:
        source = self._store.get(digest)
        path = self._new_folder() / "archive.tar.gz"
        with path.open("wb") as file:
            archive.pack(source, file)
        return path

    def _pack_as_peft(self, digest: str) -> Path:
        source, folder = self._store.get(digest), self._new_folder()
        path, checkpoint = folder / "archive.tar.gz", folder / "checkpoint"
        try:
            names = self._conversion.to_checkpoint(source, checkpoint)
            with path.open("wb") as file:
                archive.pack_files(checkpoint, names, file)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return path

    def _new_folder(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self._folder))


async def _write(chunks: AsyncIterator[bytes], path: Path, max_bytes: int) -> None:
    num_bytes = 0
    with path.open("wb") as file:
        async for chunk in chunks:
            num_bytes += len(chunk)
            if num_bytes > max_bytes:
                raise PayloadTooLarge(f"an archive may have {max_bytes:,} bytes; more arrived")
            await asyncio.to_thread(file.write, chunk)


def _unpack(path: Path, target: Path) -> str | None:
    with path.open("rb") as file:
        return archive.unpack(file, target, ArchiveLimits())

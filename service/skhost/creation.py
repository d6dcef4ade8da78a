"""Adapters for the first day: a first version made from label names, to be trained over later."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from skhost.catalog import Catalog, VersionRecord, taken
from skhost.errors import AdapterNotFound, InvalidRequest
from skhost.names import check_name
from skhost.publication import Publication
from skhost.records import Origin
from skhost.runner import Runner
from sktuning.classify import Classifier
from sktuning.errors import DataError
from sktuning.zero_shot import Descriptions, Untrained, ZeroShot


class Creation:
    """Makes adapters for the one base that this server holds.

    Args:
        folder: where an artifact lies until it is stored.
    """

    def __init__(
        self,
        catalog: Catalog,
        publication: Publication,
        classifier: Classifier,
        runner: Runner,
        folder: Path,
    ) -> None:
        self._catalog = catalog
        self._publication = publication
        self._classifier = classifier
        self._runner = runner
        self._folder = folder
        self._one_at_a_time = asyncio.Lock()  # the device has other work, too

    async def create(
        self, name: str, labels: Sequence[str], descriptions: Descriptions
    ) -> VersionRecord:
        """The first version of `name`, which answers at once.

        Raises:
            Conflict: the name has versions already.
            sktuning.ConfigError, InvalidRequest: no adapter can be made of these labels.
        """
        check_name(name)
        async with self._one_at_a_time:
            await self._check_is_free(name)
            made = await self._make(labels, descriptions)
            with tempfile.TemporaryDirectory(dir=await self._ready_folder()) as folder:
                target = Path(folder) / "artifact"
                await asyncio.to_thread(made.save, target)
                return await self._publication.publish(
                    name, target, Origin.LABELS, promote=True, is_first=True
                )

    async def _make(self, labels: Sequence[str], descriptions: Descriptions) -> Untrained:
        """A forward at a time, so that those who classify wait for no more than one."""
        work = await asyncio.to_thread(ZeroShot, self._classifier, labels, descriptions)
        steps = work.read()
        while await self._runner.call(next, steps, None) is not None:
            pass
        try:
            return await self._runner.call(work.finish)
        except DataError as error:
            raise InvalidRequest(f"the base makes nothing of these labels: {error}") from error

    async def _check_is_free(self, name: str) -> None:
        try:
            await self._catalog.get(name)
        except AdapterNotFound:
            return
        raise taken(name)

    async def _ready_folder(self) -> Path:
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        return self._folder

"""From an uploaded form to a queued job: nothing is queued that cannot be trained on."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from skhost.errors import ServiceError
from skhost.jobs import Job, Jobs, Upload
from skhost.jobs.request import TrainRequest
from skhost.store import ArtifactStore, upload_ref
from skhost.uploads.read import read_dataset
from skhost.uploads.report import ReadReport

log = logging.getLogger(__name__)

CHECKS_AT_ONCE = 2  # files being read: each may take a core and the memory of its rows


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file on disk until the request that brought it ends."""

    path: Path
    filename: str  # as the client named it: for messages only
    num_bytes: int


@dataclass(frozen=True, slots=True)
class TrainOrder:
    """A training as it was asked for; of the files nothing is known yet."""

    name: str
    file: UploadedFile
    held_out: UploadedFile | None
    request: TrainRequest


class Admission:
    """Checks training orders and turns them into jobs.

    Args:
        checks: shared by all tenants, as the machine is.
    """

    def __init__(
        self, jobs: Jobs, store: ArtifactStore, checks: asyncio.Semaphore | None = None
    ) -> None:
        self._jobs = jobs
        self._store = store
        self._checks = checks or asyncio.Semaphore(CHECKS_AT_ONCE)

    async def submit(
        self, order: TrainOrder, idempotency_key: str | None, traceparent: str | None = None
    ) -> Job:
        """The queued job, with the report on its file.

        Args:
            traceparent: of the request, where it is traced.

        Raises:
            UploadRefused: the file cannot be trained on; `details` say why, row by row.
            JobInProgress: the name is being trained already.
            StoreUnavailable, RegistryUnavailable: nothing was left behind.
        """
        async with self._checks:
            report = await asyncio.to_thread(_check, order)
        order_id = uuid4().hex
        try:
            uploads = await asyncio.to_thread(self._put, order, order_id)
            job = await self._jobs.submit(
                order.name,
                order.request,
                uploads,
                idempotency_key=idempotency_key,
                traceparent=traceparent,
            )
        except BaseException:
            await self._forget(order_id)
            raise
        if tuple(job.uploads) != tuple(uploads):  # the idempotency key had made a job before
            await self._forget(order_id)
        return replace(job, dataset=job.dataset or report.to_dict())

    def _put(self, order: TrainOrder, order_id: str) -> list[Upload]:
        uploads = []
        for index, (role, file) in enumerate(_roles(order)):
            ref = upload_ref(order_id, index)
            self._store.put_file(file.path, ref)
            uploads.append(Upload(role, ref, file.filename, file.num_bytes))
        return uploads

    async def _forget(self, order_id: str) -> None:
        with suppress(ServiceError):  # the store that failed may fail again
            await asyncio.to_thread(self._store.remove, f"uploads/{order_id}")


def _roles(order: TrainOrder) -> Iterable[tuple[str, UploadedFile]]:
    yield "train", order.file
    if order.held_out is not None:
        yield "held_out", order.held_out


def _check(order: TrainOrder) -> ReadReport:
    """Read the files as the training will."""
    held_out = order.held_out
    result = read_dataset(
        order.file.path,
        order.request.reading(),
        held_out=None if held_out is None else held_out.path,
        filename=order.file.filename,
        held_out_filename=None if held_out is None else held_out.filename,
    )
    return result.report

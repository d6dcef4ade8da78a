"""Training jobs as the HTTP layer sees them: submit, look, follow, cancel, resume."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from time import time
from typing import Any, Final
from uuid import uuid4

from redis.asyncio import Redis

from skhost.connection import registry_errors
from skhost.errors import JobNotFound, JobStateConflict
from skhost.jobs.entrance import Entrance
from skhost.jobs.events import Event, read_events
from skhost.jobs.ledger import Ledger, Write
from skhost.jobs.queue import LEASE_S, client_beside, training_queue
from skhost.jobs.record import RESUMABLE, TERMINAL, WORKING, Job, JobState
from skhost.jobs.request import TrainRequest, Upload
from skhost.keys import WORKER_TTL_S, CommonKeys, Keys

WAITING: Final = (
    "no worker is running, so the job waits for one; start one with `skhost worker` "
    "(`skhost up` has its own)"
)
_PAGE: Final = 50
_SCAN: Final = 200


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker that was heard of lately."""

    id: str
    host: str
    pid: int
    started_at: float
    heartbeat_at: float
    job: str | None  # id of the job it works on, if it is the tenant's

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, newest first; `cursor` asks for those behind them, None at the end."""

    jobs: tuple[Job, ...]
    cursor: str | None


class Jobs:
    """All training jobs of a tenant. Keeps nothing: every answer is read from Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._ledger = Ledger(redis, keys)
        client = client_beside(redis)
        self._entrance = Entrance(client, keys, training_queue(client, keys))

    async def submit(
        self,
        name: str,
        request: TrainRequest,
        uploads: Sequence[Upload],
        *,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> Job:
        """Queue a training of the adapter `name`; all of it is recorded, or nothing.

        Args:
            uploads: files that are in the store already.
            idempotency_key: the same key again gives the job that it made the first time.
            traceparent: what the job is a part of, as W3C spells it.

        Raises:
            JobInProgress: the name is being trained already; `details["job_id"]` says by which.
            RegistryUnavailable: Redis does not answer; nothing was left behind.
        """
        now = time()
        job = Job(
            id=uuid4().hex[:16],
            name=name,
            tenant=self._keys.tenant,
            state=JobState.QUEUED,
            request=request,
            uploads=tuple(uploads),
            created_at=now,
            queued_at=now,
            traceparent=traceparent,
        )
        with registry_errors():
            job_id = await asyncio.to_thread(self._entrance.admit, job, idempotency_key)
        return await self.get(job_id)

    async def get(self, job_id: str) -> Job:
        """The job as it is now.

        Raises:
            JobNotFound: no job has this id, or it ended long ago.
        """
        keys = self._keys
        with registry_errors():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hgetall(keys.job(job_id))
            pipeline.mget(keys.job_fence(job_id), keys.job_cancel(job_id), keys.job_report(job_id))
            stored, (fence, cancel, report) = await pipeline.execute()
            if not stored:
                raise JobNotFound(f"there is no job {job_id[:64]}; `GET /train` lists them")
            job = Job.from_hash(
                stored,
                fence=int(fence or 0),
                cancel_requested=cancel is not None,
                dataset=None if report is None else json.loads(report),
            )
            return await self._noting_absence(job)

    async def list(
        self,
        *,
        cursor: str | None = None,
        limit: int = _PAGE,
        state: JobState | None = None,
        name: str | None = None,
    ) -> JobPage:
        """Jobs, the newest first, those of one state or name if asked for."""
        found: list[Job] = []
        below = "+inf" if cursor is None else f"({float(cursor)!r}"
        while True:
            with registry_errors():
                page: Any = await self._redis.zrevrangebyscore(
                    self._keys.jobs(), below, "-inf", start=0, num=_SCAN, withscores=True
                )
            for job_id, score in page:
                below = f"({float(score)!r}"
                job = await self._get_or_forget(str(job_id))
                if job is not None and state in (None, job.state) and name in (None, job.name):
                    found.append(job)
                if len(found) == limit:
                    return JobPage(tuple(found), below[1:])
            if len(page) < _SCAN:
                return JobPage(tuple(found), None)

    async def cancel(self, job_id: str) -> Job:
        """Ask the job to stop. One that waits ends at once, one that works within a step.

        Raises:
            JobNotFound: no job has this id.
            JobStateConflict: it has ended, or its version is just being published.
        """
        job = await self.get(job_id)
        if job.state in TERMINAL or job.state is JobState.PUBLISHING:
            raise JobStateConflict(
                f"job {job_id} is {job.state} and cannot be cancelled", details={"state": job.state}
            )
        with registry_errors():
            if job.state is JobState.QUEUED or self._is_abandoned(job):
                await self._end_now(job)
            else:
                await self._ledger.ask_to_stop(job_id)
        return await self.get(job_id)

    async def resume(self, job_id: str) -> Job:
        """Queue a job that failed or was cancelled again; it goes on from its checkpoint.

        Raises:
            JobNotFound: no job has this id.
            JobStateConflict: it has not ended, or it succeeded.
            JobInProgress: another job trains the same name.
        """
        job = await self.get(job_id)
        if job.state not in RESUMABLE:
            raise JobStateConflict(
                f"job {job_id} is {job.state}; only failed and cancelled jobs can be resumed",
                details={"state": job.state},
            )
        with registry_errors():
            await asyncio.to_thread(self._entrance.readmit, job)
        return await self.get(job_id)

    async def events(self, job_id: str, after: str | None = None) -> AsyncIterator[Event]:
        """What happened, from the start or behind the event `after`, until the job has ended.

        Raises:
            JobNotFound: no job has this id.
            InvalidRequest: `after` is not an event id.
        """

        async def state() -> JobState:
            return (await self.get(job_id)).state

        await state()
        key = self._keys.job_events(job_id)
        async for event in read_events(self._redis, key, after, state):
            yield event

    async def workers(self) -> tuple[WorkerStatus, ...]:
        """Workers that were heard of lately, the oldest first; all tenants share them."""
        key = CommonKeys().workers()
        with registry_errors():
            await self._redis.zremrangebyscore(key, "-inf", time() - WORKER_TTL_S)
            alive: Any = await self._redis.zrange(key, 0, -1, withscores=True)
            found = [await self._worker(str(name), float(at)) for name, at in alive]
        living = (worker for worker in found if worker is not None)
        return tuple(sorted(living, key=lambda worker: worker.started_at))

    async def _worker(self, name: str, heartbeat_at: float) -> WorkerStatus | None:
        stored: Any = await self._redis.hgetall(CommonKeys().worker(name))
        if not stored:
            return None
        is_ours = stored.get("tenant") == self._keys.tenant
        return WorkerStatus(
            id=name,
            host=stored["host"],
            pid=int(stored["pid"]),
            started_at=float(stored["started_at"]),
            heartbeat_at=heartbeat_at,
            job=(stored.get("job") or None) if is_ours else None,
        )

    async def _get_or_forget(self, job_id: str) -> Job | None:
        try:
            return await self.get(job_id)
        except JobNotFound:  # its record has expired
            await self._redis.zrem(self._keys.jobs(), job_id)
            return None

    async def _end_now(self, job: Job) -> None:
        end = Write(JobState.CANCELLED, values={"finished_at": time()})
        try:
            await self._ledger.write(job.id, job.name, end)
        except JobStateConflict:  # it ended in this moment, by itself
            return
        await asyncio.to_thread(self._entrance.discard, job)

    def _is_abandoned(self, job: Job) -> bool:
        """Whether its training process has not been heard of for longer than a lease."""
        heard = max(job.heartbeat_at or 0.0, job.queued_at)
        return job.state in WORKING and time() - heard > LEASE_S

    async def _noting_absence(self, job: Job) -> Job:
        """The job, said to wait for a worker if it does; the first to see it tells the stream."""
        if job.state is not JobState.QUEUED or await self.workers():
            return job
        waiting = replace(job, waiting_for_worker=True, message=WAITING)
        key = self._keys.job(job.id)
        if await self._redis.hsetnx(key, f"waiting:{job.dispatch}", "1"):
            note = Write(event="waiting", data={"message": WAITING})
            await self._ledger.write(job.id, job.name, note)
        return waiting

"""Where jobs come into the queue: record, lock, first event and queue entry in one transaction."""

from time import time
from typing import Any, Final

from redis import Redis
from redis.exceptions import WatchError

from skhost.errors import JobInProgress, JobStateConflict
from skhost.jobs.queue import TrainingQueue, discard, enqueue
from skhost.jobs.record import RESUMABLE, TERMINAL, Job, JobState, encode
from skhost.keys import EVENTS_MAX_LENGTH, IDEMPOTENCY_TTL_S, Keys

_QUEUED_EVENT: Final = {"kind": "state", "data": '{"state": "queued"}'}
_FORGOTTEN: Final = ("finished_at", "started_at", "error", "result", "heartbeat_at", "worker")


class Entrance:
    """Admits jobs. Synchronous, because RQ is; call it in a thread."""

    def __init__(self, client: Redis, keys: Keys, queue: TrainingQueue) -> None:
        self._client = client
        self._keys = keys
        self._queue = queue

    def admit(self, job: Job, idempotency_key: str | None = None) -> str:
        """Record and queue a new job; returns its id, or that of the job the key made before.

        Raises:
            JobInProgress: the name is being trained already.
        """
        while True:
            with self._client.pipeline() as pipeline:
                try:
                    return self._try_admit(pipeline, job, idempotency_key)
                except WatchError:  # someone else was faster: look again
                    continue

    def readmit(self, job: Job) -> None:
        """Queue a job that has ended again.

        Raises:
            JobInProgress: another job trains the name.
            JobStateConflict: the job is no longer one that can be resumed.
        """
        while True:
            with self._client.pipeline() as pipeline:
                try:
                    self._try_readmit(pipeline, job)
                except WatchError:
                    continue
                return

    def discard(self, job: Job) -> None:
        """Take the job's entry out of the queue."""
        discard(self._queue, job.id, job.dispatch)

    def _try_admit(self, pipeline: Any, job: Job, idempotency_key: str | None) -> str:
        known = self._known(pipeline, idempotency_key)
        if known is not None:
            return known
        self._check_name(pipeline, job)
        pipeline.multi()
        if idempotency_key is not None:
            key = self._keys.idempotency(idempotency_key)
            pipeline.set(key, job.id, ex=IDEMPOTENCY_TTL_S)
        pipeline.zadd(self._keys.jobs(), {job.id: job.created_at})
        pipeline.hset(self._keys.job(job.id), mapping=job.to_hash())
        self._queue_in(pipeline, job, job.dispatch)
        return job.id

    def _try_readmit(self, pipeline: Any, job: Job) -> None:
        keys = self._keys
        pipeline.watch(keys.job(job.id))
        state = self._state(pipeline, job.id)
        if state not in RESUMABLE:
            raise JobStateConflict(f"job {job.id} is {state}; it was resumed or ended just now")
        self._check_name(pipeline, job)
        pipeline.multi()
        pipeline.hdel(keys.job(job.id), *_FORGOTTEN)
        again = {"state": JobState.QUEUED, "dispatch": job.dispatch + 1, "queued_at": time()}
        pipeline.hset(keys.job(job.id), mapping=encode({**again, "attempt": 0}))
        pipeline.delete(keys.job_cancel(job.id))
        for key in (keys.job, keys.job_events, keys.job_fence, keys.job_report):
            pipeline.persist(key(job.id))
        self._queue_in(pipeline, job, job.dispatch + 1)

    def _queue_in(self, pipeline: Any, job: Job, dispatch: int) -> None:
        keys = self._keys
        pipeline.set(keys.name_lock(job.name), job.id)
        pipeline.zadd(keys.active_jobs(), {job.id: time()})
        pipeline.xadd(
            keys.job_events(job.id), _QUEUED_EVENT, maxlen=EVENTS_MAX_LENGTH, approximate=False
        )
        enqueue(self._queue, job.id, dispatch, pipeline)
        pipeline.execute()

    def _known(self, pipeline: Any, idempotency_key: str | None) -> str | None:
        if idempotency_key is None:
            return None
        pipeline.watch(self._keys.idempotency(idempotency_key))
        found: Any = pipeline.get(self._keys.idempotency(idempotency_key))
        return None if found is None else str(found.decode())

    def _check_name(self, pipeline: Any, job: Job) -> None:
        """Watch the name's lock; a job that has ended, or is gone, no longer holds it."""
        pipeline.watch(self._keys.name_lock(job.name))
        holder: Any = pipeline.get(self._keys.name_lock(job.name))
        if holder is None or holder.decode() == job.id:
            return
        pipeline.watch(self._keys.job(holder.decode()))
        state = self._state(pipeline, holder.decode())
        if state is not None and state not in TERMINAL:
            raise JobInProgress(
                f"adapter {job.name!r} is being trained by job {holder.decode()} ({state}); "
                "wait for it, or cancel it",
                details={"job_id": holder.decode(), "state": state},
            )

    def _state(self, pipeline: Any, job_id: str) -> JobState | None:
        found: Any = pipeline.hget(self._keys.job(job_id), "state")
        return None if found is None else JobState(found.decode())

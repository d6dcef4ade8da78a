"""How RQ carries training jobs: what is queued, with which settings, on which connection.

A queue entry holds a job's id and a dispatch number and nothing else; our own record says
everything about the job, also how often it may be tried. RQ is only asked to bring every entry
to a worker until the record says that there is nothing left to do.
"""

from typing import Any, Final, cast

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.client import Pipeline
from redis.retry import Retry as ConnectionRetry
from rq import Queue, Retry
from rq.job import Job as Entry
from rq.serializers import JSONSerializer

from skhost.connection import TIMEOUT_S
from skhost.keys import Keys

# Measured with a worker killed in mid-job: RQ's defaults let the job wait 89 s for the dead
# worker's lease and up to 600 s for the sweep that looks for it. With these it waits 6 to 9 s,
# which leaves the rest of 20 s to starting a process, torch and the base.
LEASE_S: Final = 6  # of an entry that is worked on; renewed every MONITORING_S
MONITORING_S: Final = 2
IDLE_S: Final = 1  # how long an idle worker blocks before it looks for expired leases
MAINTENANCE_S: Final = 1
WORKER_TTL_S: Final = 20
RESULT_TTL_S: Final = 600  # of RQ's own bookkeeping; our record outlives it
NO_TIMEOUT: Final = -1  # RQ's default would end a training after 180 s
_MAINTENANCE_LOCK_S: Final = 10

# The record's own attempt counter decides when to give up, so RQ never does. An entry that was
# started goes to the front: others have waited less.
CARRY_ON: Final = Retry(max=1_000_000, enqueue_at_front=True)

_FUNCTION: Final = "skhost.jobs.launch.never_called"
_SHARED: Final = ("host", "port", "path", "db", "username", "password")
_PATIENCE: Final = 60  # tries of a command at up to 1 s each: a restart of Redis is waited out


class TrainingQueue(Queue):  # type: ignore[misc]  # rq is not followed
    """An RQ queue whose maintenance lock does not outlive a killed worker by a quarter hour."""

    def acquire_maintenance_lock(self) -> bool:
        """Whether this worker may look for expired leases now."""
        key, ttl = self.registry_cleaning_key, _MAINTENANCE_LOCK_S
        return bool(self.connection.set(key, 1, nx=True, ex=ttl))


def patient_client(url: str) -> Redis:
    """A synchronous client, as RQ needs it, that waits for a server that is restarting."""
    return Redis.from_url(url, retry=_patience())


def client_beside(redis: AsyncRedis) -> Redis:
    """A synchronous client of the server that an asynchronous one talks to."""
    pool = redis.connection_pool
    known = pool.connection_kwargs
    kwargs = {name: known[name] for name in _SHARED if known.get(name) is not None}
    if "path" in kwargs:
        kwargs["unix_socket_path"] = kwargs.pop("path")
    if "SSL" in pool.connection_class.__name__:
        kwargs |= {"ssl": True} | {n: v for n, v in known.items() if n.startswith("ssl_")}
    return Redis(
        **kwargs,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=ConnectionRetry(NoBackoff(), 1),  # somebody waits for the answer
    )


def training_queue(client: Redis, keys: Keys) -> TrainingQueue:
    """The tenant's queue; JSON only, never pickle."""
    return TrainingQueue(keys.train_queue(), connection=client, serializer=JSONSerializer)


def entry_id(job_id: str, dispatch: int) -> str:
    """The id of a queue entry; each dispatch of a job has one of its own."""
    return f"{job_id}-{dispatch}"


def enqueue(queue: TrainingQueue, job_id: str, dispatch: int, pipeline: Pipeline) -> None:
    """Add the commands that queue a job to a transaction."""
    queue.enqueue_call(
        _FUNCTION,
        args=(job_id, dispatch),
        job_id=entry_id(job_id, dispatch),
        timeout=NO_TIMEOUT,
        result_ttl=RESULT_TTL_S,
        failure_ttl=RESULT_TTL_S,
        description=f"train {job_id}",
        retry=CARRY_ON,
        pipeline=pipeline,
    )


def is_carried(queue: TrainingQueue, job_id: str, dispatch: int) -> bool:
    """Whether RQ still knows of the entry: it waits in the queue, or a worker holds its lease."""
    entry = entry_id(job_id, dispatch)
    if queue.get_job_position(entry) is not None:
        return True
    return entry in queue.started_job_registry.get_job_ids(cleanup=False)


def discard(queue: TrainingQueue, job_id: str, dispatch: int) -> None:
    """Take an entry out of the queue; if a worker has it already, the record stops it."""
    entry = cast(Any, queue.fetch_job(entry_id(job_id, dispatch)))
    if isinstance(entry, Entry):
        queue.remove(entry)
        entry.delete(remove_from_queue=False)


def _patience() -> ConnectionRetry:
    return ConnectionRetry(ExponentialBackoff(cap=1.0, base=0.05), _PATIENCE)

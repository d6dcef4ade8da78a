"""The net below RQ: a job that our records call active and that nobody carries is queued again."""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from time import time
from typing import Any, Final

from redis import Redis
from redis.exceptions import WatchError

from skhost.jobs.queue import LEASE_S, TrainingQueue, enqueue, is_carried
from skhost.jobs.record import TERMINAL, JobState
from skhost.keys import Keys

log = logging.getLogger(__name__)

# Long enough for RQ's own recovery to come first, short enough for 20 s in all.
GRACE_S: Final = LEASE_S + 4.0


def sweep(client: Redis, keys: Keys, queue: TrainingQueue) -> list[str]:
    """Queue lost jobs again and return their ids.

    RQ loses an entry when a worker is killed between taking it and starting its horse: it is
    then neither queued nor started.
    """
    found: Any = client.zrange(keys.active_jobs(), 0, -1)
    return [job_id.decode() for job_id in found if _sweep_one(client, keys, queue, job_id.decode())]


def clear_folders(client: Redis, tenants: Sequence[Keys], data_dir: Path) -> None:
    """Remove local checkpoints and work files of jobs that have succeeded or are forgotten."""
    for folder in (*data_dir.glob("checkpoints/*/"), *data_dir.glob("training/*/")):
        states: list[Any] = [client.hget(keys.job(folder.name), "state") for keys in tenants]
        if all(state is None or state.decode() == JobState.SUCCEEDED for state in states):
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_name(f"{folder.name}.token").unlink(missing_ok=True)


def _sweep_one(client: Redis, keys: Keys, queue: TrainingQueue, job_id: str) -> bool:
    pipeline: Any
    with client.pipeline() as pipeline:
        pipeline.watch(keys.job(job_id))
        record = pipeline.hgetall(keys.job(job_id))
        if not record or JobState(record[b"state"].decode()) in TERMINAL:
            client.zrem(keys.active_jobs(), job_id)
            return False
        dispatch = int(record[b"dispatch"])
        if time() - _last_sign(record) < GRACE_S or is_carried(queue, job_id, dispatch):
            return False
        return _requeue(pipeline, keys, queue, job_id, dispatch + 1)


def _requeue(pipeline: Any, keys: Keys, queue: TrainingQueue, job_id: str, dispatch: int) -> bool:
    pipeline.multi()
    pipeline.hset(keys.job(job_id), mapping={"dispatch": dispatch, "queued_at": time()})
    enqueue(queue, job_id, dispatch, pipeline)
    try:
        pipeline.execute()
    except WatchError:  # someone else moved the job: nothing is lost
        return False
    log.warning("job %s was carried by nobody and is queued again", job_id)
    return True


def _last_sign(record: dict[bytes, bytes]) -> float:
    times = (record.get(name) for name in (b"queued_at", b"heartbeat_at"))
    return max((float(json.loads(t)) for t in times if t is not None), default=0.0)

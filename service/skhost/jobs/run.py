"""The training process: `python -m skhost.jobs.run JOB DISPATCH WORKER PARENT`.

Started by `skhost.jobs.launch` for one attempt at one job. The event loop has the main thread;
torch has another, so that heartbeats, cancelling and signals never wait for a forward.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from skhost.connection import TIMEOUT_S
from skhost.errors import ServiceError
from skhost.exits import leave
from skhost.jobs.attempt import Attempt, Ending, Work
from skhost.jobs.context import Context, WorkFactory
from skhost.jobs.jobs import Jobs
from skhost.jobs.launch import die_with
from skhost.jobs.ledger import Claim, Ledger
from skhost.jobs.line import Line, StopReason
from skhost.jobs.record import Job
from skhost.jobs.session import give_way
from skhost.jobs.traced import traced
from skhost.keys import Keys
from skhost.logs import configure_logging
from skhost.settings import Settings

log = logging.getLogger(__name__)

_PATIENCE: Final = 60  # tries of a command at up to 1 s each


def main(arguments: Sequence[str], make_work: WorkFactory) -> int:
    """Make one attempt at a job; returns the exit code."""
    job_id, dispatch, worker, parent = arguments
    die_with(int(parent))
    settings = Settings()
    os.nice(settings.worker_nice)
    give_way(settings.worker_nice)
    configure_logging(settings.log_level, settings.log_format)
    return int(asyncio.run(_attempt(settings, job_id, int(dispatch), worker, make_work)))


async def _attempt(
    settings: Settings, job_id: str, dispatch: int, worker: str, make_work: WorkFactory
) -> Ending:
    keys = Keys(settings.tenant)
    async with _patient_client(str(settings.redis_url)) as redis:
        ledger, line = Ledger(redis, keys), Line()
        claim = await ledger.claim(job_id, dispatch, worker)
        if claim is None:
            log.info("job %s is no longer for this queue entry", job_id)
            return Ending.DONE
        job = await _claimed(ledger, Jobs(redis, keys), job_id, claim)
        if job is None:
            return Ending.DONE
        context = Context(settings, redis, keys, job, line)
        attempt = Attempt(ledger, job, claim, line)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, attempt.stop, StopReason.HANDED_BACK)
        async with traced(settings.otlp_endpoint, job) as watched:
            return await attempt.run(lambda: watched(make_work(context)))


async def _claimed(ledger: Ledger, jobs: Jobs, job_id: str, claim: Claim) -> Job | None:
    """The job; one whose record cannot be read fails for good, or it would come back for ever."""
    try:
        return await jobs.get(job_id)
    except ServiceError as error:
        if error.status >= 500:
            raise
        log.error("job %s cannot be read: %s", job_id, error)
        await ledger.refuse(job_id, claim, error)
        return None


def _patient_client(url: str) -> Redis:
    """A client that waits for a Redis that is restarting."""
    retry = Retry(ExponentialBackoff(cap=1.0, base=0.05), _PATIENCE)
    return Redis.from_url(
        url,
        decode_responses=True,
        retry=retry,
        socket_timeout=TIMEOUT_S,  # a network that swallows packets tells nobody
        socket_connect_timeout=TIMEOUT_S,
    )


def _training(context: Context) -> Work:
    """The real work; imported late, so that the job is claimed before torch is loaded."""
    from skhost.jobs.training import Training

    return Training(context)


if __name__ == "__main__":
    leave(main(sys.argv[1:], _training))

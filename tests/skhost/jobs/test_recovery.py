import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic, time
from typing import Any

import psutil
import pytest
from redis.asyncio import Redis
from training_jobs import Workers, at_step, collected, reached, until

from skhost.connection import connect
from skhost.jobs import Job, Jobs, JobState, TrainRequest
from skhost.jobs.attempt import MAX_ATTEMPTS
from skhost.jobs.ledger import Ledger, StaleClaim, Write
from skhost.jobs.queue import client_beside, entry_id, is_carried, training_queue
from skhost.jobs.sweep import GRACE_S, sweep
from skhost.keys import Keys
from skhost.settings import Settings
from skhost.valkey import EmbeddedValkey

pytestmark = pytest.mark.anyio


async def _published(redis: Redis, job: Job) -> list[int]:
    return [int(token) for token in await redis.lrange(f"published:{job.id}", 0, -1)]


async def _next_attempt(jobs: Jobs, job: Job, within_s: float) -> Job:
    """The job once a later attempt has reported a step of its own."""

    def goes_on(seen: Job) -> bool:
        return seen.fence > job.fence and seen.resumed_from is not None

    return await until(lambda: jobs.get(job.id), goes_on, within_s=within_s)


async def test_a_killed_training_process_is_replaced_at_once(
    jobs: Jobs, workers: Workers, redis_client: Redis
) -> None:
    workers.start()
    job = await jobs.submit("long", TrainRequest(), ())
    before = await at_step(jobs, job.id, 12)
    (trainer,) = workers.trainers()
    trainer.kill()
    again = await _next_attempt(jobs, before, within_s=5.0)
    assert again.attempt == 2
    done = await reached(jobs, job.id, JobState.SUCCEEDED)
    assert (done.resumed_from or 0) >= 10
    assert (done.steps_lost or 0) <= 5
    assert await _published(redis_client, done) == [2]
    events = await collected(jobs.events(job.id))
    (resumed,) = [event for event in events if event.kind == "resumed"]
    assert resumed.data == {
        "resumed_from": done.resumed_from,
        "steps_lost": done.steps_lost,
        "attempt": 2,
        "fence": 2,
    }


async def test_a_killed_workers_job_goes_on_elsewhere_within_20_s(
    jobs: Jobs, workers: Workers, redis_client: Redis
) -> None:
    first = workers.start()
    job = await jobs.submit("long", TrainRequest(), ())
    before = await at_step(jobs, job.id, 12)
    workers.start()
    first.kill()
    killed_at = monotonic()
    await _next_attempt(jobs, before, within_s=20.0)
    assert monotonic() - killed_at < 20
    assert len(workers.trainers()) == 1
    done = await reached(jobs, job.id, JobState.SUCCEEDED)
    assert done.worker != before.worker
    assert (done.resumed_from or 0) >= 10
    assert await _published(redis_client, done) == [2]


async def test_a_process_that_is_killed_every_time_fails_the_job(
    jobs: Jobs, workers: Workers, redis_client: Redis, keys: Keys
) -> None:
    job = await jobs.submit("endless", TrainRequest(), ())
    await redis_client.hset(keys.job(job.id), "attempt", str(MAX_ATTEMPTS - 1))
    workers.start()
    await at_step(jobs, job.id, 3)
    (trainer,) = workers.trainers()
    trainer.kill()
    failed = await reached(jobs, job.id, JobState.FAILED)
    assert failed.error is not None
    assert failed.error.code == "training_died"
    assert "killed 5 times" in failed.error.message
    other = await jobs.submit("endless", TrainRequest(), ())  # the name is free again
    await jobs.cancel(other.id)


async def test_a_trainer_that_was_replaced_ends_and_writes_nothing(
    jobs: Jobs, workers: Workers, redis_client: Redis, keys: Keys
) -> None:
    workers.start()
    job = await jobs.submit("endless", TrainRequest(), ())
    await at_step(jobs, job.id, 3)
    (trainer,) = workers.trainers()
    trainer.suspend()
    try:
        claim = await Ledger(redis_client, keys).claim(job.id, 1, "another")
        assert claim is not None
        assert (claim.token, claim.attempt) == (2, 2)
        events = await redis_client.xlen(keys.job_events(job.id))
    finally:
        trainer.resume()
    await until(workers.trainers_now, lambda found: found == [], within_s=5.0)
    assert await redis_client.xlen(keys.job_events(job.id)) == events
    now = await jobs.get(job.id)
    assert (now.worker, now.fence, now.state) == ("another", 2, JobState.VALIDATING)


async def test_a_record_that_cannot_be_read_ends_its_job(
    jobs: Jobs, workers: Workers, redis_client: Redis, keys: Keys
) -> None:
    job = await jobs.submit("mood", TrainRequest(), ())
    request = await redis_client.hget(keys.job(job.id), "request")
    await redis_client.hset(keys.job(job.id), "request", '{"gate": "sometimes"}')
    workers.start()

    async def state() -> Any:
        return await redis_client.hget(keys.job(job.id), "state")

    await until(state, lambda found: found == JobState.FAILED)
    assert not await redis_client.exists(keys.name_lock("mood"))
    await redis_client.hset(keys.job(job.id), "request", str(request))
    failed = await jobs.get(job.id)
    assert failed.error is not None
    assert "'sometimes' is not a valid Gate" in failed.error.message


async def test_a_stale_token_writes_nothing(jobs: Jobs, redis_client: Redis, keys: Keys) -> None:
    ledger = Ledger(redis_client, keys)
    job = await jobs.submit("mood", TrainRequest(), ())
    old = await ledger.claim(job.id, 1, "w1")
    new = await ledger.claim(job.id, 1, "w2")
    assert old is not None
    assert new is not None
    before = await redis_client.hgetall(keys.job(job.id))
    step = Write(token=old.token, values={"progress": {"step": 9}}, event="progress")
    with pytest.raises(StaleClaim):
        await ledger.write(job.id, "mood", step)
    with pytest.raises(StaleClaim):
        await ledger.write(job.id, "mood", Write(JobState.RUNNING, token=old.token))
    assert await redis_client.hgetall(keys.job(job.id)) == before
    assert await redis_client.xlen(keys.job_events(job.id)) == 2  # queued, waiting
    await ledger.write(job.id, "mood", Write(JobState.RUNNING, token=new.token))
    assert (await jobs.get(job.id)).state is JobState.RUNNING


async def test_an_old_queue_entry_cannot_claim_a_job_that_was_queued_again(
    jobs: Jobs, redis_client: Redis, keys: Keys
) -> None:
    ledger = Ledger(redis_client, keys)
    job = await jobs.submit("mood", TrainRequest(), ())
    await jobs.cancel(job.id)
    assert await ledger.claim(job.id, 1, "w1") is None
    await jobs.resume(job.id)
    assert await ledger.claim(job.id, 1, "w1") is None
    assert await ledger.claim(job.id, 2, "w1") is not None


async def test_an_entry_that_rq_lost_is_queued_again(
    jobs: Jobs, workers: Workers, redis_client: Redis, keys: Keys
) -> None:
    job = await jobs.submit("mood", TrainRequest(), ())
    client = client_beside(redis_client)
    queue = training_queue(client, keys)
    # What is left when a worker is killed after it took the entry, before its horse has begun.
    taken = client.lmove(queue.key, queue.intermediate_queue_key)
    assert taken == entry_id(job.id, 1).encode()
    assert not is_carried(queue, job.id, 1)
    assert sweep(client, keys, queue) == []  # it may be about to begin
    client.hset(keys.job(job.id), "queued_at", time() - GRACE_S)
    assert sweep(client, keys, queue) == [job.id]
    assert sweep(client, keys, queue) == []
    workers.start()
    done = await reached(jobs, job.id, JobState.SUCCEEDED)
    assert (done.dispatch, done.attempt) == (2, 1)
    assert await _published(redis_client, done) == [1]
    client.close()


async def test_a_job_whose_worker_is_gone_can_be_cancelled(
    jobs: Jobs, redis_client: Redis, keys: Keys
) -> None:
    ledger = Ledger(redis_client, keys)
    job = await jobs.submit("mood", TrainRequest(), ())
    claim = await ledger.claim(job.id, 1, "gone")
    assert claim is not None
    for name in ("heartbeat_at", "queued_at"):
        await redis_client.hset(keys.job(job.id), name, str(time() - 60))
    assert (await jobs.cancel(job.id)).state is JobState.CANCELLED
    with pytest.raises(StaleClaim):
        await ledger.write(job.id, "mood", Write(JobState.RUNNING, token=claim.token))


async def test_a_restart_of_valkey_keeps_jobs_and_events_and_the_training_goes_on(
    tmp_path: Path,
) -> None:
    with EmbeddedValkey(tmp_path) as server:
        settings = Settings(redis_url=server.url, data_dir=tmp_path, worker_nice=0)
        workers = Workers(settings)
        redis = connect(server.url)
        try:
            jobs = Jobs(redis, Keys())
            workers.start()
            job = await jobs.submit("long", TrainRequest(), ())
            await at_step(jobs, job.id, 8)
            before: Any = await redis.xrange(Keys().job_events(job.id))
            assert server.pid is not None
            # Everything written a second ago is on disk (appendfsync everysec); a clean stop
            # writes all of it.
            os.kill(server.pid, signal.SIGTERM)
            await until(_is_running(server), lambda running: not running)
            server.start()
            done = await reached(jobs, job.id, JobState.SUCCEEDED, within_s=30)
            after: Any = await redis.xrange(Keys().job_events(job.id))
            assert after[: len(before)] == before
            assert (done.attempt, done.steps_lost) == (1, None)
            assert await _published(redis, done) == [1]
        finally:
            workers.end()
            await redis.aclose()


def _is_running(server: EmbeddedValkey) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return server.is_running()

    return look


async def test_only_the_worker_killed_leaves_no_second_trainer(
    jobs: Jobs, workers: Workers
) -> None:
    first = workers.start()
    job = await jobs.submit("endless", TrainRequest(), ())
    await at_step(jobs, job.id, 2)
    (trainer,) = workers.trainers()
    first.kill()
    assert psutil.wait_procs([trainer], timeout=2.0)[1] == []
    await jobs.cancel(job.id)

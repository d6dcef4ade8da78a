import asyncio

import pytest
from redis.asyncio import Redis
from training_jobs import Workers, at_step, collected, reached, until

from skhost.errors import JobInProgress, JobNotFound, JobStateConflict, RegistryUnavailable
from skhost.jobs import Jobs, JobState, TrainRequest, Upload
from skhost.jobs.record import TERMINAL
from skhost.keys import CommonKeys, Keys

pytestmark = pytest.mark.anyio

UPLOADS = (Upload("train", "sha256:00", "reviews.csv", 12),)


async def test_a_job_goes_through_its_states_and_tells_all_of_it(
    jobs: Jobs, workers: Workers, redis_client: Redis, keys: Keys
) -> None:
    workers.start()
    job = await jobs.submit("mood", TrainRequest(seed=3), UPLOADS)
    events = await collected(jobs.events(job.id))
    states = [e.data["state"] for e in events if e.kind == "state"]
    assert states == [
        *("queued", "validating", "running", "evaluating", "publishing", "succeeded"),
    ]
    steps = [e.data["step"] for e in events if e.kind == "progress"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 20
    job = await jobs.get(job.id)
    assert (job.state, job.attempt, job.fence) == (JobState.SUCCEEDED, 1, 1)
    assert job.result == {"version": 1, "steps": 20}
    assert job.dataset == {"num_rows": 20}
    assert job.uploads == UPLOADS
    assert job.request.seed == 3
    assert job.created_at <= (job.started_at or 0) <= (job.finished_at or 0)
    assert not await redis_client.exists(keys.name_lock("mood"))
    assert await redis_client.ttl(keys.job(job.id)) > 0


async def test_events_are_replayed_from_the_start_and_from_any_id(
    jobs: Jobs, workers: Workers
) -> None:
    workers.start()
    job = await jobs.submit("mood", TrainRequest(), UPLOADS)
    live = await collected(jobs.events(job.id))
    late = await collected(jobs.events(job.id))
    assert late == live
    middle = len(live) // 2
    rest = await collected(jobs.events(job.id, live[middle].id))
    assert rest == live[middle + 1 :]
    assert await collected(jobs.events(job.id, live[-1].id)) == []


async def test_a_name_is_trained_by_one_job_at_a_time(jobs: Jobs) -> None:
    job = await jobs.submit("mood", TrainRequest(), UPLOADS)
    with pytest.raises(JobInProgress, match=job.id) as refused:
        await jobs.submit("mood", TrainRequest(), UPLOADS)
    assert refused.value.details == {"job_id": job.id, "state": "queued"}
    other = await jobs.submit("spam", TrainRequest(), UPLOADS)
    await jobs.cancel(job.id)
    again = await jobs.submit("mood", TrainRequest(), UPLOADS)
    page = await jobs.list()
    assert [j.id for j in page.jobs] == [again.id, other.id, job.id]


async def test_of_many_submits_at_once_one_wins(jobs: Jobs) -> None:
    submits = [jobs.submit("mood", TrainRequest(), UPLOADS) for _ in range(8)]
    outcomes = await asyncio.gather(*submits, return_exceptions=True)
    assert sum(isinstance(outcome, JobInProgress) for outcome in outcomes) == 7
    assert len((await jobs.list()).jobs) == 1


async def test_an_idempotency_key_makes_one_job(jobs: Jobs) -> None:
    first = await jobs.submit("mood", TrainRequest(), UPLOADS, idempotency_key="k1")
    again = await jobs.submit("mood", TrainRequest(), UPLOADS, idempotency_key="k1")
    assert first.id == again.id
    assert len((await jobs.list()).jobs) == 1


async def test_a_submit_that_cannot_be_queued_leaves_nothing(
    jobs: Jobs, redis_client: Redis
) -> None:
    await redis_client.config_set("maxmemory", "1")
    try:
        with pytest.raises(RegistryUnavailable):
            await jobs.submit("mood", TrainRequest(), UPLOADS)
    finally:
        await redis_client.config_set("maxmemory", "0")
    assert await redis_client.dbsize() == 0


async def test_a_queued_job_is_cancelled_at_once_and_can_be_resumed(
    jobs: Jobs, workers: Workers
) -> None:
    job = await jobs.submit("mood", TrainRequest(), UPLOADS)
    assert (await jobs.cancel(job.id)).state is JobState.CANCELLED
    with pytest.raises(JobStateConflict, match="cancelled"):
        await jobs.cancel(job.id)
    assert (await jobs.resume(job.id)).state is JobState.QUEUED
    with pytest.raises(JobStateConflict, match="queued"):
        await jobs.resume(job.id)
    workers.start()
    job = await reached(jobs, job.id, JobState.SUCCEEDED)
    assert job.attempt == 1
    with pytest.raises(JobStateConflict, match="succeeded"):
        await jobs.resume(job.id)


async def test_a_running_job_is_cancelled_within_a_second_and_goes_on_from_its_checkpoint(
    jobs: Jobs, workers: Workers
) -> None:
    workers.start()
    job = await jobs.submit("long", TrainRequest(), UPLOADS)
    await at_step(jobs, job.id, 8)
    assert (await jobs.cancel(job.id)).cancel_requested
    stopped = await reached(jobs, job.id, JobState.CANCELLED, within_s=1.0)
    assert not stopped.cancel_requested
    assert stopped.progress is not None
    await jobs.resume(job.id)
    done = await reached(jobs, job.id, JobState.SUCCEEDED)
    assert done.resumed_from is not None
    assert done.resumed_from >= stopped.progress["step"]
    assert done.steps_lost == 0
    events = await collected(jobs.events(job.id))
    states = [e.data["state"] for e in events if e.kind == "state"]
    assert states.count("queued") == 2
    assert states[-1] == "succeeded"


async def test_what_the_user_can_mend_fails_at_once_and_is_not_tried_again(
    jobs: Jobs, workers: Workers
) -> None:
    workers.start()
    job = await jobs.submit("refused", TrainRequest(), UPLOADS)
    job = await reached(jobs, job.id, JobState.FAILED)
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("upload_refused", "2 rows cannot be used")
    assert job.error.details == {"problems": ["row 3: no label"]}
    other = await jobs.submit("mood", TrainRequest(), UPLOADS)
    await reached(jobs, other.id, JobState.SUCCEEDED)  # the queue went on
    assert (await jobs.get(job.id)).attempt == 1


async def test_an_unknown_error_is_tried_again_up_to_the_limit(
    jobs: Jobs, workers: Workers, redis_client: Redis, keys: Keys
) -> None:
    first = await jobs.submit("broken", TrainRequest(), UPLOADS)
    last = await jobs.submit("broken-too", TrainRequest(), UPLOADS)
    await redis_client.hset(keys.job(last.id), "attempt", "4")
    workers.start()
    second = await until(lambda: jobs.get(first.id), lambda job: job.attempt == 2)
    assert second.fence == 2
    await jobs.cancel(first.id)
    events = await collected(jobs.events(first.id))
    messages = [e.data.get("message") for e in events if e.data.get("state") == "queued"]
    assert messages == [None, "OSError: the disk is full"]
    failed = await reached(jobs, last.id, JobState.FAILED)
    assert failed.attempt == 5
    assert failed.error is not None
    assert failed.error.message == "OSError: the disk is full (after 5 attempts)"


async def test_a_job_without_a_worker_waits_and_says_so(jobs: Jobs, workers: Workers) -> None:
    job = await jobs.submit("long", TrainRequest(), UPLOADS)
    assert job.waiting_for_worker
    assert "skhost worker" in (job.message or "")
    assert await jobs.workers() == ()
    worker = workers.start()
    job = await reached(jobs, job.id, JobState.RUNNING)
    assert not job.waiting_for_worker
    (known,) = await jobs.workers()
    assert (known.id, known.pid, known.job) == (job.worker, worker.pid, job.id)
    await reached(jobs, job.id, JobState.SUCCEEDED)
    kinds = [event.kind for event in await collected(jobs.events(job.id))]
    assert kinds[:2] == ["state", "waiting"]
    assert kinds.count("waiting") == 1
    worker.terminate()
    worker.wait(5)
    assert await jobs.workers() == ()


async def test_a_worker_serves_every_tenant(
    redis_client: Redis, jobs: Jobs, workers: Workers
) -> None:
    acme, late = (Jobs(redis_client, Keys(tenant)) for tenant in ("acme", "late"))
    await redis_client.hset(CommonKeys().tenants(), "acme", "{}")
    workers.start()
    submitted = [(each, await each.submit("a", TrainRequest(), UPLOADS)) for each in (jobs, acme)]
    await redis_client.hset(CommonKeys().tenants(), "late", "{}")  # a worker is running by now
    submitted.append((late, await late.submit("a", TrainRequest(), UPLOADS)))
    for each, job in submitted:
        await reached(each, job.id, JobState.SUCCEEDED, within_s=60)
    with pytest.raises(JobNotFound):
        await jobs.get(submitted[1][1].id)


async def test_jobs_are_listed_in_pages(jobs: Jobs) -> None:
    ids = [(await jobs.submit(f"a{i}", TrainRequest(), UPLOADS)).id for i in range(5)]
    await jobs.cancel(ids[2])
    first = await jobs.list(limit=2)
    assert [job.id for job in first.jobs] == ids[:2:-1]
    rest = await jobs.list(cursor=first.cursor, limit=10)
    assert [job.id for job in rest.jobs] == ids[2::-1]
    assert rest.cursor is None
    cancelled = await jobs.list(state=JobState.CANCELLED)
    assert [job.id for job in cancelled.jobs] == [ids[2]]
    assert [job.id for job in (await jobs.list(name="a4")).jobs] == [ids[4]]


async def test_an_unknown_job_is_not_found(jobs: Jobs) -> None:
    with pytest.raises(JobNotFound, match="nothing"):
        await jobs.get("nothing")
    with pytest.raises(JobNotFound):
        await anext(jobs.events("nothing"))
    assert TERMINAL.isdisjoint({JobState.QUEUED, JobState.RUNNING})


async def test_sigterm_hands_the_job_back_without_using_up_an_attempt(
    jobs: Jobs, workers: Workers
) -> None:
    worker = workers.start()
    job = await jobs.submit("long", TrainRequest(), UPLOADS)
    await at_step(jobs, job.id, 8)
    worker.terminate()
    handed = await reached(jobs, job.id, JobState.QUEUED, within_s=2.0)
    assert handed.attempt == 0
    assert worker.wait(3) == 0
    assert workers.trainers() == []
    workers.start()
    done = await reached(jobs, job.id, JobState.SUCCEEDED)
    assert (done.attempt, done.steps_lost) == (1, 0)
    assert (done.resumed_from or 0) >= (handed.progress or {})["step"]


async def test_training_processes_are_nicer_and_end_with_their_worker(
    jobs: Jobs, workers: Workers
) -> None:
    worker = workers.start()
    job = await jobs.submit("endless", TrainRequest(), UPLOADS)
    await at_step(jobs, job.id, 2)
    (trainer,) = workers.trainers()
    assert trainer.pid != worker.pid
    worker.kill()

    await until(workers.trainers_now, lambda found: found == [], within_s=2.0)

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from skhost.errors import InvalidRequest, JobStateConflict
from skhost.jobs import Job, JobError, Jobs, JobState, TrainRequest, Upload
from skhost.jobs.ledger import Ledger, Write
from skhost.jobs.record import RESUMABLE, TERMINAL, TRANSITIONS, WORKING, sources_of
from skhost.jobs.request import Gate
from skhost.keys import Keys
from skhost.uploads.request import ColumnChoice
from sktuning.config import AdapterSpec, ClassWeight, Method, Pooling, Task, TrainingConfig

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v, max_size=3)
)


@given(
    name=st.text(min_size=1),
    progress=st.none() | st.dictionaries(st.text(), json_values, max_size=4),
    message=st.text(),
    ignore=st.lists(st.text(min_size=1)).map(tuple),
)
def test_a_record_survives_redis_unchanged(
    name: str, progress: dict[str, object] | None, message: str, ignore: tuple[str, ...]
) -> None:
    training = TrainingConfig(epochs=7, class_weight=ClassWeight.NONE)
    spec = AdapterSpec(method=Method.SK_PROMPT, pooling=Pooling.LAST, training=training)
    request = TrainRequest(
        Task.TOKENS, spec, ColumnChoice("review", ignore=ignore), gate=Gate.NEVER
    )
    job = Job(
        id="j1",
        name=name,
        tenant="default",
        state=JobState.FAILED,
        request=request,
        uploads=(Upload("train", "uploads/j1/0", name, 5),),
        created_at=1.25,
        queued_at=2.5,
        progress=progress,
        error=JobError("data_error", message),
    )
    assert Job.from_hash(job.to_hash()) == job
    assert job.to_dict()["error"] == {"code": "data_error", "message": message}


def test_states_are_sorted_into_their_sets() -> None:
    assert set(JobState) == TERMINAL | WORKING | {JobState.QUEUED}
    assert {state for state in TERMINAL if TRANSITIONS[state]} == RESUMABLE
    assert set(TRANSITIONS) == set(JobState)


def test_a_job_of_a_newer_release_can_be_read() -> None:
    job = Job(
        id="j1",
        name="mood",
        tenant="default",
        state=JobState.FAILED,
        request=TrainRequest(),
        uploads=(Upload("train", "uploads/j1/0", "rows.csv", 5),),
        created_at=1.25,
        queued_at=2.5,
        error=JobError("data_error", "no rows"),
    )
    stored = job.to_hash() | {"new": "1"}
    for name in ("uploads", "error", "request"):
        values = json.loads(stored[name])
        for each in values if isinstance(values, list) else [values]:
            each["new"] = 1
        stored[name] = json.dumps(values)
    assert Job.from_hash(stored) == job


def test_a_record_of_another_release_can_be_read() -> None:
    training = {"epochs": 3, "gone_since": 1}
    values = {"spec": {"training": training, "new": 2}, "columns": {"text": "a", "x": "b"}, "y": 1}
    request = TrainRequest.from_dict(values)
    assert request.spec.training.epochs == 3
    assert request.columns.text == "a"
    with pytest.raises(InvalidRequest, match="on_bad_rows"):
        TrainRequest.from_dict({"on_bad_rows": "guess"})


@pytest.mark.anyio
async def test_redis_allows_the_transitions_of_the_table_and_no_others(
    jobs: Jobs, redis_client: Redis, keys: Keys
) -> None:
    ledger = Ledger(redis_client, keys)
    job = await jobs.submit("mood", TrainRequest(), ())
    for source, target in itertools.product(JobState, JobState):
        await redis_client.hset(keys.job(job.id), "state", source)
        events = await redis_client.xlen(keys.job_events(job.id))
        if source in sources_of(target):
            await ledger.write(job.id, job.name, Write(target))
            assert await redis_client.hget(keys.job(job.id), "state") == target
            assert await redis_client.xlen(keys.job_events(job.id)) == events + 1
            continue
        with pytest.raises(JobStateConflict, match=f"is {source} and cannot become {target}"):
            await ledger.write(job.id, job.name, Write(target))
        assert await redis_client.hget(keys.job(job.id), "state") == source
        assert await redis_client.xlen(keys.job_events(job.id)) == events

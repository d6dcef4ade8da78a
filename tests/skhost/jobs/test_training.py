"""The real training process on a tiny base: from a file to a version, killed on the way, judged."""

import asyncio
import random
from pathlib import Path
from time import monotonic, sleep

import pytest
from live_server import live_server
from redis.asyncio import Redis
from training_jobs import SKHOST, Workers, at_step, collected, emptied, reached

from skhost.app import create_app
from skhost.catalog import Catalog
from skhost.client import Client
from skhost.jobs import Gate, Jobs, JobState, TrainRequest, Upload
from skhost.keys import Keys
from skhost.records import Origin, VersionState
from skhost.settings import Settings
from skhost.store import ArtifactStore, upload_ref
from sktuning import artifact
from sktuning.config import AdapterSpec, TrainingConfig

pytestmark = pytest.mark.anyio

GOOD = ("good", "great")
BAD = ("bad", "awful")


@pytest.fixture
def settings(valkey_url: str, tmp_path: Path, tiny_bert_folder: Path) -> Settings:
    """Settings of a worker on a tiny base."""
    return Settings(
        redis_url=valkey_url,
        data_dir=tmp_path,
        base=str(tiny_bert_folder),
        worker_nice=0,
        worker_threads=1,
    )


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    """The worker's store."""
    return ArtifactStore(settings.store, settings.tenant, settings.data_dir / "cache")


def _rows(count: int, *, seed: int, labels: tuple[str, str] = ("pos", "neg")) -> str:
    """A CSV of short reviews, each another one."""
    draw = random.Random(seed)
    lines = ["text,label"]
    for i in range(count):
        word = draw.choice(GOOD if i % 2 else BAD)
        lines.append(f"{word} {draw.randrange(10**4)} {word},{labels[0] if i % 2 else labels[1]}")
    return "\n".join(lines)


def _request(*, epochs: int = 2, gate: Gate = Gate.NOT_WORSE) -> TrainRequest:
    training = TrainingConfig(epochs=epochs, batch_size=8, checkpoint_every_s=0.05, patience=0)
    return TrainRequest(spec=AdapterSpec(training=training), gate=gate)


def _upload(store: ArtifactStore, folder: Path, rows: str, order: str) -> tuple[Upload, ...]:
    path = folder / f"{order}.csv"
    path.write_text(rows)
    store.put_file(path, upload_ref(order, 0))
    return (Upload("train", upload_ref(order, 0), path.name, len(rows)),)


async def test_a_file_becomes_a_version_and_the_next_ones_are_judged_against_it(
    jobs: Jobs,
    workers: Workers,
    store: ArtifactStore,
    tmp_path: Path,
    redis_client: Redis,
    keys: Keys,
) -> None:
    workers.start(SKHOST)
    catalog = Catalog(redis_client, keys)
    files = {
        "first": (_rows(240, seed=1), Gate.NOT_WORSE),
        "other": (_rows(240, seed=2), Gate.NOT_WORSE),
        "renamed": (_rows(240, seed=3, labels=("good", "bad")), Gate.NOT_WORSE),
    }
    results = {}
    for order, (rows, gate) in files.items():
        uploads = _upload(store, tmp_path, rows, order)
        job = await jobs.submit("mood", _request(gate=gate), uploads)
        done = await reached(jobs, job.id, JobState.SUCCEEDED, within_s=60)
        assert done.result is not None
        results[order] = done.result
    first = results["first"]
    assert (first["version"], first["promoted"]) == (1, True)
    assert first["main_score"] > 0.9
    assert artifact.digest_of(store.get(first["digest"])) == first["digest"]
    figures = results["other"]["gate"]
    assert figures["num_rows"] >= 20
    assert results["other"]["promoted"] is (figures["score"] >= figures["live_score"])
    assert not results["renamed"]["promoted"]
    assert "only 0 of 24 held-out rows can decide" in results["renamed"]["note"]
    record = await catalog.get("mood")
    assert record.aliases == {"prod": 2 if results["other"]["promoted"] else 1}
    assert record.versions[2].state is VersionState.CANDIDATE
    assert record.versions[2].note == results["renamed"]["note"]


async def test_a_training_replaces_what_was_made_from_label_names(
    jobs: Jobs,
    workers: Workers,
    store: ArtifactStore,
    settings: Settings,
    redis_client: Redis,
    keys: Keys,
) -> None:
    app = create_app(settings)
    with live_server(settings, app) as live, Client(live.url) as client:
        made = client.create("mood", ["pos", "neg"], {})
        assert (made["version"], made["origin"], made["state"]) == (1, "labels", "live")
        workers.start(SKHOST)
        uploads = _upload(store, settings.data_dir, _rows(240, seed=1), "first")
        job = await jobs.submit("mood", _request(epochs=4), uploads)
        done = await reached(jobs, job.id, JobState.SUCCEEDED, within_s=60)
        assert done.result is not None
        assert (done.result["version"], done.result["promoted"]) == (2, True)
        assert done.result["gate"]["live_score"] < done.result["gate"]["score"]
        record = await Catalog(redis_client, keys).get("mood")
        assert record.aliases == {"prod": 2}
        assert record.versions[1].origin is Origin.TRAINING
        version = await asyncio.to_thread(_answering, client, "mood")
        assert version == 2


def _answering(client: Client, name: str) -> int:
    """The version that answers once the server has heard of the last one."""
    deadline = monotonic() + 10
    while (version := int(client.classify(name, text="good")["version"])) == 1:
        assert monotonic() < deadline, "the server did not hear of the new version"
        sleep(0.05)
    return version


async def test_a_killed_training_goes_on_from_its_checkpoint_to_one_version(
    jobs: Jobs,
    workers: Workers,
    store: ArtifactStore,
    tmp_path: Path,
    redis_client: Redis,
    keys: Keys,
) -> None:
    workers.start(SKHOST)
    uploads = _upload(store, tmp_path, _rows(400, seed=1), "one")
    job = await jobs.submit("mood", _request(epochs=12), uploads)
    await at_step(jobs, job.id, 40, within_s=40)
    (trainer,) = workers.trainers()
    trainer.kill()
    done = await reached(jobs, job.id, JobState.SUCCEEDED, within_s=60)
    assert done.attempt == 2
    assert (done.resumed_from or 0) > 0
    assert done.result is not None
    assert done.result["main_score"] > 0.9
    assert len((await Catalog(redis_client, keys).get("mood")).versions) == 1
    events = await collected(jobs.events(job.id))
    steps = [event.data["step"] for event in events if event.kind == "progress"]
    assert steps[-1] == done.result["num_steps"]
    assert [e.kind for e in events].count("resumed") == 1
    await emptied(tmp_path / "checkpoints")
    await emptied(tmp_path / "training")

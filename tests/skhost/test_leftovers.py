"""What nothing names is found and removed; what anything names, or may soon, is left alone."""

import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from plain_artifact import write_artifact
from redis.asyncio import Redis

from skhost.catalog import Catalog
from skhost.errors import Conflict
from skhost.jobs import Job, Jobs
from skhost.jobs.request import TrainRequest, Upload
from skhost.keys import Keys
from skhost.leftovers import LeftOvers
from skhost.store import ArtifactStore, checkpoint_ref, rows_ref, upload_ref
from sktuning.config import BaseIdentity

pytestmark = pytest.mark.anyio

BASE = BaseIdentity("base", "sha256:" + "0" * 64)
ANY_AGE_S = -60.0


@dataclass
class Place:
    """A tenant's store and registry, and ways to fill them."""

    redis: Redis
    keys: Keys
    store: ArtifactStore
    folder: Path

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.redis, self.keys)

    def left(self, grace_s: float = ANY_AGE_S) -> LeftOvers:
        return LeftOvers(self.redis, self.keys, self.store, grace_s)

    async def found(self, grace_s: float = ANY_AGE_S) -> list[str]:
        return [each.entry for each in await self.left(grace_s).find()]

    def put(self, number: int) -> str:
        digest = write_artifact(self.folder / str(number), number)
        self.store.put(self.folder / str(number), digest)
        return digest

    async def publish(self, digest: str, job_id: str | None = None) -> None:
        await self.catalog.publish(
            *("a", digest),
            base=BASE,
            task="single-label",
            labels=["x", "y"],
            nbytes=1,
            job_id=job_id,
        )

    async def submit(self, order: str) -> Job:
        ref = upload_ref(order, 0)
        file = self.folder / "rows.jsonl"
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
        self.store.put_file(file, ref)
        uploads = [Upload("train", ref, file.name)]
        job = await Jobs(self.redis, self.keys).submit(order, TrainRequest(), uploads)
        for tree in (checkpoint_ref(job.id), rows_ref(job.id)):
            (self.folder / "tree").mkdir(exist_ok=True)
            (self.folder / "tree" / "file").write_text("some")
            self.store.put_tree(self.folder / "tree", tree)
        return job


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, redis_client: Redis, tmp_path: Path) -> Place:
    if request.param == "s3":
        url = f"{request.getfixturevalue('s3_url')}/{uuid.uuid4().hex}"
    else:
        url = f"file://{tmp_path}/store"
    keys = Keys("acme")
    store = ArtifactStore(url, keys.tenant, tmp_path / "cache")
    return Place(redis_client, keys, store, tmp_path / "made")


async def test_an_artifact_that_no_version_names_is_found_and_removed(place: Place) -> None:
    named, left = place.put(1), place.put(2)
    await place.publish(named)
    left_overs = place.left()
    (found,) = await left_overs.find()
    assert (found.tenant, found.entry, found.is_artifact) == ("acme", left, True)
    assert place.store.digests() == [named, left]
    assert await left_overs.remove([found]) == [found]
    assert place.store.digests() == [named]
    assert await place.found() == []


async def test_what_was_stored_a_moment_ago_is_left_alone(place: Place) -> None:
    await place.publish(place.put(1))
    place.put(2)
    await place.submit("order")
    assert await place.found(grace_s=3600.0) == []


async def test_what_was_published_since_it_was_found_is_not_removed(place: Place) -> None:
    await place.publish(place.put(1))
    late = place.put(2)
    left_overs = place.left()
    found = await left_overs.find()
    await place.publish(late)
    assert await left_overs.remove(found) == []
    assert place.store.exists(late)


async def test_a_retired_version_is_left_to_the_servers(place: Place) -> None:
    digests = [place.put(1), place.put(2)]
    for digest in digests:
        await place.publish(digest)
    await place.catalog.retire("a", 1)
    assert await place.found() == []


async def test_the_files_of_a_job_are_left_over_once_its_record_is_gone(place: Place) -> None:
    job, other = await place.submit("order"), await place.submit("another")
    assert await place.found() == []
    await place.redis.delete(place.keys.job(job.id))
    expected = ["uploads/order", checkpoint_ref(job.id), rows_ref(job.id)]
    left_overs = place.left()
    found = await left_overs.find()
    assert [each.entry for each in found] == expected
    await left_overs.remove(found)
    kept = ["uploads/another", checkpoint_ref(other.id), rows_ref(other.id)]
    assert list(place.store.refs()) == kept


async def test_the_rows_that_a_version_was_trained_on_stay_with_it(place: Place) -> None:
    job = await place.submit("order")
    await place.publish(place.put(1), job.id)
    await place.redis.delete(place.keys.job(job.id))
    assert rows_ref(job.id) not in await place.found()


async def test_a_registry_that_never_had_an_adapter_is_not_believed(place: Place) -> None:
    place.put(1)
    with pytest.raises(Conflict, match="is it the right one"):
        await place.found()

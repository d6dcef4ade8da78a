import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from redis.asyncio import Redis

from skhost.catalog import Catalog, VersionRecord, VersionState
from skhost.connection import connect
from skhost.errors import (
    AdapterNotFound,
    AliasNotFound,
    ArtifactRefused,
    Conflict,
    InvalidRequest,
    VersionNotFound,
)
from skhost.keys import Keys
from skhost.records import Origin
from skhost.valkey import EmbeddedValkey
from sktuning.config import BaseIdentity

pytestmark = pytest.mark.anyio

KEYS = Keys("default")
BASE = BaseIdentity("tiny", "sha256:" + "b" * 64)


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


@pytest.fixture
def catalog(redis_client: Redis) -> Catalog:
    return Catalog(redis_client, KEYS)


async def publish(catalog: Catalog, name: str = "a", number: int = 1, **more: Any) -> VersionRecord:
    values: dict[str, Any] = {
        "base": BASE,
        "task": "single-label",
        "labels": ("no", "yes"),
        "nbytes": 1000,
    }
    return await catalog.publish(name, digest(number), **{**values, **more})


async def _until(is_done: Callable[[], Any]) -> None:
    deadline = monotonic() + 10
    while not await is_done():
        assert monotonic() < deadline, "it did not happen within 10 s"
        await asyncio.sleep(0.005)


async def test_what_is_published_is_read_back(catalog: Catalog) -> None:
    metrics = {"accuracy": 0.93, "report": {"yes": {"f1": 0.9}}, "labels": []}
    record = await publish(catalog, "sentiment", metrics=metrics, job_id="j1", labels=("é", "b"))
    assert (record.version, record.state, record.note) == (1, VersionState.LIVE, None)
    assert (record.digest, record.base, record.labels) == (digest(1), BASE, ("é", "b"))
    assert (record.metrics, record.job_id, record.nbytes) == (metrics, "j1", 1000)
    adapter = await catalog.get("sentiment")
    assert adapter.versions == (record,)
    assert adapter.aliases == {"prod": 1}
    assert adapter.select() == adapter.select("prod") == adapter.select(1) == record
    assert VersionRecord.from_dict(record.to_dict()) == record


async def test_numbers_that_json_does_not_have_become_null(catalog: Catalog) -> None:
    metrics = {"pearson": math.nan, "deep": [{"x": math.inf}], "fine": 0.1}
    record = await publish(catalog, metrics=metrics)
    assert record.metrics == {"pearson": None, "deep": [{"x": None}], "fine": 0.1}


async def test_fifty_publishes_at_once_get_dense_numbers(catalog: Catalog) -> None:
    records = await asyncio.gather(
        *(publish(catalog, f"name-{i % 5}", i, publish_token=f"job-{i}") for i in range(50))
    )
    for name in range(5):
        versions = sorted(r.version for r in records if r.name == f"name-{name}")
        assert versions == list(range(1, 11))
    assert await catalog.revision() == 50
    assert len({record.digest for record in records}) == 50
    for record in (await catalog.snapshot()).values():
        last = record.select("prod")
        assert record.history["prod"][0] != last.version
        assert len(record.history["prod"]) == 9


async def test_the_same_token_gets_the_same_version(catalog: Catalog) -> None:
    records = await asyncio.gather(*(publish(catalog, publish_token="job-1") for _ in range(20)))
    assert {record.version for record in records} == {1}
    await publish(catalog, number=2)
    again = await publish(catalog, number=3, publish_token="job-1")
    assert (again.version, again.digest) == (1, digest(1))
    adapter = await catalog.get("a")
    assert (len(adapter.versions), adapter.aliases["prod"]) == (2, 2)


async def test_a_first_version_is_refused_where_there_are_others(catalog: Catalog) -> None:
    first = await publish(catalog, origin=Origin.LABELS, is_first=True)
    with pytest.raises(Conflict, match="'a' already"):
        await publish(catalog, number=2, is_first=True)
    assert (await catalog.get("a")).versions == (first,)
    assert (await publish(catalog, number=2)).version == 2
    await catalog.retire("a")
    assert (await publish(catalog, is_first=True)).version == 3


async def test_origins_are_kept_and_older_records_get_theirs(
    catalog: Catalog, redis_client: Redis
) -> None:
    await publish(catalog, origin=Origin.LABELS)
    await publish(catalog)
    await publish(catalog, job_id="j1")
    record = await catalog.get("a")
    assert [v.origin for v in record.versions] == [Origin.LABELS, Origin.IMPORT, Origin.TRAINING]
    stored = json.loads(await redis_client.hget(KEYS.versions("a"), "2") or "")
    assert "origin" not in stored  # as before there were any


async def test_a_stale_fence_publishes_nothing(catalog: Catalog, redis_client: Redis) -> None:
    fence = await redis_client.incr(KEYS.job_fence("j1"))
    newer = await redis_client.incr(KEYS.job_fence("j1"))
    with pytest.raises(Conflict, match="claimed again") as caught:
        await publish(catalog, job_id="j1", publish_token="j1", fence=fence)
    assert caught.value.details == {"reason": "stale_fence"}
    assert await catalog.names() == ()
    assert await catalog.revision() == 0
    assert (await publish(catalog, job_id="j1", publish_token="j1", fence=newer)).version == 1
    with pytest.raises(Conflict):  # not even the answer that it was published
        await publish(catalog, job_id="j1", publish_token="j1", fence=fence)


async def test_a_fence_without_a_claim_is_stale(catalog: Catalog) -> None:
    with pytest.raises(Conflict, match="now none"):
        await publish(catalog, job_id="never-claimed", fence=1)


async def test_a_candidate_waits_with_its_reason_until_it_is_promoted(catalog: Catalog) -> None:
    await publish(catalog)
    candidate = await publish(catalog, number=2, promote_to=None, note="0.80 is below 0.93")
    assert (candidate.state, candidate.note) == (VersionState.CANDIDATE, "0.80 is below 0.93")
    adapter = await catalog.get("a")
    assert adapter.select().version == 1
    assert adapter.select(2) == candidate
    promoted = (await catalog.promote("a", 2)).select()
    assert (promoted.version, promoted.state, promoted.note) == (2, VersionState.LIVE, None)


async def test_a_first_candidate_has_no_default_alias(catalog: Catalog) -> None:
    await publish(catalog, promote_to=None)
    adapter = await catalog.get("a")
    with pytest.raises(AliasNotFound, match="a@1"):
        adapter.select()
    assert adapter.select(1).version == 1


async def test_rollback_twice_goes_two_back_and_then_says_that_there_is_no_more(
    catalog: Catalog,
) -> None:
    for number in (1, 2, 3):
        await publish(catalog, number=number)
    assert (await catalog.rollback("a")).aliases == {"prod": 2}
    assert (await catalog.rollback("a")).aliases == {"prod": 1}
    with pytest.raises(Conflict, match="at nothing usable before it") as caught:
        await catalog.rollback("a")
    assert caught.value.details == {"version": 1}
    assert (await catalog.get("a")).aliases == {"prod": 1}


async def test_rollback_goes_where_the_alias_was_not_one_number_down(catalog: Catalog) -> None:
    for number in (1, 2, 3):
        await publish(catalog, number=number)
    await catalog.promote("a", 1)
    assert (await catalog.get("a")).history["prod"] == (3, 2, 1)
    assert (await catalog.rollback("a")).aliases["prod"] == 3
    await catalog.promote("a", 2)
    assert (await catalog.rollback("a")).aliases["prod"] == 3


async def test_rollback_passes_over_retired_versions(catalog: Catalog) -> None:
    for number in (1, 2, 3):
        await publish(catalog, number=number)
    await catalog.retire("a", 2)
    assert (await catalog.rollback("a")).aliases["prod"] == 1


async def test_a_rollback_that_is_sent_again_is_one_rollback(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        await publish(catalog, number=number)
    monkeypatch.setattr("secrets.token_hex", lambda _: "the same request")
    assert (await catalog.rollback("a")).aliases["prod"] == 2
    assert (await catalog.rollback("a")).aliases["prod"] == 2


async def test_promoting_what_is_promoted_changes_nothing(catalog: Catalog) -> None:
    await publish(catalog)
    await publish(catalog, number=2)
    before = await catalog.get("a")
    assert await catalog.promote("a", 2) == before
    assert await catalog.revision() == before.revision == 2


async def test_racing_promotions_leave_one_whole_state(catalog: Catalog) -> None:
    for number in range(1, 5):
        await publish(catalog, number=number)
    await asyncio.gather(*(catalog.promote("a", 1 + i % 4) for i in range(40)))
    adapter = await catalog.get("a")
    moves = (adapter.aliases["prod"], *adapter.history["prod"])
    assert all(newer != older for newer, older in pairwise(moves))
    assert adapter.revision == len(moves)  # one a move that was made


async def test_an_alias_history_is_bounded(catalog: Catalog) -> None:
    await publish(catalog)
    await publish(catalog, number=2)
    for i in range(120):
        await catalog.promote("a", 1 + i % 2)
    assert len((await catalog.get("a")).history["prod"]) == 100


async def test_aliases_are_set_moved_and_removed(catalog: Catalog) -> None:
    await publish(catalog)
    await publish(catalog, number=2)
    assert (await catalog.set_alias("a", "canary", 1)).aliases == {"prod": 2, "canary": 1}
    assert (await catalog.set_alias("a", "canary", 2)).select("canary").version == 2
    assert (await catalog.rollback("a", "canary")).aliases == {"prod": 2, "canary": 1}
    assert (await catalog.delete_alias("a", "canary")).aliases == {"prod": 2}
    with pytest.raises(AliasNotFound, match=r"no alias 'canary'.*prod → 2"):
        await catalog.delete_alias("a", "canary")
    with pytest.raises(AliasNotFound):
        await catalog.rollback("a", "canary")


async def test_a_version_in_use_cannot_be_retired(catalog: Catalog) -> None:
    await publish(catalog)
    await publish(catalog, number=2)
    await catalog.set_alias("a", "canary", 2)
    with pytest.raises(Conflict, match="canary, prod points at") as caught:
        await catalog.retire("a", 2)
    assert caught.value.details == {"aliases": ["canary", "prod"]}
    adapter = await catalog.retire("a", 1)
    assert adapter.versions[0].state is VersionState.RETIRED
    with pytest.raises(VersionNotFound, match="was retired; it has 2"):
        adapter.select(1)
    with pytest.raises(VersionNotFound, match="was retired"):
        await catalog.promote("a", 1)
    assert await catalog.retire("a", 1) == adapter


async def test_a_retired_adapter_is_gone_and_its_numbers_stay_taken(catalog: Catalog) -> None:
    for number in (1, 2):
        await publish(catalog, number=number)
    await catalog.retire("a")
    for call in (catalog.get("a"), catalog.retire("a"), catalog.rollback("a")):
        with pytest.raises(AdapterNotFound):
            await call
    assert await catalog.names() == ()
    record = await publish(catalog, number=3)
    assert record.version == 3
    adapter = await catalog.get("a")
    assert adapter.aliases == {"prod": 3}
    assert adapter.history == {}
    assert [v.state.value for v in adapter.versions] == ["retired", "retired", "live"]


async def test_a_pin_is_announced_once_and_ends_with_the_adapter(catalog: Catalog) -> None:
    await publish(catalog)
    assert not (await catalog.get("a")).is_pinned
    pinned = await catalog.pin("a", is_pinned=True)
    assert pinned.is_pinned
    assert pinned.to_dict()["pinned"] is True
    assert (await catalog.changes(pinned.revision - 1)).adapters == {"a": pinned}
    assert await catalog.pin("a", is_pinned=True) == pinned
    assert not (await catalog.pin("a", is_pinned=False)).is_pinned
    await catalog.pin("a", is_pinned=True)
    await catalog.retire("a")
    with pytest.raises(AdapterNotFound):
        await catalog.pin("a", is_pinned=True)
    await publish(catalog, number=2)
    assert not (await catalog.get("a")).is_pinned


async def test_a_job_that_publishes_again_does_not_bring_a_retired_adapter_back(
    catalog: Catalog,
) -> None:
    await publish(catalog, publish_token="j1")
    await catalog.retire("a")
    assert (await publish(catalog, publish_token="j1")).state is VersionState.RETIRED
    assert await catalog.names() == ()


async def test_unknown_names_are_told_what_is_near(catalog: Catalog) -> None:
    await publish(catalog, "sentiment")
    await publish(catalog, "spam")
    with pytest.raises(AdapterNotFound, match="did you mean sentiment") as caught:
        await catalog.get("sentimemt")
    assert caught.value.details == {"near": ["sentiment"]}
    with pytest.raises(VersionNotFound, match="no version 7; it has 1") as missing:
        await catalog.promote("spam", 7)
    assert missing.value.details == {"versions": [1]}


async def test_what_cannot_be_named_is_refused(catalog: Catalog) -> None:
    with pytest.raises(InvalidRequest):
        await publish(catalog, "../a")
    with pytest.raises(InvalidRequest):
        await publish(catalog, "a", promote_to="7")
    with pytest.raises(ArtifactRefused):
        await catalog.publish("a", "sha256:x", base=BASE, task="t", labels=(), nbytes=0)
    with pytest.raises(InvalidRequest):
        await catalog.list(cursor="(")
    assert await catalog.names() == ()


async def test_pages_have_every_adapter_once(catalog: Catalog) -> None:
    names = [f"n{i:02d}" for i in range(7)]
    for name in reversed(names):
        await publish(catalog, name)
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = await catalog.list(cursor, limit=3)
        seen += [adapter.name for adapter in page.adapters]
        cursor = page.cursor
    assert seen == names
    assert cursor is None
    assert (await catalog.list(limit=7)).cursor is None


async def test_changes_are_only_what_changed(catalog: Catalog) -> None:
    for name in ("a", "b", "c"):
        await publish(catalog, name)
    first = await catalog.changes()
    assert (first.is_complete, sorted(first.adapters)) == (True, ["a", "b", "c"])
    nothing = await catalog.changes(first.revision)
    assert (nothing.adapters, nothing.gone, nothing.is_complete) == ({}, frozenset(), False)
    await publish(catalog, "b", 2)
    await catalog.retire("c")
    second = await catalog.changes(first.revision)
    assert (second.revision, sorted(second.adapters), second.gone) == (5, ["b"], frozenset("c"))
    assert not second.is_complete


async def test_a_counter_that_went_back_means_everything_is_read(catalog: Catalog) -> None:
    await publish(catalog)
    changes = await catalog.changes(since=999)
    assert (changes.is_complete, sorted(changes.adapters)) == (True, ["a"])


async def test_an_empty_catalogue_is_a_complete_answer(catalog: Catalog) -> None:
    changes = await catalog.changes()
    assert (changes.revision, changes.is_complete, changes.adapters) == (0, True, {})


@pytest.fixture
async def notices(catalog: Catalog, redis_client: Redis) -> AsyncIterator[asyncio.Queue[str]]:
    """Names that `watch` yields, once it listens."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def listen() -> None:
        async with aclosing(catalog.watch()) as names:
            async for name in names:
                heard.put_nowait(name)

    async def is_listening() -> bool:
        return (await redis_client.pubsub_numsub(KEYS.notices()))[0][1] == 1

    async with asyncio.TaskGroup() as group:
        task = group.create_task(listen())
        await _until(is_listening)
        yield heard
        task.cancel()


async def test_every_change_is_announced_once(
    catalog: Catalog, notices: asyncio.Queue[str]
) -> None:
    await publish(catalog, "a")
    await publish(catalog, "b", 2)
    await publish(catalog, "b", 3)
    await catalog.promote("b", 1)
    await catalog.promote("b", 1)  # nothing changes: nothing is said
    await catalog.rollback("b")
    await catalog.retire("a")
    heard = [await asyncio.wait_for(notices.get(), 10) for _ in range(await catalog.revision())]
    assert heard == ["a", "b", "b", "b", "b", "a"]
    assert notices.empty()


async def test_artifacts_that_nothing_uses_become_orphans(catalog: Catalog) -> None:
    await publish(catalog, "a", 1)
    await publish(catalog, "a", 2)
    await publish(catalog, "b", 1)
    await catalog.retire("a")
    assert await catalog.take_orphans(min_age_s=3600) == []
    assert await catalog.take_orphans(min_age_s=-1) == [digest(2)]
    assert await catalog.take_orphans(min_age_s=-1) == []
    await catalog.retire("b")
    await publish(catalog, "c", 1)  # used again before anyone deleted it
    assert await catalog.take_orphans(min_age_s=-1) == []


async def test_tenants_do_not_see_each_other(catalog: Catalog, redis_client: Redis) -> None:
    other = Catalog(redis_client, Keys("other"))
    await publish(catalog, "a")
    assert await other.names() == ()
    assert await other.revision() == 0


async def test_scripts_survive_a_server_that_forgot_them(
    catalog: Catalog, redis_client: Redis
) -> None:
    await publish(catalog)
    await redis_client.script_flush()
    assert (await publish(catalog, number=2)).version == 2


async def test_a_restart_of_valkey_keeps_everything(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        client = connect(server.url)
        catalog = Catalog(client, KEYS)
        await publish(catalog, "a", publish_token="j1")
        await publish(catalog, "a", 2)
        await catalog.set_alias("a", "canary", 1)
        before = await catalog.get("a")
        server.stop()
        server.start()
        assert await catalog.get("a") == before  # the same client finds it again
        assert (await publish(catalog, "a", 9, publish_token="j1")).version == 1
        assert (await publish(catalog, "a", 3)).version == 3
        await client.aclose()

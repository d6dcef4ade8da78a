import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engines import Server, server_of, until
from making import make_adapter
from redis.asyncio import Redis

from skhost.answers import ClassifyOptions
from skhost.errors import (
    AdapterNotFound,
    AdapterUnusable,
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    Overloaded,
    PayloadTooLarge,
)
from sktuning.base import FrozenBase
from sktuning.config import Task
from sktuning.data import TextInput
from sktuning.decode import DecodeOptions
from sktuning.errors import ConfigError

pytestmark = pytest.mark.anyio

TEXTS = ("a good text", "very bad text", "the text is not great", "awful")


@pytest.fixture
async def server(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> AsyncIterator[Server]:
    async with server_of(redis_client, tiny_bert, tmp_path) as made:
        yield made


def assert_same(seen: dict[str, Any], expected: dict[str, Any]) -> None:
    assert seen["label"] == expected["label"]
    assert seen["scores"].keys() == expected["scores"].keys()
    for label, score in expected["scores"].items():
        assert seen["scores"][label] == pytest.approx(score, abs=2e-5)


async def test_the_answer_is_the_library_s(server: Server) -> None:
    record = await server.publish("sentiment", seed=1)
    [answer] = await server.classify("sentiment", TEXTS)
    assert (answer.adapter, answer.version, answer.digest) == ("sentiment", 1, record.digest)
    assert answer.task == "single-label"
    for text, result in zip(TEXTS, answer.results, strict=True):
        assert_same(result, server.alone(text, seed=1))


async def test_requests_for_many_adapters_at_once_get_what_each_alone_gets(server: Server) -> None:
    for seed in range(5):
        await server.publish(f"a{seed}", seed=seed)
    asked = [(f"a{i % 5}", i % 5, TEXTS[i % 4]) for i in range(40)]
    answers = await asyncio.gather(*(server.classify(name, [text]) for name, _, text in asked))
    alone = {(seed, text): server.alone(text, seed=seed) for seed in range(5) for text in TEXTS}
    for (name, seed, text), [answer] in zip(asked, answers, strict=True):
        assert answer.adapter == name
        assert_same(answer.results[0], alone[seed, text])
    assert server.value("skhost_batch_items_sum") == 40
    assert server.value("skhost_batch_items_count") < 40


async def test_a_fan_out_answers_for_each_adapter_in_order(server: Server) -> None:
    tasks = [Task.MULTI_LABEL, Task.REGRESSION, Task.TOKENS, Task.SINGLE_LABEL]
    for number, task in enumerate(tasks):
        await server.publish(f"a{number}", task=task)
    answers = await server.classify("a2,a0,a3,a1", ["a good text"])
    assert [answer.adapter for answer in answers] == ["a2", "a0", "a3", "a1"]
    assert [set(answer.results[0]) for answer in answers] == [
        {"entities"},
        {"labels", "scores"},
        {"label", "score", "scores"},
        {"value"},
    ]
    assert server.value("skhost_batch_items_count") == 1
    assert server.value("skhost_batch_adapters_sum") == 4


async def test_adapters_that_read_alike_share_one_encoding(server: Server) -> None:
    records = [await server.publish(f"a{seed}", seed=seed) for seed in range(3)]
    records.append(await server.publish("tags", task=Task.TOKENS))
    async with asyncio.timeout(20):
        adapters = [make_adapter(server.base, seed=seed) for seed in range(3)]
        tags = make_adapter(server.base, Task.TOKENS)
        pinned = list(zip(records, [*adapters, tags], strict=True))
        encoded = server.engine._encode(pinned, [TextInput("a good text")], True)
    assert encoded[0] is encoded[1] is encoded[2]
    assert encoded[3] is not encoded[0]


async def test_one_bad_text_does_not_fail_the_rest(server: Server) -> None:
    await server.publish("a", seed=1)
    [answer] = await server.classify("a", ["a good text", "", "awful"])
    assert_same(answer.results[0], server.alone("a good text", seed=1))
    assert answer.results[1] == {
        "error": {"code": "invalid_input", "message": "the text is empty: it has no tokens"}
    }
    assert_same(answer.results[2], server.alone("awful", seed=1))
    assert server.value("skhost_items_total", outcome="ok") == 2
    assert server.value("skhost_items_total", outcome="error") == 1
    assert server.value("skhost_adapter_requests_total", adapter="a") == 1


async def test_nothing_but_bad_texts_runs_no_batch(server: Server) -> None:
    await server.publish("a")
    [answer] = await server.classify("a", ["", TextInput("two", "texts")])
    assert [result["error"]["code"] for result in answer.results] == ["invalid_input"] * 2
    assert server.value("skhost_batch_items_count") == 0


async def test_a_long_text_is_cut_and_says_so_or_is_refused(server: Server) -> None:
    await server.publish("a")
    long = "good " * 300
    [cut] = await server.classify("a", [long, "good"])
    assert cut.results[0]["truncated"] == 302 - server.base.max_length
    assert "truncated" not in cut.results[1]
    assert server.value("skhost_truncated_inputs_total") == 1
    [refused] = await server.classify("a", [long, "good"], truncate=False)
    assert refused.results[0]["error"]["code"] == "input_too_long"
    assert "label" in refused.results[1]


async def test_tokens_are_counted_without_prompts(server: Server) -> None:
    await server.publish("a")
    [answer] = await server.classify("a", ["good", "a good text"])
    assert answer.num_tokens == 3 + 5
    assert answer.to_dict()["usage"] == {"tokens": 8}


async def test_options_reach_the_answer(server: Server) -> None:
    await server.publish("a")
    [answer] = await server.classify("a", ["good"], top_k=1, scores="logit")
    assert len(answer.results[0]["scores"]) == 1
    [bare] = await server.classify("a", ["good"], scores="none")
    assert set(bare.results[0]) == {"label"}
    with pytest.raises(ConfigError, match="top_k"):
        await server.classify("a", ["good"], top_k=0)


async def test_stages_are_timed(server: Server) -> None:
    await server.publish("a")
    [answer] = await server.classify("a", TEXTS)
    timings = answer.timings.to_ms()
    assert list(timings) == ["pin", "tokenise", "queue", "run", "decode"]
    assert all(ms >= 0 for ms in timings.values())
    assert timings["run"] > 0
    assert answer.timings.batch_items == len(TEXTS)
    began = [stage.began_at for stage in answer.timings.stages]
    assert began == sorted(began)
    for stage in ("pin", "tokenise", "run", "decode"):
        assert server.value("skhost_stage_seconds_count", stage=stage) == 1
    assert server.value("skhost_stage_seconds_count", stage="queue") == len(TEXTS)


async def test_nothing_to_do_is_refused(server: Server) -> None:
    with pytest.raises(InvalidRequest):
        await server.classify("a", [])


async def test_an_unknown_adapter_is_named(server: Server) -> None:
    await server.publish("sentiment")
    with pytest.raises(AdapterNotFound, match="sentimant"):
        await server.classify("sentiment,sentimant", ["good"])


async def test_a_broken_adapter_fails_only_its_own_requests(server: Server) -> None:
    good, broken = await server.publish("good", seed=1), await server.publish("broken", seed=2)
    (server.store.path(broken.digest) / "manifest.json").unlink()
    with pytest.raises(AdapterUnusable):
        await server.classify("good,broken", ["good"])
    [answer] = await server.classify("good", ["good"])
    assert answer.digest == good.digest
    assert [resident.pins for resident in server.engine.residency.residents()] == [0]


async def test_a_request_keeps_the_version_that_it_pinned(server: Server) -> None:
    first = await server.publish("a", seed=1)
    await server.classify("a", ["good"])
    async with server.busy_device():
        asked = asyncio.create_task(server.classify("a", ["a good text"]))
        await until(lambda: server.value("skhost_stage_seconds_count", stage="queue") == 1)
        await until(lambda: len(server.engine.batcher._running) == 1)
        second = await server.publish("a", seed=2)
        refreshed = asyncio.create_task(server.engine.registries.home.refresh("a"))
    [answer] = await asked
    assert answer.digest == first.digest
    assert_same(answer.results[0], server.alone("a good text", seed=1))
    await refreshed
    [after] = await server.classify("a", ["a good text"])
    assert after.digest == second.digest
    assert_same(after.results[0], server.alone("a good text", seed=2))


async def test_a_late_answer_is_a_deadline_and_its_texts_are_not_run(server: Server) -> None:
    await server.publish("a")
    await server.classify("a", ["good"])
    async with server.busy_device():
        running = asyncio.create_task(server.classify("a", ["good"]))
        await until(lambda: len(server.engine.batcher._running) == 1)
        with pytest.raises(DeadlineExceeded):
            await server.classify("a", TEXTS, seconds=0.05)
        assert server.engine.batcher.num_waiting == 0
    await running
    assert server.value("skhost_batch_items_sum") == 2
    assert server.value("skhost_drops_total", reason="timeout") == 1
    assert server.value("skhost_drops_total", reason="cancelled") == len(TEXTS)
    assert [resident.pins for resident in server.engine.residency.residents()] == [0]


async def test_a_client_that_leaves_takes_its_texts_along(server: Server) -> None:
    await server.publish("a")
    await server.classify("a", ["good"])
    async with server.busy_device():
        running = asyncio.create_task(server.classify("a", ["good"]))
        await until(lambda: len(server.engine.batcher._running) == 1)
        leaver = asyncio.create_task(server.classify("a", TEXTS))
        await until(lambda: server.engine.batcher.num_waiting == len(TEXTS))
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        assert leaver.cancelled()
        assert server.engine.batcher.num_waiting == 0
    await running
    assert server.value("skhost_batch_items_sum") == 2


async def test_a_failing_device_fails_the_request_and_not_the_next(server: Server) -> None:
    await server.publish("a")
    await server.classify("a", ["good"])
    hook = server.base.model.register_forward_hook(_fail)
    try:
        with pytest.raises(RuntimeError, match="the device is gone"):
            await server.classify("a", TEXTS)
    finally:
        hook.remove()
    [answer] = await server.classify("a", ["good"])
    assert "label" in answer.results[0]


def _fail(*_: object) -> None:
    raise RuntimeError("the device is gone")


async def test_too_much_at_once_is_refused(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    async with server_of(redis_client, tiny_bert, tmp_path, max_waiting_items=4) as server:
        await server.publish("a")
        await server.publish("b", seed=1)
        await server.classify("a,b", ["good"])
        with pytest.raises(PayloadTooLarge):
            await server.classify("a", ["good"] * 5)
        async with server.busy_device():
            running = asyncio.create_task(server.classify("a", ["good"]))
            await until(lambda: len(server.engine.batcher._running) == 1)
            waiting = asyncio.create_task(server.classify("a", ["good"] * 3))
            await until(lambda: server.engine.batcher.num_waiting == 3)
            with pytest.raises(Overloaded) as refused:
                await server.classify("b", ["good"] * 2)
            assert refused.value.retry_after_s is not None
        await asyncio.gather(running, waiting)


async def test_draining_finishes_what_was_accepted(server: Server) -> None:
    await server.publish("a")
    await server.classify("a", ["good"])
    async with server.busy_device():
        accepted = asyncio.create_task(server.classify("a", TEXTS))
        await until(lambda: len(server.engine.batcher._running) == 1)
        drained = asyncio.create_task(server.engine.drain())
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await server.classify("a", ["good"])
        with pytest.raises(Draining):
            await server.engine.ready()
        assert not drained.done()
    await drained
    assert accepted.done()
    [answer] = accepted.result()
    assert len(answer.results) == len(TEXTS)


async def test_a_closed_engine_answers_nobody(
    redis_client: Redis, tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    async with server_of(redis_client, tiny_bert, tmp_path) as server:
        await server.publish("a")
        await server.classify("a", ["good"])
    with pytest.raises(Draining):
        await server.classify("a", ["good"])
    assert not server.engine.batcher.is_serving


async def test_a_causal_base_serves_too(
    redis_client: Redis, tiny_gpt2: FrozenBase, tmp_path: Path
) -> None:
    async with server_of(redis_client, tiny_gpt2, tmp_path) as server:
        await server.engine.ready()
        await server.publish("a", seed=1)
        answers = await asyncio.gather(*(server.classify("a", [text]) for text in TEXTS))
        for text, [answer] in zip(TEXTS, answers, strict=True):
            assert_same(answer.results[0], server.alone(text, seed=1))


def test_answers_are_values() -> None:
    options = ClassifyOptions(top_k=3, threshold=0.5)
    assert options.decoding == DecodeOptions(top_k=3, threshold=0.5)
    assert replace(options, truncate=False) != options

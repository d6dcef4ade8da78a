import asyncio
from collections.abc import Sequence

import pytest
from batching import Doubling, Row, answers, serving, until, work
from prometheus_client import CollectorRegistry

from skhost.batcher import Batcher, Done
from skhost.drain_rate import DrainRate
from skhost.errors import DeadlineExceeded, Draining, Overloaded, PayloadTooLarge
from skhost.limits import Limits
from skhost.metrics import Metrics
from skhost.schedule import Priority

pytestmark = pytest.mark.anyio


def dropped(batcher: Batcher[int, int], reason: str) -> float:
    registry = batcher._metrics.registry
    return registry.get_sample_value("skhost_drops_total", {"reason": reason}) or 0.0


def at_rate(batcher: Batcher[int, int], tokens_a_second: int) -> None:
    """From now on the device is taken to have been that fast, whatever it does."""
    batcher._rate = DrainRate()
    batcher._rate.observe(tokens_a_second, tokens_a_second, 1.0)
    batcher._rate.observe = lambda *_: None  # type: ignore[method-assign]


async def running_at(runs: Doubling, batcher: Batcher[int, int], tokens_a_second: int) -> Row:
    """Work that the device is busy with, as fast as it is said to be."""
    batcher.submit([running := work(0)])
    await runs.handed_over(1)
    at_rate(batcher, tokens_a_second)
    return running


async def test_every_work_gets_its_own_result() -> None:
    async with serving(Doubling()) as batcher:
        works = [work(number, queue=str(number % 7)) for number in range(100)]
        batcher.submit(works)
        assert await answers(works) == [2 * number for number in range(100)]


async def test_what_waits_while_the_device_is_busy_goes_together() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs) as batcher:
        first = work(1)
        batcher.submit([first])
        await runs.handed_over(1)
        later = [work(number) for number in (2, 3, 4)]
        for each in later:
            batcher.submit([each])
        runs.let_through(2)
        assert await answers([first, *later]) == [2, 4, 6, 8]
    assert runs.batches == [[1], [2, 3, 4]]


async def test_a_single_item_does_not_wait_for_company() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs) as batcher:
        batcher.submit([alone := work(1)])
        await runs.handed_over(1)
        assert batcher.num_waiting == 0
        runs.let_through()
        assert await answers([alone]) == [2]


async def test_a_batch_is_formed_late_while_less_than_a_whole_one_waits() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_tokens=10)) as batcher:
        first = work(1)
        runs.let_through()
        batcher.submit([first])
        await first.future  # the drain rate is known from here
        batcher.submit([second := work(2)])
        await runs.handed_over(2)
        batcher.submit([third := work(3, cost=5)])
        await until(lambda: not batcher._changed.is_set())
        assert (runs.num_handed_over, batcher.num_waiting) == (2, 1)
        batcher.submit([fourth := work(4, cost=5)])  # a whole batch: handed over ahead
        await runs.handed_over(3)
        assert batcher.num_waiting == 0
        runs.let_through(2)
        assert await answers([second, third, fourth]) == [4, 6, 8]
    assert runs.batches == [[1], [2], [3, 4]]


async def test_the_next_batch_is_handed_over_before_those_of_the_last_go_on() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs) as batcher:
        first, second = work(1), work(2)
        batcher.submit([first])
        await runs.handed_over(1)
        batcher.submit([second])
        runs.let_through()
        await first.future
        assert runs.num_handed_over == 2
        runs.let_through()
        assert await answers([second]) == [4]


async def test_no_more_than_one_batch_is_handed_over_ahead() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_tokens=1)) as batcher:
        runs.let_through()
        batcher.submit([first := work(1)])
        await first.future
        works = [work(number) for number in range(2, 7)]
        batcher.submit(works)
        await runs.handed_over(3)
        await until(lambda: not batcher._changed.is_set())
        assert runs.num_handed_over == 3
        runs.let_through(5)
        assert await answers(works) == [4, 6, 8, 10, 12]


async def test_an_item_beyond_the_budget_goes_alone() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_tokens=10)) as batcher:
        works = [work(0), work(1), work(2, cost=50), work(3)]
        batcher.submit(works)
        runs.let_through(3)
        assert await answers(works) == [0, 2, 4, 6]
    assert runs.batches == [[0, 1], [2], [3]]


async def test_a_failure_reaches_everyone_in_the_batch_and_nobody_else() -> None:
    runs = Doubling()
    async with serving(runs, Limits(max_batch_items=2)) as batcher:
        works = [work(number) for number in (1, 2, -1, 3, 4, 5)]
        batcher.submit(works)
        outcomes = await asyncio.gather(*(each.future for each in works), return_exceptions=True)
        assert [type(each) for each in outcomes] == [
            *(Done, Done),
            *(ArithmeticError, ArithmeticError),
            *(Done, Done),
        ]
        batcher.submit([after := work(6)])
        assert await answers([after]) == [12]


async def test_too_few_results_fail_the_batch() -> None:
    class Forgetful:
        async def run(self, batch: Sequence[int]) -> list[int]:
            return list(batch)[1:]

    async with Batcher(Limits(), Forgetful(), Metrics(CollectorRegistry())) as batcher:
        works = [work(1), work(2)]
        batcher.submit(works)
        outcomes = await asyncio.gather(*(each.future for each in works), return_exceptions=True)
        assert [type(each) for each in outcomes] == [ValueError, ValueError]


async def test_a_request_is_admitted_whole_or_not_at_all() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_waiting_items=4)) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        batcher.submit(waiting := [work(1), work(2), work(3)])
        with pytest.raises(Overloaded, match="3 texts with 3 tokens are waiting") as refused:
            batcher.submit([work(4, queue="b"), work(5, queue="c")])
        assert refused.value.retry_after_s == 1.0  # nothing is known of the rate yet
        assert batcher.num_waiting == 3
        assert dropped(batcher, "overloaded") == 1
        runs.let_through(2)
        assert await answers([running, *waiting]) == [0, 2, 4, 6]


async def test_a_full_queue_is_known_before_the_costs_are() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_waiting_items=4)) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        batcher.submit(waiting := [work(1), work(2), work(3)])
        batcher.check_items(1)
        with pytest.raises(Overloaded, match="3 texts with 3 tokens are waiting"):
            batcher.check_items(2)
        assert dropped(batcher, "overloaded") == 1
        batcher.check_items(5)  # never fits: whoever submits them is told so
        runs.let_through(2)
        assert await answers([running, *waiting]) == [0, 2, 4, 6]


async def test_waiting_tokens_are_bounded() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_waiting_tokens=100)) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        batcher.submit([first := work(1, cost=60)])
        with pytest.raises(Overloaded):
            batcher.submit([work(2, queue="b", cost=41)])
        batcher.submit([second := work(3, queue="b", cost=40)])
        runs.let_through(2)
        assert await answers([running, first, second]) == [0, 2, 6]


async def test_what_could_never_wait_is_refused_for_good() -> None:
    async with serving(Doubling(), Limits(max_waiting_items=2, max_waiting_tokens=100)) as batcher:
        with pytest.raises(PayloadTooLarge, match="3 texts"):
            batcher.submit([work(number) for number in range(3)])
        with pytest.raises(PayloadTooLarge, match="101 tokens"):
            batcher.submit([work(1, cost=101)])


async def test_a_flood_for_one_adapter_leaves_room_for_the_others() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_waiting_items=100)) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        flood = [work(1, queue="flood") for _ in range(80)]
        for each in flood:
            batcher.submit([each])
        with pytest.raises(Overloaded):
            batcher.submit([work(1, queue="flood")])
        batcher.submit(others := [work(2, queue="other") for _ in range(10)])
        runs.let_through(2)
        assert await answers([running, *flood, *others]) == [0] + [2] * 80 + [4] * 10


async def test_batch_work_leaves_room_for_who_waits_for_an_answer() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_waiting_items=100)) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        works = [work(1, queue=str(n % 7), priority=Priority.BATCH) for n in range(51)]
        for each in works[:50]:
            batcher.submit([each])
        with pytest.raises(Overloaded):
            batcher.submit(works[50:])
        batcher.submit(others := [work(2, queue="other") for _ in range(40)])
        runs.let_through(2)
        assert await answers([running, *works[:50], *others]) == [0] + [2] * 50 + [4] * 40


async def test_a_request_of_batch_work_that_is_larger_than_its_room_goes_when_there_is_none() -> (
    None
):
    async with serving(Doubling(), Limits(max_waiting_items=10)) as batcher:
        works = [work(n, queue=str(n), priority=Priority.BATCH) for n in range(8)]
        batcher.submit(works)
        assert await answers(works) == [2 * n for n in range(8)]


async def test_who_waits_for_an_answer_goes_before_batch_work() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_tokens=4)) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        flood = [work(1, priority=Priority.BATCH) for _ in range(40)]
        batcher.submit(flood)
        batcher.submit(urgent := [work(2), work(3)])
        runs.let_through(50)
        await answers([running, *urgent, *flood])
    assert {2, 3} <= set(runs.batches[1])


@pytest.mark.parametrize(("rate", "num_rows"), [(2000, 20), (10, 12), (10**6, 40)])
async def test_a_forward_with_batch_work_takes_a_tenth_of_a_second_or_an_eighth_of_a_batch(
    rate: int, num_rows: int
) -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_tokens=1000)) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        flood = [work(1, cost=10, priority=Priority.BATCH) for _ in range(40)]
        batcher.submit(flood)
        at_rate(batcher, rate)
        runs.let_through(50)
        await answers([running, *flood])
    assert len(runs.batches[1]) == num_rows
    assert sum(map(len, runs.batches)) == 41


async def test_a_passed_deadline_never_reaches_the_device() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        batcher.submit([late := work(1, seconds=0.0), timely := work(2)])
        runs.let_through(2)
        assert await answers([running, timely]) == [0, 4]
        with pytest.raises(DeadlineExceeded):
            await late.future
        assert dropped(batcher, "deadline") == 1
    assert runs.batches == [[0], [2]]


async def test_a_cancelled_future_never_reaches_the_device() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        batcher.submit([gone := work(1), kept := work(2)])
        gone.future.cancel()
        runs.let_through(2)
        assert await answers([running, kept]) == [0, 4]
        assert dropped(batcher, "cancelled") == 1
    assert runs.batches == [[0], [2]]


async def test_discarded_work_frees_its_place_at_once() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_waiting_items=2)) as batcher:
        batcher.submit([running := work(0)])
        await runs.handed_over(1)
        gone = [work(1), work(2)]
        batcher.submit(gone)
        batcher.discard([running, *gone])
        assert batcher.num_waiting == 0
        assert all(each.future.cancelled() for each in (running, *gone))
        batcher.submit([kept := work(3)])
        runs.let_through(2)
        assert await answers([kept]) == [6]


async def test_the_time_to_come_back_follows_the_rate() -> None:
    runs = Doubling()
    async with serving(runs, Limits(max_waiting_tokens=1000, max_batch_tokens=1000)) as batcher:
        batcher._rate.observe(10, 100, 1.0)  # 100 tokens a second
        batcher.submit([first := work(1, cost=800)])
        with pytest.raises(Overloaded) as refused:
            batcher.submit([work(2, queue="b", cost=400)])
        assert refused.value.retry_after_s == pytest.approx(2.0)
        assert await answers([first]) == [2]


async def test_who_would_wait_too_long_is_refused_at_once() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_tokens=10, max_waiting_s=2.0)) as batcher:
        running = await running_at(runs, batcher, 100)
        batcher.submit(works := [work(n, queue=str(n), cost=70) for n in range(3)])
        batcher.check_items(1, Priority.BATCH)
        with pytest.raises(Overloaded) as refused:  # 210 tokens are 2.1 s
            batcher.check_items(1)
        assert refused.value.retry_after_s == pytest.approx(0.1)
        with pytest.raises(Overloaded):
            batcher.submit([work(4, queue="4")])
        batcher.submit(background := [work(5, queue="5", cost=90, priority=Priority.BATCH)])
        runs.let_through(20)
        assert await answers([running, *works, *background]) == [0, 0, 2, 4, 10]
        batcher.submit([large := work(6, cost=1000)])  # nothing is before it
        assert await answers([large]) == [12]


async def test_some_batches_may_wait_however_slow_the_device_seems() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_tokens=100, max_waiting_s=1.0)) as batcher:
        running = await running_at(runs, batcher, 1)
        batcher.submit(works := [work(n, queue=str(n), cost=50) for n in range(9)])
        with pytest.raises(Overloaded):
            batcher.submit([work(9, queue="9")])
        runs.let_through(20)
        await answers([running, *works])


async def test_one_adapter_takes_no_more_than_its_share_of_the_time() -> None:
    runs = Doubling(is_open=False)
    limits = Limits(max_batch_tokens=10, max_waiting_s=2.0, lane_share=1.0)
    async with serving(runs, limits) as batcher:
        running = await running_at(runs, batcher, 100)
        flood = [work(1, queue="flood", cost=20) for _ in range(6)]
        for each in flood:
            batcher.submit([each])
        with pytest.raises(Overloaded):  # it has 120 of the 200 tokens that are done in time
            batcher.submit([work(1, queue="flood", cost=20)])
        batcher.submit(others := [work(2, queue="other", cost=20) for _ in range(4)])
        runs.let_through(20)
        await answers([running, *flood, *others])


async def test_one_adapter_holds_what_is_done_in_time_though_others_go_on_coming() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_tokens=10, max_waiting_s=4.0)) as batcher:
        running = await running_at(runs, batcher, 100)
        others = [work(1, queue=str(n)) for n in range(9)]
        batcher.submit(others)
        batcher.submit(lane := [work(2, queue="long", cost=81)])
        with pytest.raises(Overloaded) as refused:  # of ten lanes: 8.1 s
            batcher.submit([work(2, queue="long")])
        assert refused.value.retry_after_s == pytest.approx(0.1)
        batcher.submit(another := [work(3, queue="another", cost=81)])
        runs.let_through(30)
        await answers([running, *others, *lane, *another])


async def test_draining_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_items=1)) as batcher:
        works = [work(number) for number in range(4)]
        batcher.submit(works)
        drained = asyncio.create_task(batcher.drain())
        await runs.handed_over(1)
        assert not drained.done()
        with pytest.raises(Draining):
            batcher.submit([work(9)])
        runs.let_through(4)
        async with asyncio.timeout(5):
            await drained
        assert all(each.future.done() for each in works)
        assert await answers(works) == [0, 2, 4, 6]


async def test_draining_an_idle_batcher_ends_at_once() -> None:
    async with serving(Doubling()) as batcher:
        async with asyncio.timeout(5):
            await batcher.drain()


async def test_closing_fails_what_runs_and_what_waits() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs, Limits(max_batch_items=1)) as batcher:
        works = [work(number) for number in range(3)]
        batcher.submit(works)
        await runs.handed_over(1)
        assert batcher.is_serving
    assert not batcher.is_serving
    outcomes = await asyncio.gather(*(each.future for each in works), return_exceptions=True)
    assert [type(each) for each in outcomes] == [Draining] * 3
    with pytest.raises(Draining):
        batcher.submit([work(9)])


async def test_times_are_told_with_the_result() -> None:
    runs = Doubling(is_open=False)
    async with serving(runs) as batcher:
        batcher.submit([first := work(1)])
        await runs.handed_over(1)
        batcher.submit([second := work(2)])
        runs.let_through(2)
        before, after = await first.future, await second.future
    assert before.queued_s >= 0
    assert before.run_s > 0
    assert after.queued_s >= 0


async def test_a_batch_is_measured() -> None:
    runs = Doubling()
    async with serving(runs) as batcher:
        works = [work(1, cost=5), work(2, queue="b", cost=6), work(3, cost=7)]
        batcher.submit(works)
        await answers(works)
        value = batcher._metrics.registry.get_sample_value
        assert value("skhost_batch_items_sum") == 3
        assert value("skhost_batch_tokens_sum") == 18
        assert value("skhost_batch_adapters_sum") == 2
        assert value("skhost_stage_seconds_count", {"stage": "queue"}) == 3
        assert value("skhost_stage_seconds_count", {"stage": "run"}) == 1
        assert value("skhost_queue_items") == 0

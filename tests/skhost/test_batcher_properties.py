import asyncio
from collections import Counter

from batching import Doubling, Row, serving, work
from hypothesis import given, settings
from hypothesis import strategies as st

from skhost.errors import DeadlineExceeded, Overloaded, PayloadTooLarge
from skhost.limits import Limits
from skhost.schedule import Priority

Planned = tuple[str, int, str, Priority]

requests = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(1, 40),
            st.sampled_from(["stays", "stays", "leaves", "late"]),
            st.sampled_from(Priority),
        ),
        min_size=1,
        max_size=6,
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(requests, st.integers(1, 60), st.none() | st.integers(1, 4))
def test_whatever_comes_every_waiter_is_told_exactly_once(
    plan: list[list[Planned]], budget: int, max_items: int | None
) -> None:
    asyncio.run(_play(plan, budget, max_items))


async def _play(plan: list[list[Planned]], budget: int, max_items: int | None) -> None:
    runs = Doubling()
    limits = Limits(
        max_batch_tokens=budget,
        max_batch_items=max_items,
        max_waiting_items=20,
        max_waiting_tokens=400,
    )
    costs: dict[int, int] = {}
    admitted: list[tuple[Row, str]] = []
    async with serving(runs, limits) as batcher:
        for request in plan:
            works = []
            for queue, cost, fate, priority in request:
                number = len(costs) + 1
                costs[number] = cost
                seconds = 0.0 if fate == "late" else 60.0
                works.append(
                    work(number, queue=queue, cost=cost, seconds=seconds, priority=priority)
                )
            before = batcher.num_waiting
            try:
                batcher.submit(works)
            except (Overloaded, PayloadTooLarge):
                assert batcher.num_waiting == before
                continue
            assert batcher.num_waiting == before + len(works)
            fates = [fate for _, _, fate, _ in request]
            admitted += zip(works, fates, strict=True)
            batcher.discard([w for w, f in zip(works, fates, strict=True) if f == "leaves"])
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await batcher.drain()
        _check(runs, admitted, costs, limits)


def _check(
    runs: Doubling, admitted: list[tuple[Row, str]], costs: dict[int, int], limits: Limits
) -> None:
    ran = Counter(number for batch in runs.batches for number in batch)
    for each, fate in admitted:
        assert each.future.done()
        if fate == "leaves":
            assert each.future.cancelled()
        elif fate == "late":
            assert isinstance(each.future.exception(), DeadlineExceeded)
        else:
            assert each.future.result().result == 2 * each.payload
        assert ran[each.payload] == (fate not in {"leaves", "late"})
    assert sum(ran.values()) == sum(fate not in {"leaves", "late"} for _, fate in admitted)
    for batch in runs.batches:
        assert sum(costs[n] for n in batch) <= limits.max_batch_tokens or len(batch) == 1
        assert limits.max_batch_items is None or len(batch) <= limits.max_batch_items

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skhost.ordered import in_order


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    weight: int = 1
    turns: int = 0  # of the event loop that its work takes


async def stream(parts: Sequence[Part]) -> AsyncIterator[Part]:
    for part in parts:
        yield part


class Counting:
    """Work that knows how much of it there is, until its result has been used."""

    def __init__(self) -> None:
        self.weight = self.heaviest = 0
        self.begun: list[int] = []
        self.ended: list[int] = []

    async def work(self, part: Part) -> Part:
        self.begun.append(part.number)
        self.weight += part.weight
        self.heaviest = max(self.heaviest, self.weight)
        try:
            for _ in range(part.turns):
                await asyncio.sleep(0)
            return part
        finally:
            self.ended.append(part.number)


weights = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4)), max_size=30)


@given(weights, st.integers(1, 20), st.integers(0, 3))
def test_results_come_once_each_in_order_and_within_the_window(
    plan: list[tuple[int, int]], window: int, slowness: int
) -> None:
    parts = [Part(number, weight, turns) for number, (weight, turns) in enumerate(plan)]

    async def play() -> list[int]:
        seen = []
        async for part in in_order(stream(parts), counting.work, window):
            for _ in range(slowness):
                await asyncio.sleep(0)
            counting.weight -= part.weight
            seen.append(part.number)
        return seen

    counting = Counting()
    assert asyncio.run(play()) == [part.number for part in parts]
    assert counting.heaviest <= max([window, *(part.weight for part in parts)])


@pytest.mark.anyio
async def test_a_failure_comes_after_the_results_before_it() -> None:
    async def work(part: Part) -> int:
        if part.number == 2:
            raise ArithmeticError("two")
        return part.number

    results = in_order(stream([Part(n) for n in range(9)]), work, 4)
    assert [await anext(results), await anext(results)] == [0, 1]
    with pytest.raises(ArithmeticError):
        await anext(results)


@pytest.mark.anyio
async def test_a_failure_of_the_parts_comes_after_their_results() -> None:
    async def broken() -> AsyncIterator[Part]:
        yield Part(1)
        raise OSError("no more")

    results = in_order(broken(), Counting().work, 4)
    assert (await anext(results)).number == 1
    with pytest.raises(OSError, match="no more"):
        await anext(results)


@pytest.mark.anyio
async def test_closing_it_ends_what_is_under_way() -> None:
    counting = Counting()
    parts = [Part(0), *(Part(n, turns=10**9) for n in range(1, 9))]
    async with aclosing(in_order(stream(parts), counting.work, 4)) as results:
        assert (await anext(results)).number == 0
    assert counting.begun == counting.ended
    assert len(counting.begun) < len(parts)

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from skhost.priority_queue import PriorityQueue
from skhost.schedule import SHARES, Priority

INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH
QUANTUM = 16


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    priority: Priority
    queue: str
    cost: int
    is_live: bool = True


def is_live(item: Item) -> bool:
    return item.is_live


priorities = st.sampled_from(Priority)
live_items = st.builds(Item, priorities, st.sampled_from("abc"), st.integers(1, 60))
items = st.builds(
    *(Item, priorities, st.sampled_from("abc"), st.integers(1, 60)),
    st.sampled_from([True, True, True, False]),
)
arrivals = st.lists(st.lists(items, max_size=12), max_size=12)


def take(queue: PriorityQueue[Item], budget: int, max_items: int | None = None) -> list[Item]:
    return queue.take(lambda _: budget, max_items, is_live=is_live)


@given(arrivals, st.integers(1, 120), st.none() | st.integers(1, 5))
def test_whenever_items_come_each_live_one_leaves_once_and_batches_keep_their_budget(
    plan: list[list[Item]], budget: int, max_items: int | None
) -> None:
    queue: PriorityQueue[Item] = PriorityQueue(QUANTUM)
    left: list[Item] = []
    waiting = [item for some in plan for item in some]
    while plan or queue:
        for item in plan.pop(0) if plan else []:
            queue.push(item)
        batch = take(queue, budget, max_items)
        assert sum(item.cost for item in batch) <= budget or len(batch) == 1
        assert max_items is None or len(batch) <= max_items
        left += batch
    assert Counter(map(id, left)) == Counter(id(item) for item in waiting if item.is_live)
    assert queue.num_items == queue.num_tokens == 0


@given(arrivals, st.integers(1, 120))
def test_while_both_classes_wait_neither_gets_more_than_its_share_allows(
    plan: list[list[Item]], budget: int
) -> None:
    """The bound of start-time fair queueing, over every stretch in which both wait."""
    queue: PriorityQueue[Item] = PriorityQueue(QUANTUM)
    largest = max((item.cost for some in plan for item in some), default=1)
    bound = sum(largest / SHARES[priority] for priority in Priority)
    served = dict.fromkeys(Priority, 0.0)
    while plan or queue:
        for item in plan.pop(0) if plan else []:
            if item.is_live:
                queue.push(item)
        for item in take(queue, budget, 1):
            served[item.priority] += item.cost / SHARES[item.priority]
            assert abs(served[INTERACTIVE] - served[BATCH]) <= bound
        if not all(queue.of(priority) for priority in Priority):
            served = dict.fromkeys(Priority, 0.0)


@given(
    st.lists(live_items, min_size=1, max_size=40),
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
)
def test_batch_work_is_never_starved(flood: list[Item], costs: list[int]) -> None:
    """Interactive work that never ends lets batch work through at its share."""
    queue: PriorityQueue[Item] = PriorityQueue(QUANTUM)
    for cost in costs:
        queue.push(Item(BATCH, "late", cost))
    largest = max([*costs, *(item.cost for item in flood)])
    allowed = SHARES[INTERACTIVE] * (sum(costs) + 2 * largest) + 2 * largest
    sent = 0
    while queue.of(BATCH):
        for item in flood:
            queue.push(Item(INTERACTIVE, item.queue, item.cost))
        sent += sum(item.cost for item in take(queue, 1) if item.priority is INTERACTIVE)
        assert sent <= allowed


@given(st.lists(live_items, min_size=1, max_size=60), st.integers(1, 60))
def test_who_comes_to_a_flood_of_batch_work_goes_next(flood: list[Item], cost: int) -> None:
    queue: PriorityQueue[Item] = PriorityQueue(QUANTUM)
    for item in flood:
        queue.push(Item(BATCH, item.queue, item.cost))
    take(queue, 100)
    queue.push(urgent := Item(INTERACTIVE, "new", cost))
    assert take(queue, 100)[0] is urgent


def test_a_class_that_was_idle_has_saved_nothing_up() -> None:
    queue: PriorityQueue[Item] = PriorityQueue(QUANTUM)
    for _ in range(100):
        queue.push(Item(INTERACTIVE, "a", 10))
    for _ in range(90):
        take(queue, 1)
    for _ in range(10):
        queue.push(Item(BATCH, "b", 10))
    order = [take(queue, 1)[0].priority for _ in range(10)]
    assert order.count(BATCH) <= 2


def test_an_item_with_a_smaller_budget_bounds_its_whole_batch() -> None:
    queue: PriorityQueue[Item] = PriorityQueue(QUANTUM)
    for priority in (INTERACTIVE, BATCH, BATCH):
        queue.push(Item(priority, "a", 10))
    batch = queue.take(lambda item: 100 if item.priority is INTERACTIVE else 20, is_live=is_live)
    assert [item.priority for item in batch] == [INTERACTIVE, BATCH]

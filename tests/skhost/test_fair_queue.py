from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from skhost.priority_queue import PriorityQueue
from skhost.schedule import Priority

QUANTUM = 16


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    queue: str
    cost: int
    is_live: bool = True
    priority: Priority = Priority.INTERACTIVE


def is_live(item: Item) -> bool:
    return item.is_live


items = st.builds(
    Item, st.sampled_from("abcde"), st.integers(1, 100), st.sampled_from([True, True, True, False])
)
live_items = st.builds(Item, st.sampled_from("abcde"), st.integers(1, 100))
budgets = st.integers(1, 150)


def filled(works: list[Item]) -> PriorityQueue[Item]:
    queue: PriorityQueue[Item] = PriorityQueue(QUANTUM)
    for work in works:
        queue.push(work)
    return queue


def batches_of(
    queue: PriorityQueue[Item], budget: int, max_items: int | None = None
) -> list[list[Item]]:
    batches = []
    while queue:
        if batch := queue.take(lambda _: budget, max_items, is_live=is_live):
            batches.append(batch)
    return batches


@given(st.lists(items, max_size=60), budgets, st.none() | st.integers(1, 5))
def test_every_live_item_leaves_exactly_once(
    works: list[Item], budget: int, max_items: int | None
) -> None:
    queue = filled(works)
    left = [item for batch in batches_of(queue, budget, max_items) for item in batch]
    assert Counter(map(id, left)) == Counter(id(work) for work in works if work.is_live)
    assert queue.num_items == queue.num_tokens == 0


@given(st.lists(items, max_size=60), budgets, st.none() | st.integers(1, 5))
def test_a_batch_keeps_its_budget_unless_one_item_alone_exceeds_it(
    works: list[Item], budget: int, max_items: int | None
) -> None:
    for batch in batches_of(filled(works), budget, max_items):
        assert sum(item.cost for item in batch) <= budget or len(batch) == 1
        assert max_items is None or len(batch) <= max_items


@given(st.lists(items, max_size=60), budgets)
def test_a_lane_is_first_in_first_out(works: list[Item], budget: int) -> None:
    left = [item for batch in batches_of(filled(works), budget) for item in batch]
    for name in "abcde":
        expected = [work for work in works if work.queue == name and work.is_live]
        assert [item for item in left if item.queue == name] == expected


@given(st.lists(live_items, max_size=60), budgets, budgets)
def test_the_order_does_not_depend_on_where_batches_are_cut(
    works: list[Item], one: int, other: int
) -> None:
    sequences = [
        [item for batch in batches_of(filled(works), budget) for item in batch]
        for budget in (one, other)
    ]
    assert sequences[0] == sequences[1]


@given(st.lists(live_items, min_size=2, max_size=80), budgets)
def test_no_lane_gets_ahead_of_another_that_also_waits_by_more_than_the_bound(
    works: list[Item], budget: int
) -> None:
    queue = filled(works)
    bound = QUANTUM + 2 * max(work.cost for work in works)
    remaining = Counter(work.queue for work in works)
    sent: Counter[str] = Counter()
    for batch in batches_of(queue, budget):
        for item in batch:
            sent[item.queue] += item.cost
            remaining[item.queue] -= 1
            waiting = [name for name, number in remaining.items() if number]
            if len(waiting) > 1:
                served = [sent[name] for name in waiting]
                assert max(served) - min(served) <= bound


@given(st.lists(live_items, max_size=40), st.data())
def test_a_discarded_item_never_leaves_and_frees_its_place(
    works: list[Item], data: st.DataObject
) -> None:
    queue = filled(works)
    gone = [work for work in works if data.draw(st.booleans())]
    assert all(queue.discard(work) for work in gone)
    assert not any(queue.discard(work) for work in gone)
    kept = [work for work in works if work not in gone]
    assert queue.num_items == len(kept)
    assert queue.num_tokens == sum(work.cost for work in kept)
    left = [item for batch in batches_of(queue, 50) for item in batch]
    assert Counter(map(id, left)) == Counter(map(id, kept))


def test_a_late_comer_goes_next_to_a_flood() -> None:
    flood = [Item("flood", 16) for _ in range(1000)]
    queue = filled(flood)
    queue.take(lambda _: 64, is_live=is_live)
    late = Item("late", 16)
    queue.push(late)
    assert late in queue.take(lambda _: 64, is_live=is_live)


def test_items_much_larger_than_the_quantum_take_turns_in_few_steps() -> None:
    seen = 0

    def counted(item: Item) -> bool:
        nonlocal seen
        seen += 1
        return True

    queue = filled([Item(name, 1_000_000) for name in "abc" for _ in range(2)])
    order = [queue.take(lambda _: 1, is_live=counted)[0].queue for _ in range(6)]
    assert order == ["a", "b", "c", "a", "b", "c"]
    assert seen < 100


def test_dead_items_cost_no_budget() -> None:
    dead = [Item("a", 50, is_live=False) for _ in range(3)]
    last = Item("a", 50)
    assert filled([*dead, last]).take(lambda _: 50, is_live=is_live) == [last]


def test_lane_sizes_are_counted() -> None:
    queue = filled([Item("a", 3), Item("a", 4), Item("b", 5)])
    assert queue.of(Priority.INTERACTIVE).lane_size("a") == (2, 7)
    assert queue.of(Priority.BATCH).lane_size("a") == (0, 0)


def test_clear_returns_everything() -> None:
    works = [Item("a", 3), Item("b", 5), Item("a", 4)]
    queue = filled(works)
    assert set(queue.clear()) == set(works)
    assert not queue
    assert queue.take(lambda _: 100, is_live=is_live) == []

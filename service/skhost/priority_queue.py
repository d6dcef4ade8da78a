"""Which class is next: start-time fair queueing over one fair queue a priority. Pure policy.

While several classes have work waiting, each gets tokens by its share; one that was idle saves
nothing up and goes next (Goyal, Vin and Cheng, 1996): of two classes that both wait, what they got,
each divided by its share, differs by no more than one largest item of each, divided likewise.
"""

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from skhost.fair_queue import DEFAULT_QUANTUM, Costed, FairQueue
from skhost.schedule import SHARES, Priority


class Prioritised(Costed, Protocol):
    """What a queue with classes needs to know of an item."""

    @property
    def priority(self) -> Priority:
        """Its class."""


Item = TypeVar("Item", bound=Prioritised)


class _Class(Generic[Item]):
    __slots__ = ("queue", "served", "share")

    def __init__(self, share: int, quantum: int) -> None:
        self.queue: FairQueue[Item] = FairQueue(quantum)
        self.share = share
        self.served = 0.0  # tokens by share: virtual time


class PriorityQueue(Generic[Item]):
    """Items by class and lane: shares between the classes, turns between the lanes of each."""

    def __init__(
        self, quantum: int = DEFAULT_QUANTUM, shares: Mapping[Priority, int] = SHARES
    ) -> None:
        self._classes: dict[Priority, _Class[Item]] = {
            priority: _Class(shares[priority], quantum) for priority in Priority
        }
        self._now = 0.0  # virtual time: when the last item began
        self._next: _Class[Item] | None = None

    def __len__(self) -> int:
        return self.num_items

    @property
    def num_items(self) -> int:
        """Items that wait."""
        return sum(each.queue.num_items for each in self._classes.values())

    @property
    def num_tokens(self) -> int:
        """Tokens that wait."""
        return sum(each.queue.num_tokens for each in self._classes.values())

    def of(self, priority: Priority) -> FairQueue[Item]:
        """One class, to look at."""
        return self._classes[priority].queue

    def push(self, item: Item) -> None:
        """Put an item at the end of its lane."""
        each = self._classes[item.priority]
        if not each.queue:
            each.served = max(each.served, self._now)
        each.queue.push(item)

    def discard(self, item: Item) -> bool:
        """Take an item out of turn; False when it is not waiting (any more)."""
        return self._classes[item.priority].queue.discard(item)

    def take(
        self,
        budget_of: Callable[[Item], int],
        max_items: int | None = None,
        *,
        is_live: Callable[[Item], bool],
    ) -> list[Item]:
        """The next items; their costs together fit the budget of each, but a first goes alone.

        Items for which `is_live` is false leave the queue without being returned or charged.
        """
        taken: list[Item] = []
        total, budget = 0, None
        while max_items is None or len(taken) < max_items:
            if (item := self._head(is_live)) is None:
                break
            own = budget_of(item)
            budget = own if budget is None else min(budget, own)
            total += item.cost
            if taken and total > budget:
                break
            taken.append(self._pop())
        return taken

    def clear(self) -> list[Item]:
        """Everything that waits; the queue is empty afterwards."""
        return [item for each in self._classes.values() for item in each.queue.clear()]

    def _head(self, is_live: Callable[[Item], bool]) -> Item | None:
        """The next item of the class that got least; the more urgent one, where they got alike."""
        self._next = best = None
        for each in self._classes.values():
            item = each.queue.head(is_live)
            if item is not None and (self._next is None or each.served < self._next.served):
                self._next, best = each, item
        return best

    def _pop(self) -> Item:
        assert self._next is not None
        item = self._next.queue.pop()
        self._now = self._next.served
        self._next.served += item.cost / self._next.share
        return item

"""Who is next: deficit round robin over one lane an adapter. Pure policy: no clock, no futures.

The order in which items leave does not depend on where batches are cut: a batch is the next piece
of the round robin's sequence that fits its budget, so the bounds of deficit round robin hold
across batches (Shreedhar and Varghese, 1995): of two lanes that both have work waiting, neither
gets ahead of the other by more than one quantum and two of the largest items.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

DEFAULT_QUANTUM = 256  # tokens a lane may send each round; small, so that lanes interleave finely


class Costed(Protocol):
    """What a queue needs to know of an item; items are compared by identity."""

    @property
    def cost(self) -> int:
        """Tokens, at least 1."""

    @property
    def queue(self) -> str:
        """Name of the lane."""


Item = TypeVar("Item", bound=Costed)


class _Lane(Generic[Item]):
    __slots__ = ("deficit", "items", "name", "tokens")

    def __init__(self, name: str, deficit: int) -> None:
        self.name = name
        self.items: OrderedDict[Item, None] = OrderedDict()  # in order, and removable from within
        self.tokens = 0
        self.deficit = deficit

    @property
    def head(self) -> Item:
        return next(iter(self.items))


class FairQueue(Generic[Item]):
    """Items in one first-in-first-out lane an adapter, taken by deficit round robin."""

    def __init__(self, quantum: int = DEFAULT_QUANTUM) -> None:
        self._quantum = quantum
        self._lanes: dict[str, _Lane[Item]] = {}
        self._rotation: deque[_Lane[Item]] = deque()  # the front lane sends next
        self.num_items = 0
        self.num_tokens = 0

    def __len__(self) -> int:
        return self.num_items

    @property
    def num_lanes(self) -> int:
        """Lanes with something that waits."""
        return len(self._lanes)

    def lane_size(self, queue: str) -> tuple[int, int]:
        """Items and tokens that wait in one lane."""
        lane = self._lanes.get(queue)
        return (len(lane.items), lane.tokens) if lane else (0, 0)

    def push(self, item: Item) -> None:
        """Put an item at the end of its lane; a new lane goes to the end of the rotation."""
        lane = self._lanes.get(item.queue)
        if lane is None:
            lane = self._lanes[item.queue] = _Lane(item.queue, self._quantum)
            self._rotation.append(lane)
        lane.items[item] = None
        self._count(lane, 1, item.cost)

    def discard(self, item: Item) -> bool:
        """Take an item out of turn; False when it is not waiting (any more)."""
        lane = self._lanes.get(item.queue)
        if lane is None or item not in lane.items:
            return False
        self._remove(lane, item)
        return True

    def head(self, is_live: Callable[[Item], bool]) -> Item | None:
        """The item whose turn it is; those before it that are not live leave the queue."""
        skipped = 0  # lanes passed
        while self._rotation:
            lane = self._rotation[0]
            if not is_live(lane.head):
                self._remove(lane, lane.head)
            elif lane.head.cost > lane.deficit:
                skipped = self._pass(lane, skipped + 1)
            else:
                return lane.head
        return None

    def pop(self) -> Item:
        """Take the item that `head` has just given."""
        lane = self._rotation[0]
        item = lane.head
        lane.deficit -= item.cost
        self._remove(lane, item)
        return item

    def clear(self) -> list[Item]:
        """Everything that waits, lane by lane; the queue is empty afterwards."""
        items = [item for lane in self._rotation for item in lane.items]
        self._lanes.clear()
        self._rotation.clear()
        self.num_items = self.num_tokens = 0
        return items

    def _pass(self, lane: _Lane[Item], skipped: int) -> int:
        """The front lane has spent its share: it saves up another quantum and goes to the end."""
        lane.deficit += self._quantum
        self._rotation.rotate(-1)
        if skipped < len(self._rotation):
            return skipped
        # No lane can send its head yet. Grant at once the rounds that nobody could use.
        lacking = min(lane.head.cost - lane.deficit for lane in self._rotation)
        rounds = max(0, -(-lacking // self._quantum))
        for each in self._rotation:
            each.deficit += rounds * self._quantum
        return 0

    def _remove(self, lane: _Lane[Item], item: Item) -> None:
        del lane.items[item]
        self._count(lane, -1, -item.cost)
        if not lane.items:  # an idle lane saves nothing up
            del self._lanes[lane.name]
            self._rotation.remove(lane)

    def _count(self, lane: _Lane[Item], items: int, tokens: int) -> None:
        lane.tokens += tokens
        self.num_items += items
        self.num_tokens += tokens

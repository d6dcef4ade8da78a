"""Values within a byte budget, of which the least recently used make room. Pure bookkeeping."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")


class NoRoom(Exception):
    """The budget is taken by values that may not leave."""


@dataclass(slots=True)
class Shelved(Generic[Value]):
    """A value, what it costs, and when it was last asked for (monotonic)."""

    value: Value
    nbytes: int
    used_at: float


class Shelf(Generic[Value]):
    """One tier of memory.

    Args:
        budget_bytes: the values on the shelf never add up to more.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._items: OrderedDict[str, Shelved[Value]] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def items(self) -> Iterator[tuple[str, Shelved[Value]]]:
        """Everything on the shelf, the least recently used first."""
        return iter(self._items.items())

    def get(self, key: str) -> Value | None:
        """The value, which counts as used now."""
        item = self._items.get(key)
        if item is None:
            return None
        item.used_at = time.monotonic()
        self._items.move_to_end(key)
        return item.value

    def peek(self, key: str) -> Value | None:
        """The value, which does not count as used."""
        item = self._items.get(key)
        return None if item is None else item.value

    def put(
        self, key: str, value: Value, nbytes: int, *, may_leave: Callable[[str], bool]
    ) -> list[tuple[str, Value]]:
        """Put a value on the shelf.

        Returns:
            What had to leave for it.

        Raises:
            NoRoom: what may leave does not make enough room; nothing has changed then.
        """
        leaving = self._victims(nbytes - self._bytes_of(key), key, may_leave)
        gone = [(victim, self._pop(victim)) for victim in leaving]
        self.drop(key)
        self._items[key] = Shelved(value, nbytes, time.monotonic())
        self.used_bytes += nbytes
        return gone

    def drop(self, key: str) -> int:
        """Take a value off the shelf; the bytes that this frees."""
        freed = self._bytes_of(key)
        if key in self._items:
            self._pop(key)
        return freed

    def _victims(self, nbytes: int, key: str, may_leave: Callable[[str], bool]) -> list[str]:
        lacking = self.used_bytes + nbytes - self.budget_bytes
        victims: list[str] = []
        for other, item in self._items.items():
            if lacking <= 0:
                break
            if other != key and may_leave(other):
                victims.append(other)
                lacking -= item.nbytes
        if lacking > 0:
            raise NoRoom(f"{lacking} bytes too few")
        return victims

    def _bytes_of(self, key: str) -> int:
        item = self._items.get(key)
        return 0 if item is None else item.nbytes

    def _pop(self, key: str) -> Value:
        item = self._items.pop(key)
        self.used_bytes -= item.nbytes
        return item.value

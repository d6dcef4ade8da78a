"""The rows of a file as its format gives them, before their meaning is looked at."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Final, Protocol


class Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()  # a cell that is not there, which is not the same as null


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its first physical line or its number, and its cells by column.

    ``cells`` is None when the row could not be read; its problem has been noted then.
    """

    where: int
    cells: Mapping[str, object] | None


class Source(Protocol):
    """A file of a known format."""

    columns: tuple[str, ...]
    is_text: bool  # every cell is a text, so numbers and lists have to be recognised

    def records(self, wanted: Set[str]) -> Iterator[Record]:
        """All rows from the start, with at least the wanted columns."""
        ...

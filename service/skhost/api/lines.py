"""Lines of a body that arrives in pieces, each of bounded length."""

from collections.abc import Iterator
from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end."""

    number: int  # from 1
    data: bytes | None  # None: it was longer than may be


class LineSplitter:
    """Cuts pieces into lines; of a line that is too long nothing is kept but its number.

    Args:
        max_bytes: a line may have.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._number = 0
        self._begun: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[Line]:
        """The lines that end in this piece; blank ones are counted and left out."""
        *ends, rest = piece.split(b"\n")
        for end in ends:
            self._add(end)
            yield from self._finished()
        self._add(rest)

    def close(self) -> Iterator[Line]:
        """The last line, where it has no end of its own."""
        yield from self._finished()

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max_bytes:
            self._begun.clear()
        elif piece:
            self._begun.append(piece)

    def _finished(self) -> Iterator[Line]:
        self._number += 1
        data = b"".join(self._begun) if self._size <= self._max_bytes else None
        self._begun.clear()
        self._size = 0
        if data is not None and self._number == 1:
            data = data.removeprefix(_BOM)
        if data is None or data.strip():
            yield Line(self._number, data)

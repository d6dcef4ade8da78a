"""The one number of a Parquet file's footer that bounds what its columns expand to.

pyarrow could tell it, but its accessor of a column's metadata lets C++ exceptions through: a
footer that contradicts itself would end the process. The footer is Thrift's compact protocol.
"""

from collections.abc import Iterator
from typing import BinaryIO

MAX_FOOTER_BYTES = 8 << 20
MAX_DEPTH = 16  # of nested values; the format needs 7
_TRAILER_BYTES = 8  # the footer's length, little-endian, and the magic
_BOOLEANS, _FIXED = (1, 2), {3: 1, 7: 8, 13: 16}  # type → bytes
_NUMBERS, _I64, _BINARY, _LIST, _SET, _MAP, _STRUCT = (4, 5, 6), 6, 8, 9, 10, 11, 12
_ROW_GROUPS, _COLUMNS, _METADATA, _NUM_VALUES = (4, _LIST), (1, _LIST), (3, _STRUCT), (5, _I64)


def most_values(file: BinaryIO) -> int:
    """Values in the largest column chunk, as the footer says; readers stop there.

    Raises:
        ValueError: there is no whole footer, or it is oversized or malformed.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _TRAILER_BYTES))
    length = int.from_bytes(file.read(_TRAILER_BYTES)[:4], "little")
    if not 0 < length <= min(size - _TRAILER_BYTES, MAX_FOOTER_BYTES):
        raise ValueError(f"a footer of {length} bytes")
    file.seek(size - _TRAILER_BYTES - length)
    footer = _Compact(file.read(length))
    try:
        return max(_counts(footer), default=0)
    except IndexError as error:
        raise ValueError("the footer ends too early") from error


def _counts(footer: "_Compact") -> Iterator[int]:
    for _ in footer.only(_ROW_GROUPS):
        for _ in footer.structs():
            for _ in footer.only(_COLUMNS):
                for _ in footer.structs():
                    for _ in footer.only(_METADATA):
                        for _ in footer.only(_NUM_VALUES):
                            yield footer.number()


class _Compact:
    """A position in bytes of the compact protocol."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def only(self, wanted: tuple[int, int]) -> Iterator[None]:
        """Stops at each field of a struct with that id and type, which the caller reads."""
        for field in self._fields():
            if field == wanted:
                yield
            else:
                self._skip(field[1])

    def structs(self) -> Iterator[None]:
        """Stops at each element of a list of structs, which the caller reads."""
        count, kind = self._list()
        for _ in range(count):
            if kind == _STRUCT:
                yield
            else:
                self._skip_element(kind, 0)

    def number(self) -> int:
        """A signed integer."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _fields(self) -> Iterator[tuple[int, int]]:
        last = 0
        while head := self._byte():
            last = last + (head >> 4) if head >> 4 else self.number()
            yield last, head & 15

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4
        return (self._varint() if count == 15 else count), head & 15

    def _skip(self, kind: int, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise ValueError("the footer is nested too deeply")
        if kind in _NUMBERS:
            self._varint()
        elif kind == _BINARY:
            self._advance(self._varint())
        elif kind in (_LIST, _SET):
            count, inner = self._list()
            for _ in range(count):
                self._skip_element(inner, depth + 1)
        elif kind == _STRUCT:
            for _, inner in self._fields():
                self._skip(inner, depth + 1)
        elif kind == _MAP:
            self._skip_map(depth)
        elif kind not in _BOOLEANS:
            self._advance(_FIXED.get(kind) or self._unknown(kind))

    def _skip_map(self, depth: int) -> None:
        count = self._varint()
        kinds = self._byte() if count else 0
        for _ in range(count):
            self._skip_element(kinds >> 4, depth + 1)
            self._skip_element(kinds & 15, depth + 1)

    def _skip_element(self, kind: int, depth: int) -> None:
        """Within a container a boolean has a byte."""
        if kind in _BOOLEANS:
            self._advance(1)
        else:
            self._skip(kind, depth)

    def _unknown(self, kind: int) -> int:
        raise ValueError(f"the footer has a value of type {kind}")

    def _advance(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _varint(self) -> int:
        value, shift = 0, 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError("the footer has a number without end")

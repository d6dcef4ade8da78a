"""Counts that a child keeps where its parent reads them, also after a crash of the process."""

import mmap
import struct
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Self


@dataclass(slots=True)
class Tally:
    """What became of the inputs.

    Attributes:
        begun: monotonic seconds at which the input under way began; 0 between two.
        slowest_s: processor seconds of the slowest input.
        start_kib: resident memory before the first input.
        peak_kib: the most resident memory.
    """

    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    crashes: int = 0
    hangs: int = 0
    start_kib: int = 0
    peak_kib: int = 0
    begun: float = 0.0
    slowest_s: float = 0.0


_LAYOUT = struct.Struct("<7q2d")
_SLOTS = tuple(field.name for field in fields(Tally))


class TallyFile:
    """A tally in a file that two processes have mapped."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_LAYOUT.size)
            self._map = mmap.mmap(file.fileno(), _LAYOUT.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._map.close()

    def read(self) -> Tally:
        """As it was written last."""
        values = _LAYOUT.unpack_from(self._map)
        return Tally(**dict(zip(_SLOTS, values, strict=True)))

    def write(self, tally: Tally) -> None:
        """Replace it."""
        _LAYOUT.pack_into(self._map, 0, *astuple(tally))

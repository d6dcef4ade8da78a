"""The processes under one that a benchmark has started, told apart by their command lines."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Child:
    """A process as it was when it was looked at.

    Attributes:
        line: its command line; never empty.
        memory_bytes: resident.
    """

    process: psutil.Process
    line: list[str]
    memory_bytes: int


def children_of(pid: int, *, recursive: bool = True) -> Iterator[Child]:
    """All that run; what has ended meanwhile, or waits to be reaped, is left out."""
    for process in psutil.Process(pid).children(recursive=recursive):
        with suppress(psutil.NoSuchProcess):
            if line := process.cmdline():
                yield Child(process, line, process.memory_info().rss)

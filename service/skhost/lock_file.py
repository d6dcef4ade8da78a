"""A lock that dies with whoever holds it: the kernel drops it when the last copy is closed."""

import fcntl
from pathlib import Path
from typing import IO, TypeAlias

Lock: TypeAlias = IO[bytes]


def try_lock(path: Path) -> Lock | None:
    """The locked file, made if it is missing; None when another process or object holds it.

    Closing the file gives the lock back, unless a child was handed a copy: then the child has it.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file

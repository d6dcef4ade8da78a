"""Clocks that can be moved while a service runs; see `clock.c`, which a C compiler makes of it."""

import shutil
import struct
import subprocess
from pathlib import Path

COMPILER = "cc"


def is_possible() -> bool:
    """Whether there is a C compiler."""
    return shutil.which(COMPILER) is not None


def environment(folder: Path) -> dict[str, str]:
    """What processes are started with, whose clock `move` moves; compiled in the folder."""
    library, clock = folder / "clock.so", folder / "clock"
    source = Path(__file__).with_name("clock.c")
    command = [COMPILER, "-shared", "-fPIC", "-O2", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    move(clock, 0)
    return {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(clock)}


def move(clock: Path, seconds: int) -> None:
    """Have the wall clock so many seconds ahead of the machine's, or behind it."""
    clock.touch()
    with clock.open("r+b") as file:  # in place: it is mapped
        file.write(struct.pack("=q", seconds))

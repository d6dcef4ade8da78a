"""Damage in another process's memory, and a thread of it that stands still: Linux, as root."""

import ctypes
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000
_POLL_S = 0.05
_KEY_BYTES = 256  # enough of a tensor to know it by


def overwrite(pid: int, tensor: bytes, damaged: bytes) -> int:
    """Write `damaged` wherever `tensor` is in the process's memory; how often it was found."""
    found = 0
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for start, end in _writable(pid):
            with suppress(OSError, ValueError):
                memory.seek(start)
                content = memory.read(end - start)
                for match in re.finditer(re.escape(tensor[:_KEY_BYTES]), content):
                    memory.seek(start + match.start())
                    memory.write(damaged)
                    found += 1
    return found


def busiest_thread(pid: int, within_s: float = 3.0) -> int:
    """The thread, other than the main one, that has computed the most lately."""
    before = _ticks(pid)
    time.sleep(within_s)
    spent = {tid: ticks - before.get(tid, 0) for tid, ticks in _ticks(pid).items() if tid != pid}
    return max(spent, key=lambda tid: spent[tid])


@contextmanager
def standing_still(tid: int) -> Iterator[None]:
    """The thread does nothing until the block ends, unless its process does."""
    over, stands = threading.Event(), threading.Event()
    thread = threading.Thread(target=_hold, args=(tid, stands, over))
    thread.start()
    stands.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join()


def _hold(tid: int, stands: threading.Event, over: threading.Event) -> None:
    """Trace the thread; all of it has to happen on one thread of ours."""
    trace = ctypes.CDLL(None, use_errno=True).ptrace
    trace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if trace(_SEIZE, tid, None, None) or trace(_INTERRUPT, tid, None, None):
        raise OSError(ctypes.get_errno(), f"thread {tid} cannot be traced")
    stands.set()
    while not over.wait(_POLL_S):
        with suppress(ChildProcessError):
            found, status = os.waitpid(tid, _WALL | os.WNOHANG)  # else its process cannot end
            if found and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
                over.wait()
                return
    trace(_DETACH, tid, None, None)


def _writable(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, rights, *_ = line.split()
        if rights.startswith("rw") and "[v" not in line:
            start, end = (int(part, 16) for part in addresses.split("-"))
            yield start, end


def _ticks(pid: int) -> dict[int, int]:
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            found[int(task.name)] = int(fields[11]) + int(fields[12])
    return found

"""The most memory that this process had at once."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

_RESET = "5"  # of proc(5): the peak becomes what is resident now


def forget_peak() -> None:
    """Let the peak count from here, where Linux can: reading a base may take more than training."""
    with suppress(OSError):  # then the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text(_RESET)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_bytes(device: torch.device) -> int:
    """Of the accelerator where there is one, else of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

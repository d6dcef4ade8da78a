"""How much memory adapters may take, found from the machine where nobody says."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

DEVICE_SHARE = 0.25  # of the device memory that is free once the base is loaded
MIN_BYTES = 64 << 20
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, slots=True)
class Budgets:
    """Bounds of what is resident.

    Attributes:
        device_bytes: adapters beside the base; on the processor this is host memory.
        host_bytes: adapters that wait in host memory for a place on the device; 0 where the device
            is the processor, for a second tier would only copy there.
        max_loads: adapters loaded at the same time.
        broken_ttl_s: how long a failed load is remembered.

    Raises:
        ValueError: a bound below what can work.
    """

    device_bytes: int
    host_bytes: int = 0
    max_loads: int = 4
    broken_ttl_s: float = 30.0

    def __post_init__(self) -> None:
        if self.device_bytes < 0 or self.host_bytes < 0:
            raise ValueError("a budget cannot be negative")
        if self.max_loads < 1:
            raise ValueError(f"max_loads must be at least 1, got {self.max_loads}")


def default_device_bytes(device: torch.device) -> int:
    """A share of the memory that is free now, on the device or in this container."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _host_bytes()
    return max(int(free * DEVICE_SHARE), MIN_BYTES)


def _host_bytes() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *(limit for path in _CGROUP_LIMITS if (limit := _read_limit(path)))])


def _read_limit(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max": no limit

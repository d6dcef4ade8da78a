"""How many processors this process may use: those of its container, not the host's."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")


def available(cgroups: Path = CGROUPS, own_group: Path = OWN_GROUP) -> int:
    """Processors that it may run on, or its quota of time where that is less, rounded up."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(cgroups, own_group)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _quota(cgroups: Path, own_group: Path) -> float | None:
    """Processors' worth of time: the least of its control group's and of those around it."""
    quotas = [
        quota
        for name, read in (("", _unified), ("cpu", _legacy), ("cpu,cpuacct", _legacy))
        for folder in _around(cgroups / name, _own_path(own_group, name))
        if (quota := read(folder)) is not None
    ]
    return min(quotas, default=None)


def _own_path(own_group: Path, controllers: str) -> str:
    """Where the process stands among the groups; in a container mostly at the top."""
    for line in _text(own_group).splitlines():
        _, names, path = line.split(":", 2)
        if "cpu" in names.split(",") if controllers else not names:
            return path.strip("/")
    return ""


def _around(root: Path, path: str) -> list[Path]:
    inner = root / path
    return [inner, *(folder for folder in inner.parents if folder.is_relative_to(root))]


def _unified(folder: Path) -> float | None:
    """Control groups of version 2: "200000 100000" is two processors, "max 100000" no limit."""
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    return _ratio(quota, period)


def _legacy(folder: Path) -> float | None:
    """Version 1: two files, and -1 is no limit."""
    return _ratio(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None
    return int(quota) / int(period)


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""

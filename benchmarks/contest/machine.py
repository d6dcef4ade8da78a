"""Where and with what a run was measured."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("skhost", "torch", "transformers", "peft")


def describe(device: str, threads: int) -> Mapping[str, Any]:
    """Processor or accelerator, threads, versions and the date, as plain values."""
    return {
        "device": device,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "date": datetime.now(UTC).date().isoformat(),
    }


def of(device: torch.device) -> Mapping[str, Any]:
    """`describe` for this process and the device that its tensors are on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return describe(name, torch.get_num_threads())


def _processor() -> str:
    """The model's name, which Linux alone tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

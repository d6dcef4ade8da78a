"""PEFT checkpoints in and out: what its prompt methods store is a prompt state and a head.

Names are imported on first use; PEFT itself is never needed.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Checkpoint": "checkpoint",
    "ImportOptions": "options",
    "Imported": "adapting",
    "adapt": "adapting",
    "convert": "adapting",
    "export": "exporting",
    "load": "adapting",
    "read": "checkpoint",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]

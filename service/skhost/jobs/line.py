"""The line between a training and whoever watches it: progress goes out, the wish to stop comes in.

Thread-safe: the training runs in a thread of its own, the line's other end in the event loop.
"""

import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

_EVENTS_A_CURVE: Final = 1_000  # half of what a stream keeps, so that a curve stays whole


class StopReason(StrEnum):
    """Why an attempt stops before its end."""

    CANCELLED = "cancelled"  # a user asked for it
    HANDED_BACK = "handed back"  # the worker is shutting down
    STALE = "stale"  # another attempt has the job now
    LOST = "lost"  # Redis does not answer any more


class Line:
    """One attempt's line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[dict[str, Any]] = []
        self._stopping = threading.Event()
        self._reason: StopReason | None = None
        self._resumed_from: int | None = None
        self._has_begun = False

    @property
    def reason(self) -> StopReason | None:
        """Why to stop; None while the attempt may go on."""
        return self._reason

    def stop(self, reason: StopReason) -> None:
        """Ask the training to stop; a stale attempt is stale whatever was asked before."""
        if self._reason is None or reason is StopReason.STALE:
            self._reason = reason
        self._stopping.set()

    def should_stop(self) -> bool:
        """Read by the training at every step; costs nothing."""
        return self._stopping.is_set()

    def begin(self, resumed_from: int | None) -> None:
        """The training begins, at the step of a checkpoint or from the first one."""
        with self._lock:
            self._resumed_from, self._has_begun = resumed_from, True

    def progress(self, values: Mapping[str, Any]) -> None:
        """Report a step. Unread ones are replaced by newer ones, but never those with metrics."""
        with self._lock:
            if self._pending and not self._pending[-1].get("metrics"):
                self._pending.pop()
            self._pending.append(dict(values))

    def take_beginning(self) -> tuple[bool, int | None]:
        """Whether the training has begun since this was last asked, and from which checkpoint."""
        with self._lock:
            begun, self._has_begun = self._has_begun, False
            return begun, self._resumed_from

    def take(self) -> list[dict[str, Any]]:
        """The steps reported since the last time."""
        with self._lock:
            pending, self._pending = self._pending, []
            return pending


def is_kept(values: Mapping[str, Any], last_step: int) -> bool:
    """Whether a step gets an event of its own: a long curve is thinned evenly."""
    step, num_steps = int(values.get("step", 0)), int(values.get("num_steps") or 0)
    stride = max(1, num_steps // _EVENTS_A_CURVE)
    return bool(values.get("metrics")) or step - last_step >= stride or step < last_step

"""Whether the server still takes work, and how much it has accepted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Drain:
    """Counts the requests being answered; once begun, new ones are refused.

    Only the event loop's thread changes it, except for `begin`, which a signal handler may call.

    Attributes:
        leave_s: between being told to stop and the drain; requests are answered and clients told
            to connect elsewhere.
        began_at: when the drain begins; soon, or long ago.
    """

    timeout_s: float
    leave_s: float = 0.0
    active: int = 0
    began_at: float | None = None

    @property
    def is_leaving(self) -> bool:
        """Whether the server was told to stop, and clients shall go elsewhere."""
        return self.began_at is not None

    @property
    def is_draining(self) -> bool:
        """Whether new work is refused."""
        return self.began_at is not None and time.monotonic() >= self.began_at

    @property
    def seconds(self) -> float:
        """How long ago it began; 0 if it has not."""
        return 0.0 if self.began_at is None else max(0.0, time.monotonic() - self.began_at)

    @property
    def is_done(self) -> bool:
        """Whether the server may stop: nothing is left, or its time is up."""
        if not self.is_draining:
            return False
        return self.active == 0 or self.seconds >= self.timeout_s

    def begin(self, *, at_once: bool = False) -> None:
        """Refuse new work after `leave_s`, or from now on."""
        begins_at = time.monotonic() + (0.0 if at_once else self.leave_s)
        if self.began_at is None or begins_at < self.began_at:
            self.began_at = begins_at

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """What runs inside has no end of its own, so the drain does not wait for it."""
        self.active -= 1
        try:
            yield
        finally:
            self.active += 1

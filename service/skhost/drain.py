"""Whether the server still takes work, and how much it has accepted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Drain:
    """Counts the requests being answered; once begun, new ones are refused.

    Only the event loop's thread changes it, except for `begin`, which a signal handler may call.
    """

    timeout_s: float
    active: int = 0
    began_at: float | None = None

    @property
    def is_draining(self) -> bool:
        """Whether new work is refused."""
        return self.began_at is not None

    @property
    def seconds(self) -> float:
        """How long ago it began; 0 if it has not."""
        return 0.0 if self.began_at is None else time.monotonic() - self.began_at

    @property
    def is_done(self) -> bool:
        """Whether the server may stop: nothing is left, or its time is up."""
        if self.began_at is None:
            return False
        return self.active == 0 or self.seconds >= self.timeout_s

    def begin(self) -> None:
        """Refuse new work from now on."""
        if self.began_at is None:
            self.began_at = time.monotonic()

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """What runs inside has no end of its own, so the drain does not wait for it."""
        self.active -= 1
        try:
            yield
        finally:
            self.active += 1

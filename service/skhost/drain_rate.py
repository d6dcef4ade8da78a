"""How fast waiting work has been finished lately."""

DECAY = 0.8  # weight that the past keeps at each new batch
DEFAULT_S = 1.0  # an answer while nothing has been seen yet
MIN_S, MAX_S = 0.1, 60.0


class DrainRate:
    """Exponentially weighted items and tokens a second, over the device's busy time."""

    def __init__(self) -> None:
        self._items = self._tokens = self._seconds = 0.0

    def observe(self, items: int, tokens: int, seconds: float) -> None:
        """One batch of so many items and tokens took so many seconds."""
        self._items = DECAY * self._items + items
        self._tokens = DECAY * self._tokens + tokens
        self._seconds = DECAY * self._seconds + seconds

    @property
    def is_known(self) -> bool:
        """Whether at least one batch has been seen."""
        return self._seconds > 0

    def seconds_for(self, tokens: int) -> float:
        """Expected seconds of one batch of `tokens`; 0 when nothing is known."""
        return tokens * self._seconds / self._tokens if self.is_known else 0.0

    def tokens_in(self, seconds: float) -> int:
        """Expected tokens that a batch of so many seconds has; 0 when nothing is known."""
        return int(seconds * self._tokens / self._seconds) if self.is_known else 0

    def retry_after_s(self, items: int, tokens: int) -> float:
        """Seconds until so many items and so many tokens have left the queue, within bounds."""
        if not self.is_known:
            return DEFAULT_S
        seconds = max(items * self._seconds / self._items, self.seconds_for(tokens))
        return min(max(seconds, MIN_S), MAX_S)

"""Names that were not found a moment ago."""

import time


class Misses:
    """Remembers keys for a while, and no more than so many.

    Args:
        ttl_s: how long a key is remembered.
        max_keys: beyond it keys are not remembered at all, until older ones expire.
    """

    def __init__(self, ttl_s: float, max_keys: int = 1000) -> None:
        self._ttl_s = ttl_s
        self._max_keys = max_keys
        self._until: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        return self._until.get(key, 0.0) > time.monotonic()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, key: str) -> None:
        """Remember `key` from now on."""
        now = time.monotonic()
        if len(self._until) >= self._max_keys:
            self._until = {known: until for known, until in self._until.items() if until > now}
        if len(self._until) < self._max_keys:
            self._until[key] = now + self._ttl_s

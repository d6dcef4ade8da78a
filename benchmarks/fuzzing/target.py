"""What every target of the fuzzer is."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

Mutate = Callable[[bytes], bytes]  # libFuzzer's own: flips, inserts, erases, crosses bytes over


class Target(Protocol):
    """A reader of something from outside."""

    def seeds(self) -> Iterable[bytes]:
        """Valid inputs of every kind that it takes."""
        ...

    def mutate(self, data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
        """Another input; `mutate` changes bytes at random, also of a part within its container."""
        ...

    def read(self, path: Path) -> bool:
        """Whether the input in that file is accepted; any exception is a crash."""
        ...

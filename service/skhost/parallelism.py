"""How many threads a forward has: all that it may, or one while others hold the processors.

The threads of a forward wait for each other at each of its hundreds of operations. When somebody
else computes on one of the processors, each of these waits can last until the system takes that
processor from them again. One thread alone waits for nobody. `benchmarks/neighbour.py` has the
figures.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from skhost.base_golden import TEXTS
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import TextInput
from sktuning.tokens import EncodedRow

log = logging.getLogger(__name__)

SLOW: Final = 3.0  # times what one thread takes: more than a server's own loop holds up
STRIKES: Final = 2  # slow forwards behind each other until they are left out
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 16.0  # until the next look; longer where a look was mistaken
PROVEN: Final = 20  # forwards behind each other that were not slow: the next pause is a first one
LOOKS: Final = 20  # operations of a look, of so many values each
VALUES: Final = 1 << 18
ROWS: Final = (1, 8, 32)  # of the forwards that are timed
ENOUGH_S: Final = 0.2  # a forward that takes longer is the last that is timed


@dataclass(frozen=True, slots=True)
class AloneTime:
    """Seconds that a forward takes with one thread.

    Attributes:
        timed: (tokens, seconds) of some forwards, from small to large.
    """

    timed: Sequence[tuple[int, float]]

    def __call__(self, tokens: int) -> float:
        """On the line through the smallest and the largest."""
        (few, short_s), (many, long_s) = self.timed[0], self.timed[-1]
        if many == few:
            return short_s * max(tokens / few, 1.0)
        slope = (long_s - short_s) / (many - few)
        return short_s + max(tokens - few, 0) * max(slope, 0.0)


def alone_time(classifier: Classifier, probe: Adapter) -> AloneTime:
    """Time forwards here; the caller's thread must compute alone."""
    (row, *_) = classifier.encoder.encode([TextInput(TEXTS[-1])], probe.config)
    assert isinstance(row, EncodedRow)
    timed: list[tuple[int, float]] = []
    for count in ROWS:
        best = min(_seconds(classifier, [(row, probe)] * count) for _ in range(2))
        timed.append((count * len(row), best))
        if best > ENOUGH_S:
            break
    return AloneTime(timed)


def look_s() -> float:
    """Seconds of a few operations with this thread's helpers: little work, as many waits."""
    values = torch.ones(VALUES)
    began = time.perf_counter()
    for _ in range(LOOKS):
        torch.sigmoid_(values)
    return time.perf_counter() - began


def _seconds(classifier: Classifier, batch: Sequence[tuple[EncodedRow, Adapter]]) -> float:
    began = time.perf_counter()
    classifier.logits(batch)
    return time.perf_counter() - began


class Parallelism:
    """Decides from how long forwards took; belongs to the thread that runs them.

    Args:
        threads: of a forward that nobody holds up.
        alone_s: what a forward of so many tokens takes with one.
        is_free: looks whether nobody needs the processors.
    """

    def __init__(
        self,
        threads: int,
        alone_s: Callable[[int], float],
        is_free: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = threads
        self._alone_s = alone_s
        self._is_free = is_free
        self._clock = clock
        self._alone_until = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._strikes = 0
        self._good = 0
        self.threads = threads  # of the forward that runs, or of the next if nothing changes

    def next(self) -> int:
        """Threads of the next forward."""
        if self.threads == 1 and self._clock() >= self._alone_until:
            if self._is_free():
                self.threads = self._most
            else:
                self._alone_until = self._clock() + FIRST_PAUSE_S
        return self.threads

    def observe(self, tokens: int, seconds: float) -> None:
        """The forward of so many tokens took so many seconds."""
        if self.threads == 1:
            return
        if seconds <= SLOW * self._alone_s(tokens):
            self._strikes = 0
            self._good += 1
            if self._good >= PROVEN:
                self._pause_s = FIRST_PAUSE_S
            return
        self._good = 0
        self._strikes += 1
        if self._strikes >= STRIKES:
            self._leave_others_out(tokens, seconds)

    def _leave_others_out(self, tokens: int, seconds: float) -> None:
        log.log(
            logging.INFO if self._pause_s == FIRST_PAUSE_S else logging.DEBUG,
            "a forward of %d tokens took %.0f ms with %d threads, where one takes %.0f: others "
            "need the processors; until they do not, one computes alone",
            *(tokens, seconds * 1000, self._most, self._alone_s(tokens) * 1000),
        )
        self.threads = 1
        self._alone_until = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)
        self._strikes = 0

"""Contenders that take turns: each repeat lets everyone run for a while, one after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one turn came to.

    Attributes:
        rows: texts that were answered.
        seconds: on the clock, and `cpu_s` of processors: all that computed or served.
        client_cpu_s: of the processors, for asking.
        latencies_s: of each answered request, and in `numbers` which of the load's it was.
        requests: of these `refused` were told to come later; `failed` is the rest without answer.
        memory_before, memory_bytes: resident at the beginning, and the most that was seen.
    """

    rows: int
    seconds: float
    cpu_s: float
    client_cpu_s: float = 0.0
    latencies_s: Sequence[float] = ()
    numbers: Sequence[int] = ()
    requests: int = 0
    refused: int = 0
    failed: int = 0
    memory_before: int = 0
    memory_bytes: int = 0

    @property
    def rows_per_s(self) -> float:
        """On the clock."""
        return self.rows / self.seconds

    @property
    def rows_per_cpu_s(self) -> float:
        """By processor time, which other work on the machine hardly changes."""
        return self.rows / self.cpu_s


@dataclass(slots=True)
class Contender:
    """Who takes turns.

    Attributes:
        fields: what the table says of it, without the figures.
        turn: one turn, of the repeat with that number.
    """

    fields: Mapping[str, Any]
    turn: Callable[[int], Sample]
    samples: list[Sample] = field(default_factory=list)


def take(contenders: Sequence[Contender], repeats: int, say: Callable[[str], None]) -> None:
    """Everyone once a repeat."""
    for repeat in range(repeats):
        say(f"repeat {repeat + 1} of {repeats}")
        for contender in contenders:
            contender.samples.append(contender.turn(repeat))


def row(contender: Contender) -> Row:
    """A contender's medians."""
    samples = contender.samples
    found: Row = {
        **contender.fields,
        "repeats": len(samples),
        "rows_per_s": median(s.rows_per_s for s in samples),
        "rows_per_cpu_s": median(s.rows_per_cpu_s for s in samples),
    }
    if any(s.requests for s in samples):
        found |= dict(_of_requests(samples))
    return found


def ratio(contender: Contender, other: Contender, figure: str = "rows_per_s") -> float:
    """The median of the repeats' ratios."""
    pairs = zip(contender.samples, other.samples, strict=True)
    return float(median(getattr(a, figure) / getattr(b, figure) for a, b in pairs))


def percentile_ms(sample: Sample, percent: float) -> float:
    """Of the latencies."""
    return 1000 * float(np.percentile(sample.latencies_s, percent))


def _of_requests(samples: Sequence[Sample]) -> Iterator[tuple[str, float]]:
    for percent in (50, 95, 99):
        of_each = [percentile_ms(s, percent) for s in samples if s.latencies_s]
        if of_each:
            yield f"p{percent}_ms", median(of_each)
    yield "refused", median(s.refused / s.requests for s in samples)
    yield "failed", sum(s.failed for s in samples)
    yield "client_share", median(s.client_cpu_s / (s.client_cpu_s + s.cpu_s) for s in samples)
    yield "memory_mb", max(s.memory_bytes for s in samples) / 1e6

"""The server as its clients see it: closed and open loops over HTTP, beside the engine in process.

The engine runs the same texts for the same adapters with as many threads; both are measured in
turns, so that their ratio is of one run.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

from serving_rungs.http_load import Load
from serving_rungs.turns import Contender, Row, Sample, percentile_ms, ratio
from serving_rungs.workload import Workload
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import TextInput
from sktuning.tokens import EncodedRow

SINGLE_CLIENTS, BATCH_CLIENTS, BATCH_ROWS = 64, 8, 32
SHARES = (0.25, 0.5, 0.75, 0.9, 1.5, 3.0)
HALF, OVERLOAD = 0.5, 3.0
SATURATIONS = 3  # closed loops before an overload, and after it
FLOOD = 10  # times an adapter's share
ALONE = 20  # single rows a turn

Batch = Sequence[tuple[EncodedRow, Adapter]]


@dataclass(frozen=True, slots=True)
class Target:
    """A running server and what it is asked.

    Attributes:
        url, pid: of the server.
        seconds: a turn.
        shares: of saturation, offered by open loops.
    """

    url: str
    pid: int
    work: Workload
    seconds: float
    shares: Sequence[float] = SHARES

    def load(self, rows: int) -> Load:
        """Requests of so many texts."""
        requests = self.work.requests(rows)
        return Load(self.url, self.pid, requests, [rows] * len(requests))

    def warm(self) -> None:
        """Have every adapter read, tested and in memory."""
        requests = self.work.once_each()
        sample = Load(self.url, self.pid, requests, [1] * len(requests)).once(SINGLE_CLIENTS)
        if sample.rows < len(requests):
            raise RuntimeError(f"{len(requests) - sample.rows} adapters did not answer")


def closed(target: Target) -> tuple[Contender, Contender]:
    """Single texts by many clients, and batches by a few."""

    def of(rows: int, clients: int) -> Contender:
        load = target.load(rows)
        fields = {"rung": "http", "load": "closed", "texts": rows, "clients": clients}
        return Contender(fields, lambda _: load.closed(clients, target.seconds))

    return of(1, SINGLE_CLIENTS), of(BATCH_ROWS, BATCH_CLIENTS)


def opened(target: Target, saturated: Contender) -> Iterator[Contender]:
    """Single texts by Poisson arrivals, at shares of what `saturated` reached just before."""
    load = target.load(1)

    def of(share: float) -> Contender:
        def turn(repeat: int) -> Sample:
            rate = share * saturated.samples[-1].rows_per_s
            return load.open(rate, target.seconds, seed=repeat)

        return Contender({"rung": "http", "load": "open", "texts": 1, "offered": share}, turn)

    yield from map(of, target.shares)


def engine(
    classifier: Classifier, adapters: Sequence[Adapter], work: Workload, tokens: int, seconds: float
) -> Contender:
    """The engine on the same texts in process, in batches of so many tokens."""
    batches = _batches(classifier, adapters, work, tokens)

    def turn(_: int) -> Sample:
        return timed(lambda n: _run(classifier, batches[n % len(batches)]), seconds)

    return Contender({"rung": "engine", "load": "in process"}, turn)


def alone(classifier: Classifier, adapters: Sequence[Adapter], work: Workload) -> Contender:
    """One row in a forward of its own, in process."""
    rows = [row for batch in _batches(classifier, adapters, work, 1) for row in batch][:ALONE]

    def turn(_: int) -> Sample:
        cpu_s, times = time.process_time(), []
        for row in rows:
            began = time.perf_counter()
            classifier.logits([row])
            times.append(time.perf_counter() - began)
        return Sample(len(rows), sum(times), time.process_time() - cpu_s, latencies_s=times)

    return Contender({"rung": "engine", "load": "one row alone"}, turn)


def timed(run: Callable[[int], int], seconds: float) -> Sample:
    """Call `run` with 0, 1, … for so long; it says how many rows it has done."""
    run(0)  # first use prepares kernels
    rows, number, cpu_s, began = 0, 0, time.process_time(), time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        rows += run(number)
        number += 1
    return Sample(rows, passed, time.process_time() - cpu_s)


def overload(target: Target, seconds: float) -> Row:
    """Three times what the server can do, in batches: what of it is answered, and how.

    What it can do is the median of closed loops before and after.
    """
    load = target.load(BATCH_ROWS)

    def saturated() -> list[float]:
        return [load.closed(BATCH_CLIENTS, target.seconds).rows_per_s for _ in range(SATURATIONS)]

    before = saturated()
    sample = load.open(OVERLOAD * median(before), seconds, seed=0)
    saturation = median([*before, *saturated()])
    return {
        "rung": "overload",
        "texts": BATCH_ROWS,
        "offered": OVERLOAD,
        "seconds": seconds,
        "rows_per_s": sample.rows_per_s,
        "to_saturation": sample.rows_per_s / saturation,
        "refused": sample.refused / sample.requests,
        "failed": sample.failed,
        "memory_before_mb": sample.memory_before / 1e6,
        "memory_mb": sample.memory_bytes / 1e6,
        "memory_growth": sample.memory_bytes / sample.memory_before,
    }


def flood(target: Target, repeats: int) -> Row:
    """Half of saturation, shared alike; then the first adapter asks for ten times its share."""
    work = target.work
    found: dict[str, list[float]] = {"without": [], "with": []}
    requests = work.once_each()
    others = Load(target.url, target.pid, requests[1:], [1] * (len(requests) - 1))
    one = Load(target.url, target.pid, requests[:1], [1])
    saturated = target.load(1).closed(SINGLE_CLIENTS, target.seconds).rows_per_s
    share = HALF * saturated / work.adapters
    refused = 0
    for repeat in range(repeats):
        for way, times in (("without", 1), ("with", FLOOD)):
            with ThreadPoolExecutor(2) as pool:
                flooding = pool.submit(one.open, times * share, target.seconds, repeat)
                sample = others.open(share * (work.adapters - 1), target.seconds, repeat)
                refused += sample.refused + sample.failed + flooding.result().failed
            found[way].append(percentile_ms(sample, 99))
    return {
        "rung": "flood",
        "adapters": work.adapters,
        "repeats": repeats,
        "p99_ms": median(found["with"]),
        "p99_without_ms": median(found["without"]),
        "others_refused": refused,
        "to_without": median(a / b for a, b in zip(found["with"], found["without"], strict=True)),
    }


def ratios(contender: Contender, engine: Contender, alone: Contender) -> dict[str, Any]:
    """A contender of `closed` or `opened` beside the engine."""
    fields = contender.fields
    if fields["load"] == "closed":
        return {
            "to_engine": ratio(contender, engine),
            "to_engine_cpu": ratio(contender, engine, "rows_per_cpu_s"),
        }
    return {
        "p99_to_alone": median(
            percentile_ms(a, 99) / percentile_ms(b, 50)
            for a, b in zip(contender.samples, alone.samples, strict=True)
        )
    }


def _batches(
    classifier: Classifier, adapters: Sequence[Adapter], work: Workload, tokens: int
) -> Sequence[Batch]:
    """All texts in order, in batches of about so many of their tokens."""
    found: list[list[tuple[EncodedRow, Adapter]]] = [[]]
    room = tokens
    for text, number in zip(work.texts, work.wanted, strict=True):
        adapter = adapters[number]
        (row,) = classifier.encoder.encode([TextInput(text)], adapter.config)
        if not isinstance(row, EncodedRow):
            continue
        if len(row) > room and found[-1]:
            found.append([])
            room = tokens
        found[-1].append((row, adapter))
        room -= len(row)
    return found


def _run(classifier: Classifier, batch: Batch) -> int:
    return len(classifier.logits(batch))

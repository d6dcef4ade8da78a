"""What a busy neighbour costs a forward: with all its threads always, and as the server decides.

The neighbour is one process that computes without end, in a session of its own, as another
container's would be. The ways take turns in one process, with and without it.

    python benchmarks/neighbour.py --json FILE
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from report import report

from skhost import processors
from skhost.reference import reference_adapter
from skhost.runner import Runner, compute_alone
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.data import TextInput
from sktuning.tokens import EncodedRow

TEXT = "The soup was cold, the waiter was not, and we will come back for the view alone."
WAYS = ALL, ADAPTIVE, ONE = ("all", "adaptive", "one")
SETTLE_S = 0.5

Batch = Sequence[tuple[EncodedRow, Adapter]]


@dataclass(frozen=True, slots=True)
class Stage:
    """What is run, and for how long at a time."""

    classifier: Classifier
    batch: Batch
    threads: int
    seconds: float

    async def rate(self, way: str, *, has_neighbour: bool) -> float:
        """Rows a second of a runner of its own: helpers of another would be in the way."""
        runner = Runner(self.classifier, threads=1 if way == ONE else self.threads)
        if way == ADAPTIVE:
            await runner.adapt(self.batch[0][1])
        await runner.run(self.batch)
        with neighbour(is_there=has_neighbour):
            done, began = 0, time.perf_counter()
            while (passed := time.perf_counter() - began) < self.seconds:
                await runner.run(self.batch)
                done += len(self.batch)
        await runner.close()
        return done / passed


@contextmanager
def neighbour(*, is_there: bool) -> Iterator[None]:
    """A process that computes without end, from entry to exit."""
    if not is_there:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        time.sleep(SETTLE_S)
        yield
    finally:
        process.kill()
        process.wait()


async def measure(stage: Stage, repeats: int) -> list[dict[str, Any]]:
    """A row a way, without and with a neighbour."""
    rates: dict[tuple[str, bool], list[float]] = {}
    for _ in range(repeats):
        for key in product(WAYS, (False, True)):
            rate = await stage.rate(key[0], has_neighbour=key[1])
            rates.setdefault(key, []).append(rate)
    found = {key: median(each) for key, each in rates.items()}
    return [
        {
            "threads": way,
            "rows_per_s": found[way, False],
            "beside_a_neighbour": found[way, True],
            "kept": found[way, True] / found[way, False],
            "to_all": found[way, False] / found[ALL, False],
            "to_all_beside_one": found[way, True] / found[ALL, True],
        }
        for way in WAYS
    ]


def prepare(options: argparse.Namespace) -> Stage:
    """A base, and a batch for it."""
    compute_alone()  # this thread's own helpers would be in the way
    base = FrozenBase.load(options.base, device="cpu", dtype=options.dtype)
    base.prepare_to_serve(options.dtype)
    classifier = Classifier(base)
    probe = reference_adapter(classifier)
    (row,) = classifier.encoder.encode([TextInput(TEXT)], probe.config)
    assert isinstance(row, EncodedRow)
    batch = [(row, probe)] * max(options.tokens // len(row), 1)
    return Stage(classifier, batch, options.threads or processors.available(), options.seconds)


def main(arguments: list[str]) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="benchmarks/neighbour.py", description=__doc__)
    add = parser.add_argument
    add("--base", help="base model; the packaged one by default")
    add("--dtype", default="auto", help="of the base")
    add("--threads", type=int, help="of a forward; as many as the container has by default")
    add("--tokens", type=int, default=1024, help="of a forward")
    add("--seconds", type=float, default=4.0, help="that a way has at a time")
    add("--repeats", type=int, default=5)
    add("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args(arguments)
    rows = asyncio.run(measure(prepare(options), options.repeats))
    report("Rows a second, without and with a busy process beside them", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

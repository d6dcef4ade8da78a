"""One process that feeds a target; run as `python -m fuzzing.child`, by `fuzzing.processes`."""

import argparse
import logging
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import atheris

from fuzzing.tally import Tally, TallyFile
from fuzzing.target import Target
from fuzzing.targets import make

INPUT, TALLY, SEEDS, FOUND = "input", "tally", "seeds", "found"


INSTRUMENTED = ["skhost.uploads", "skhost.archive", "sktuning"]


class _Hang(BaseException):
    """An input takes more processor time than it may."""


class Loop:
    """Runs inputs and keeps the tally; what it finds lies in `folder/found`."""

    def __init__(self, target: Target, folder: Path, limit_s: float) -> None:
        self._target = target
        self._input = folder / INPUT
        self._found = folder / FOUND
        self._file = TallyFile(folder / TALLY)
        self._limit_s = limit_s
        self.tally = Tally(start_kib=_resident())
        self._seen: set[str] = set()
        signal.signal(signal.SIGPROF, _on_hang)

    def run(self, data: bytes) -> None:
        """One input."""
        tally = self.tally
        self._input.write_bytes(data)
        tally.begun = time.monotonic()
        self._file.write(tally)
        began = time.process_time()
        try:
            with _limited(self._limit_s):
                is_accepted = self._target.read(self._input)
            tally.accepted += is_accepted
            tally.refused += not is_accepted
        except _Hang as error:
            tally.hangs += 1
            self._keep(data, "hang", error)
        except Exception as error:
            tally.crashes += 1
            self._keep(data, "crash", error)
        tally.slowest_s = max(tally.slowest_s, time.process_time() - began)
        tally.inputs += 1
        tally.begun = 0.0
        tally.peak_kib = _resident()
        self._file.write(tally)

    def _keep(self, data: bytes, kind: str, error: BaseException) -> None:
        """The first input of each kind of failure, and its traceback."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        name = f"{kind}-{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
        if name not in self._seen:
            self._seen.add(name)
            self._found.mkdir(exist_ok=True)
            (self._found / f"{name}.bin").write_bytes(data)
            (self._found / f"{name}.txt").write_text("".join(traceback.format_exception(error)))


def main(arguments: list[str]) -> None:
    """Run; libFuzzer ends the process."""
    parser = argparse.ArgumentParser(prog="fuzzing.child")
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--limit-s", type=float, required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--max-bytes", type=int, required=True)
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = make(options.target)
    seeds = options.folder / SEEDS
    seeds.mkdir(exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (seeds / f"{number:03}").write_bytes(data)
    loop = Loop(target, options.folder, options.limit_s)

    def mutated(data: bytes, max_size: int, seed: int) -> bytes:
        def mutate(part: bytes) -> bytes:
            return bytes(atheris.Mutate(part, len(part) + 4096))

        return target.mutate(data, random.Random(seed), mutate)[:max_size]

    flags = {
        "runs": options.inputs,
        "seed": options.seed,
        "max_len": options.max_bytes,
        "len_control": 0,
        "rss_limit_mb": options.memory_mb,
        "artifact_prefix": f"{options.folder}/",
        "verbosity": 0,
    }
    argv = [sys.argv[0], *(f"-{name}={value}" for name, value in flags.items()), str(seeds)]
    atheris.Setup(argv, loop.run, custom_mutator=mutated)
    atheris.Fuzz()


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _on_hang(number: int, frame: FrameType | None) -> None:
    raise _Hang


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(sys.argv[1:])

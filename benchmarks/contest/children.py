"""Runs in child processes: each starts with nothing in memory and leaves nothing behind."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from contest.cache import Cache, OutcomeT, RunT
from contest.run import Outcome, Run

_BENCHMARKS = Path(__file__).resolve().parents[1]


class RunFailed(Exception):
    """The child ended without an outcome; the message is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Children:
    """Performs runs, each in a process of its own.

    Attributes:
        data: folder of the datasets' folders.
        device: as `FrozenBase.load` takes it.
        threads: of torch; None: as many as it likes.
    """

    data: Path
    device: str = "auto"
    threads: int | None = None

    def __call__(self, run: Run) -> Outcome:
        """Perform a run.

        Raises:
            RunFailed: it failed.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "outcome.json"
            settings = json.dumps(asdict(run))
            arguments = [settings, str(self.data.resolve()), self.device, str(file)]
            done = subprocess.run(
                [sys.executable, "-m", "contest.child", *arguments],
                cwd=_BENCHMARKS,  # where `contest` is found
                env={**os.environ, **self._environment()},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RunFailed("\n".join(done.stderr.strip().splitlines()[-3:]))
            return Outcome.from_json(file.read_text())

    def _environment(self) -> dict[str, str]:
        return {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}


def fill(
    cache: Cache[RunT, OutcomeT],
    runs: Sequence[RunT],
    perform: Callable[[RunT], OutcomeT],
    say: Callable[[str], None],
    jobs: int = 1,
) -> int:
    """Perform what is missing, `jobs` at a time, and keep each outcome at once.

    Returns:
        How many failed; the others go on.
    """
    missing, failed = cache.missing(runs), 0
    with ThreadPoolExecutor(jobs) as pool:
        started = {pool.submit(perform, run): run for run in missing}
        for number, done in enumerate(as_completed(started), start=1):
            prefix = f"{number}/{len(missing)} {started[done]}"
            try:
                outcome = done.result()
            except RunFailed as error:
                failed += 1
                say(f"{prefix}: failed: {error}")
            else:
                cache.put(outcome)
                say(f"{prefix}: {outcome.score:.4f} in {outcome.seconds:.0f} s")
    return failed
